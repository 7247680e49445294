"""Simple baselines of retrieval and of tags, as one line of JSON on stdout.

Runs in an environment that has scikit-learn, fastText and gensim: documents, ranks or
tags, the directory of the task's data and, for the first two, the file of the pool (""
for the pairs' own in1). Settings with a choice are chosen on validation. Of ranks it
tells each query's, by TF-IDF and BM25, and the times that train's documents have the
rarest word that it shares with its document (-1: they share none).
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


def rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def words(text):
    return " ".join(re.findall(WORD, text.lower()))


def ranks(scores, truths):
    own = scores[np.arange(len(scores)), truths][:, None]
    return 1 + (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2


def measures(scores, truths):
    found = ranks(scores, truths)
    return {
        **{f"hits@{k}": float(np.mean(found <= k)) for k in (1, 10, 20)},
        "mean_rank": float(found.mean()),
    }


def asked():
    """Returns the rows of train, the queries, the pool, and where the truths are."""
    train, test = (rows(f"{directory}/{part}.jsonl") for part in ("train", "test"))
    named = rows(rest[0]) if rest[0] else []
    places = {}
    for row in [*named, *test]:
        places.setdefault(row["in1"], len(places))
    truths = np.array([places[row["in1"]] for row in test])
    return train, [row["in0"] for row in test], list(places), truths


def tf_idf(train, queries, pool):
    """Scores by the cosine of TF-IDF."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=WORD)
    vectorizer.fit([*dict.fromkeys(row["in1"] for row in train), *pool])
    return (vectorizer.transform(queries) @ vectorizer.transform(pool).T).toarray()


def of_ranks():
    """The rank of each query's document, and how rare what they share is."""
    train, queries, pool, truths = asked()
    held = Counter()
    for text in dict.fromkeys(row["in1"] for row in train):
        held.update(set(words(text).split()))
    shared = [
        set(words(query).split()) & set(words(pool[truth]).split())
        for query, truth in zip(queries, truths, strict=True)
    ]
    return {
        "TF-IDF": ranks(tf_idf(train, queries, pool), truths).tolist(),
        "BM25": ranks(bm25(queries, pool), truths).tolist(),
        "rarest": [min((held[word] for word in both), default=-1) for both in shared],
    }


def of_documents():
    """Nearest documents by TF-IDF, BM25, fastText's and Doc2Vec's vectors.

    fastText learns in two ways: unsupervised, and supervised as StarSpace does, to name
    the document that a short text belongs to. It ranks by the cosine of words' averaged
    vectors, and by its own labels, if the pool's documents are among those of train.
    """
    train, queries, pool, truths = asked()

    def nearest(vector):
        asked, held = (
            np.stack([vector(words(text)) for text in texts])
            for texts in (queries, pool)
        )
        for vectors in (asked, held):
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return measures(asked @ held.T, truths)

    found = {"TF-IDF": measures(tf_idf(train, queries, pool), truths)}
    found["BM25"] = measures(bm25(queries, pool), truths)

    documents = list(dict.fromkeys(row["in1"] for row in train))
    corpus = [
        TaggedDocument(words(text).split(), [i]) for i, text in enumerate(documents)
    ]
    doc2vec = Doc2Vec(
        corpus, vector_size=300, min_count=2, dm=0, dbow_words=1, epochs=10, workers=2
    )
    found["gensim Doc2Vec"] = nearest(lambda text: doc2vec.infer_vector(text.split()))

    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        names = {text: i for i, text in enumerate(documents)}
        for row in train:
            print(f"__label__{names[row['in1']]}", words(row["in0"]), file=file)
            print(f"__label__{names[row['in1']]}", words(row["in1"]), file=file)
        file.flush()
        model = fasttext.train_supervised(
            file.name,
            loss="ns",
            dim=300,
            epoch=25,
            lr=0.2,
            minCount=2,
            thread=2,
            verbose=0,
        )
    found["fastText, supervised"] = nearest(model.get_sentence_vector)
    if any(text in names for text in pool):
        column = {f"__label__{i}": i for i in names.values()}
        scores = by_labels(model, queries, column)
        # What train lacks has no label, and comes last.
        scores = np.column_stack([scores, np.full(len(scores), -1.0)])
        held = [names.get(text, -1) for text in pool]
        found["fastText, supervised, by labels"] = measures(scores[:, held], truths)

    with tempfile.NamedTemporaryFile("w", suffix=".txt") as text:
        for side in ("in0", "in1"):
            for line in dict.fromkeys(words(row[side]) for row in train):
                print(line, file=text)
        text.flush()
        model = fasttext.train_unsupervised(
            text.name, model="skipgram", dim=300, minCount=2, thread=2, verbose=0
        )
    found["fastText, averaged"] = nearest(model.get_sentence_vector)
    return found


