"""Prints the metrics of simple baselines for retrieval and tags as one line of JSON.

Runs in an environment with scikit-learn, fastText and gensim. Arguments: the task
(documents, hybrid, ranks or tags), the directory of its data and, except for tags, the
file of the pool ("": in1 of the pairs). Settings with several candidates are chosen on
validation.

documents and tags return the metrics of each model. hybrid has one more argument, a
file of the cosines of a model: arrays [queries, pool] named validation and test. It
returns the metrics of the best combination with BM25, and the weight of the model.

ranks returns for each query its ranks by TF-IDF and BM25, and the number of training
documents with the rarest word that the query shares with its document (-1: no shared
word).
"""

import json
import re
import sys
import tempfile
from collections import Counter

import fasttext
import numpy as np
from gensim.models.doc2vec import Doc2Vec, TaggedDocument
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import MultiLabelBinarizer

task, directory, *rest = sys.argv[1:]
WORD = r"[a-z0-9+]+"
# fastText's own defaults for word vectors.
SUBWORDS = {"minn": 3, "maxn": 6}


def read_rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def words(text):
    return " ".join(re.findall(WORD, text.lower()))


def ranks(scores, truths):
    own = scores[np.arange(len(scores)), truths][:, None]
    return 1 + (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2


def rank_metrics(scores, truths):
    found = ranks(scores, truths)
    return {
        **{f"hits@{k}": float(np.mean(found <= k)) for k in (1, 10, 20)},
        "mean_rank": float(found.mean()),
    }


def read_documents(part="test"):
    """Returns training rows, queries, pool and the pool row of each true document."""
    train, test = (read_rows(f"{directory}/{name}.jsonl") for name in ("train", part))
    pool_file = read_rows(rest[0]) if rest[0] else []
    pool = {}
    for row in [*pool_file, *test]:
        pool.setdefault(row["in1"], len(pool))
    truths = np.array([pool[row["in1"]] for row in test])
    return train, [row["in0"] for row in test], list(pool), truths


def tf_idf(train, queries, pool):
    """Returns the cosines of TF-IDF vectors, [queries, pool]."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=WORD)
    vectorizer.fit([*dict.fromkeys(row["in1"] for row in train), *pool])
    return (vectorizer.transform(queries) @ vectorizer.transform(pool).T).toarray()


def bm25(queries, pool, k1=1.2, b=0.75):
    """Returns Okapi BM25 scores with the usual constants, [queries, pool]."""
    counter = CountVectorizer(token_pattern=WORD)
    counts = counter.fit_transform(pool).tocsr().astype(np.float64)
    document_frequency = (counts > 0).sum(0).A1
    weight = np.log(
        1 + (len(pool) - document_frequency + 0.5) / (document_frequency + 0.5)
    )
    lengths = counts.sum(1).A1
    row = np.repeat(np.arange(len(pool)), np.diff(counts.indptr))
    norm = k1 * (1 - b + b * lengths / lengths.mean())
    counts.data = (
        counts.data * (k1 + 1) / (counts.data + norm[row]) * weight[counts.indices]
    )
    return (counter.transform(queries) @ counts.T).toarray()


def embedding_metrics(embed, queries, pool, truths):
    """Ranks the pool by the cosine of the vectors that ``embed`` returns for a text."""
    query_vectors, pool_vectors = (
        np.stack([embed(words(text)) for text in texts]) for texts in (queries, pool)
    )
    for vectors in (query_vectors, pool_vectors):
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return rank_metrics(query_vectors @ pool_vectors.T, truths)


def train_doc2vec(documents):
    corpus = [
        TaggedDocument(words(text).split(), [i]) for i, text in enumerate(documents)
    ]
    return Doc2Vec(
        corpus, vector_size=300, min_count=2, dm=0, dbow_words=1, epochs=10, workers=2
    )


def train_fasttext(lines, train=fasttext.train_supervised, **settings):
    """Trains fastText on lines of text."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        for line in lines:
            print(line, file=file)
        file.flush()
        return train(file.name, minCount=2, thread=2, verbose=0, **settings)


def label_scores(model, texts, column):
    """Returns fastText's probabilities of the labels of each text, [texts, labels]."""
    scores = np.zeros((len(texts), len(column)))
    for i, text in enumerate(texts):
        # Not model.predict, which fails with numpy 2.
        for probability, label in model.f.predict(words(text), len(column), 0.0, ""):
            scores[i, column[label]] = probability
    return scores


def supervised_fasttext_metrics(
    train, documents, queries, pool, truths, name="fastText, supervised", **settings
):
    """Trains fastText to predict the document of a text, as StarSpace does.

    Ranks by the cosine of averaged word vectors and, if documents of the pool are
    training documents, also by the predicted labels.
    """
    label_ids = {text: i for i, text in enumerate(documents)}
    lines = [
        f"__label__{label_ids[row['in1']]} {words(row[side])}"
        for row in train
        for side in ("in0", "in1")
    ]
    settings = {"epoch": 25, **settings}
    model = train_fasttext(lines, loss="ns", dim=300, lr=0.2, **settings)
    metrics = {
        name: embedding_metrics(model.get_sentence_vector, queries, pool, truths)
    }
    if any(text in label_ids for text in pool):
        column = {f"__label__{i}": i for i in label_ids.values()}
        scores = label_scores(model, queries, column)
        # Documents that are not in train have no label and are ranked last.
        scores = np.column_stack([scores, np.full(len(scores), -1.0)])
        columns = [label_ids.get(text, -1) for text in pool]
        metrics[f"{name}, by labels"] = rank_metrics(scores[:, columns], truths)
    return metrics


def document_metrics():
    """Returns the metrics of TF-IDF, BM25, Doc2Vec and fastText."""
    train, queries, pool, truths = read_documents()
    documents = list(dict.fromkeys(row["in1"] for row in train))
    doc2vec = train_doc2vec(documents)
    metrics = {
        "TF-IDF": rank_metrics(tf_idf(train, queries, pool), truths),
        "BM25": rank_metrics(bm25(queries, pool), truths),
        "gensim Doc2Vec": embedding_metrics(
            lambda text: doc2vec.infer_vector(text.split()), queries, pool, truths
        ),
        **supervised_fasttext_metrics(train, documents, queries, pool, truths),
        # A word has ten n-grams or more: fewer epochs take the same time.
        **supervised_fasttext_metrics(
            train,
            documents,
            queries,
            pool,
            truths,
            name="fastText, supervised, subwords",
            epoch=5,
            **SUBWORDS,
        ),
    }
    texts = [
        text
        for side in ("in0", "in1")
        for text in dict.fromkeys(words(row[side]) for row in train)
    ]
    model = train_fasttext(
        texts, fasttext.train_unsupervised, model="skipgram", dim=300, **SUBWORDS
    )
    metrics["fastText, subwords, averaged"] = embedding_metrics(
        model.get_sentence_vector, queries, pool, truths
    )
    return metrics


def scaled(scores, lowest):
    """Scales scores to [0, 1] by query, from the lowest score that is possible."""
    highest = scores.max(1, keepdims=True)
    return (scores - lowest) / np.maximum(highest - lowest, 1e-9)


def hybrid_metrics():
    """Returns the metrics of a convex combination of BM25 and cosines.

    Bruch et al. 2023, "An Analysis of Fusion Functions for Hybrid Retrieval", find that
    it ranks better than reciprocal rank fusion, and that its weight is learned from few
    queries. The weight has the most first places on validation.
    """
    cosines = np.load(rest[1])
    parts = {}
    for part in ("validation", "test"):
        _, queries, pool, truths = read_documents(part)
        scores = scaled(bm25(queries, pool), 0), scaled(cosines[part], -1)
        parts[part] = scores, truths

    def metrics(part, weight):
        (words, encoders), truths = parts[part]
        return rank_metrics((1 - weight) * words + weight * encoders, truths)

    def quality(weight):
        found = metrics("validation", weight)
        return found["hits@1"], -found["mean_rank"]

    weight = max(np.linspace(0, 1, 21).tolist(), key=quality)
    return {"weight": weight, **metrics("test", weight)}


def query_ranks():
    """Returns the ranks of each query, and the frequency of the rarest shared word."""
    train, queries, pool, truths = read_documents()
    document_frequency = Counter()
    for text in dict.fromkeys(row["in1"] for row in train):
        document_frequency.update(set(words(text).split()))
    shared_words = [
        set(words(query).split()) & set(words(pool[truth]).split())
        for query, truth in zip(queries, truths, strict=True)
    ]
    return {
        "TF-IDF": ranks(tf_idf(train, queries, pool), truths).tolist(),
        "BM25": ranks(bm25(queries, pool), truths).tolist(),
        "rarest": [
            min((document_frequency[word] for word in shared), default=-1)
            for shared in shared_words
        ],
    }


def micro_f1(predicted, true):
    hits = float((predicted & true).sum())
    return 2 * hits / max(float(predicted.sum() + true.sum()), 1.0)


def best_threshold(scores, true):
    candidates = np.quantile(scores, np.linspace(0.9, 0.999, 100))
    return max(candidates, key=lambda threshold: micro_f1(scores >= threshold, true))


class TagTask:
    """The texts and tags of train, validation and test."""

    def __init__(self):
        self.tags = [row["in1"][0] for row in read_rows(f"{directory}/tags.jsonl")]
        binarizer = MultiLabelBinarizer(classes=self.tags)
        self.train_tags = {}
        for row in read_rows(f"{directory}/train.jsonl"):
            self.train_tags.setdefault(row["in0"], []).extend(row["in1"])
        self.texts = {"train": list(self.train_tags)}
        self.true = {"train": binarizer.fit_transform(self.train_tags.values())}
        for part in ("validation", "test"):
            packages = read_rows(f"{directory}/{part}.packages.jsonl")
            self.texts[part] = [row["in0"] for row in packages]
            tags = binarizer.transform([row["tags"] for row in packages])
            self.true[part] = tags.astype(bool)

    def evaluate(self, score):
        """Returns micro-F1 on validation and on test.

        Args:
            score: Returns the scores of texts, [texts, tags].
        """
        scores = {part: score(self.texts[part]) for part in ("validation", "test")}
        threshold = best_threshold(scores["validation"], self.true["validation"])
        return tuple(
            micro_f1(scores[part] >= threshold, self.true[part])
            for part in ("validation", "test")
        )


def logistic_tag_f1(data):
    """Returns the test micro-F1 of one-vs-rest logistic regression on TF-IDF."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=WORD, min_df=2)
    features = vectorizer.fit_transform(data.texts["train"])
    results = []
    for penalty in (1, 10):
        classifier = LogisticRegression(C=penalty, solver="liblinear")
        model = OneVsRestClassifier(classifier).fit(features, data.true["train"])
        results.append(
            data.evaluate(
                lambda texts, model=model: model.predict_proba(
                    vectorizer.transform(texts)
                )
            )
        )
    return max(results)[1]


def fasttext_tag_f1(data, candidates, **settings):
    """Returns the test micro-F1 of one-vs-rest fastText.

    Args:
        data: The texts and tags.
        candidates: Pairs of a number of epochs and a learning rate.
        **settings: Other settings of fastText.
    """
    column = {f"__label__{tag}": i for i, tag in enumerate(data.tags)}
    lines = [
        " ".join([*(f"__label__{tag}" for tag in tags), words(text)])
        for text, tags in data.train_tags.items()
    ]
    results = []
    for epoch, rate in candidates:
        model = train_fasttext(
            lines, loss="ova", dim=100, epoch=epoch, lr=rate, **settings
        )
        results.append(
            data.evaluate(lambda texts, model=model: label_scores(model, texts, column))
        )
    return max(results)[1]


def tag_metrics():
    """Returns the test micro-F1 of each model, tuned on validation."""
    data = TagTask()
    return {
        "TF-IDF, logistic": {"micro_f1": logistic_tag_f1(data)},
        "fastText, one against the rest": {
            "micro_f1": fasttext_tag_f1(data, ((25, 0.1), (25, 0.5), (50, 0.2)))
        },
        "fastText, one against the rest, subwords": {
            "micro_f1": fasttext_tag_f1(data, ((10, 0.1), (10, 0.5)), **SUBWORDS)
        },
    }


TASKS = {
    "tags": tag_metrics,
    "documents": document_metrics,
    "hybrid": hybrid_metrics,
    "ranks": query_ranks,
}
print(json.dumps(TASKS[task]()))
