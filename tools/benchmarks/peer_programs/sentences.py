"""Prints the metrics of simple baselines on the text tasks as one line of JSON.

Runs in an environment with scikit-learn. Arguments: the task, the file of GloVe
vectors, and the files of train, validation and test. The models mostly have
scikit-learn's default settings.
"""

import json
import re
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

task, vectors_file, *files = sys.argv[1:]


def rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def words(text):
    return re.findall(r"\w+|[^\w\s]", text.lower())


def read_vectors(texts):
    wanted = {word for text in texts for word in words(text)}
    vectors = {}
    with open(vectors_file, encoding="utf-8") as file:
        for line in file:
            word, numbers = line.split(" ", 1)
            if word in wanted:
                vectors[word] = np.array(numbers.split(), np.float32)
    return vectors


def average_vectors(texts, vectors):
    zero = np.zeros_like(next(iter(vectors.values())))
    return np.stack(
        [
            np.mean([vectors.get(word, zero) for word in words(text)] or [zero], 0)
            for text in texts
        ]
    )


def evaluate():
    """Returns the metrics of a linear model on the averaged word vectors of a pair."""
    names = ("train", "validation", "test")
    parts = {name: rows(path) for name, path in zip(names, files, strict=True)}
    sides = ("in0", "in1")
    vectors = read_vectors(
        row[side] for part in parts.values() for row in part for side in sides
    )
    features, labels, cosine = {}, {}, {}
    for name, part in parts.items():
        u, v = (average_vectors([row[side] for row in part], vectors) for side in sides)
        labels[name] = np.array([row["label"] for row in part])
        features[name] = np.concatenate([u, v, abs(u - v), u * v], 1)
        norms = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
        cosine[name] = (u * v).sum(1) / np.maximum(norms, 1e-9)
    if task == "snli":
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(features["train"], labels["train"])
        return {"accuracy": model.score(features["test"], labels["test"])}
    # Only |u - v| and u * v, which do not depend on the order of the sentences.
    train, test = features["train"][:, 100:], features["test"][:, 100:]
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    model.fit(train, labels["train"])
    scores = model.predict(test)
    return {
        "pearson": np.corrcoef(scores, labels["test"])[0, 1],
        "mean_squared_error": np.mean((scores - labels["test"]) ** 2),
        "zero-shot pearson": np.corrcoef(cosine["test"], labels["test"])[0, 1],
    }


print(json.dumps({name: float(value) for name, value in evaluate().items()}))
