"""Simple baselines of the text tasks, as one line of JSON on stdout.

Runs in an environment that has scikit-learn: TASK, the directory of its data and a file
of GloVe's vectors. Chosen settings are scikit-learn's defaults.
"""

import json
import re
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

task, directory, vectors_file = sys.argv[1:]


def rows(name):
    with open(f"{directory}/{name}.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def words(text):
    return re.findall(r"\w+|[^\w\s]", text.lower())


def read_vectors(texts):
    wanted = {word for text in texts for word in words(text)}
    held = {}
    with open(vectors_file, encoding="utf-8") as file:
        for line in file:
            word, numbers = line.split(" ", 1)
            if word in wanted:
                held[word] = np.array(numbers.split(), np.float32)
    return held


def averages(texts, held):
    nothing = np.zeros_like(next(iter(held.values())))
    return np.stack(
        [
            np.mean([held.get(word, nothing) for word in words(text)] or [nothing], 0)
            for text in texts
        ]
    )


def of_averages():
    """The average of each sentence's word vectors, and a linear model of both."""
    parts = {name: rows(name) for name in ("train", "validation", "test")}
    sides = ("in0", "in1")
    held = read_vectors(
        row[side] for part in parts.values() for row in part for side in sides
    )
    features, labels, cosine = {}, {}, {}
    for name, part in parts.items():
        u, v = (averages([row[side] for row in part], held) for side in sides)
        labels[name] = np.array([row["label"] for row in part])
        features[name] = np.concatenate([u, v, abs(u - v), u * v], 1)
        lengths = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
        cosine[name] = (u * v).sum(1) / np.maximum(lengths, 1e-9)
    if task == "snli":
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(features["train"], labels["train"])
        return {"accuracy": model.score(features["test"], labels["test"])}
    both = features["train"][:, 100:], features["test"][:, 100:]
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    model.fit(both[0], labels["train"])
    scores = model.predict(both[1])
    return {
        "pearson": np.corrcoef(scores, labels["test"])[0, 1],
        "mean_squared_error": np.mean((scores - labels["test"]) ** 2),
        "zero-shot pearson": np.corrcoef(cosine["test"], labels["test"])[0, 1],
    }


found = of_averages()
print(json.dumps({name: float(value) for name, value in found.items()}))