def by_labels(model, texts, column):
    """Returns what fastText gives each text's labels, [texts, labels]."""
    scores = np.zeros((len(texts), len(column)))
    for i, text in enumerate(texts):
        # Not model.predict: it asks numpy 2 for what that does not do.
        for chance, label in model.f.predict(words(text), len(column), 0.0, ""):
            scores[i, column[label]] = chance
    return scores


def bm25(queries, pool, k1=1.2, b=0.75):
    """Scores by Okapi BM25 with its usual constants."""
    counter = CountVectorizer(token_pattern=WORD)
    counts = counter.fit_transform(pool).tocsr().astype(np.float64)
    held = (counts > 0).sum(0).A1
    weight = np.log(1 + (len(pool) - held + 0.5) / (held + 0.5))
    lengths = counts.sum(1).A1
    row = np.repeat(np.arange(len(pool)), np.diff(counts.indptr))
    norm = k1 * (1 - b + b * lengths / lengths.mean())
    counts.data = (
        counts.data * (k1 + 1) / (counts.data + norm[row]) * weight[counts.indices]
    )
    return (counter.transform(queries) @ counts.T).toarray()


def micro_f1(chosen, true):
    hit = float((chosen & true).sum())
    return 2 * hit / max(float(chosen.sum() + true.sum()), 1.0)


def best_threshold(scores, true):
    candidates = np.quantile(scores, np.linspace(0.9, 0.999, 100))
    return max(candidates, key=lambda at: micro_f1(scores >= at, true))


def of_tags():
    """Each tag against the rest, by logistic regression of TF-IDF, and by fastText."""
    tags = [row["in1"][0] for row in rows(f"{directory}/tags.jsonl")]
    binary = MultiLabelBinarizer(classes=tags)
    texts, true = {}, {}
    train = {}
    for row in rows(f"{directory}/train.jsonl"):
        train.setdefault(row["in0"], []).extend(row["in1"])
    texts["train"], true["train"] = list(train), binary.fit_transform(train.values())
    for part in ("validation", "test"):
        packages = rows(f"{directory}/{part}.packages.jsonl")
        texts[part] = [row["in0"] for row in packages]
        true[part] = binary.transform([row["tags"] for row in packages]).astype(bool)

    def judged(score):
        scores = {part: score(texts[part]) for part in ("validation", "test")}
        threshold = best_threshold(scores["validation"], true["validation"])
        return (
            micro_f1(scores["validation"] >= threshold, true["validation"]),
            micro_f1(scores["test"] >= threshold, true["test"]),
        )

    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=WORD, min_df=2)
    features = vectorizer.fit_transform(texts["train"])
    tries = []
    for penalty in (1, 10):
        one = LogisticRegression(C=penalty, solver="liblinear")
        model = OneVsRestClassifier(one).fit(features, true["train"])
        tries.append(
            judged(
                lambda some, model=model: model.predict_proba(
                    vectorizer.transform(some)
                )
            )
        )
    found = {"TF-IDF, logistic": {"micro_f1": max(tries)[1]}}

    column = {f"__label__{tag}": i for i, tag in enumerate(tags)}

    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        for text, own in train.items():
            print(*(f"__label__{tag}" for tag in own), words(text), file=file)
        file.flush()
        models = [
            fasttext.train_supervised(
                file.name,
                loss="ova",
                dim=100,
                epoch=epoch,
                lr=rate,
                minCount=2,
                thread=2,
                verbose=0,
            )
            for epoch, rate in ((25, 0.1), (25, 0.5), (50, 0.2))
        ]
        tries = [
            judged(lambda some, model=model: by_labels(model, some, column))
            for model in models
        ]
    found["fastText, one against the rest"] = {"micro_f1": max(tries)[1]}
    return found


print(
    json.dumps({"tags": of_tags, "documents": of_documents, "ranks": of_ranks}[task]())
)
