"""What scikit-surprise's models score on MovieLens, as one line of JSON on stdout.

Runs in an environment that has scikit-surprise: the files of pairs to learn from and to
be measured by, and a seed. All but the tuned SVD have their default settings.
"""

import json
import sys

import numpy as np
import surprise

train_file, test_file, seed = sys.argv[1:]


def triples(path):
    with open(path, encoding="utf-8") as file:
        pairs = map(json.loads, file)
        return [(row["in0"][0], row["in1"][0], float(row["label"])) for row in pairs]


class Ratings(surprise.dataset.DatasetAutoFolds):
    def __init__(self, rows):
        self.ratings_file = None
        self.reader = surprise.Reader(rating_scale=(1, 5))
        self.raw_ratings = [(*row, None) for row in rows]


train, test = triples(train_file), triples(test_file)
known = Ratings(train).build_full_trainset()
random = {"random_state": int(seed)}
KNN = {"name": "pearson_baseline", "user_based": False}
models = {
    "biases (BaselineOnly)": surprise.BaselineOnly(verbose=False),
    "SVD": surprise.SVD(**random),
    "SVD, tuned": surprise.SVD(n_factors=50, n_epochs=30, reg_all=0.08, **random),
    "KNNBaseline": surprise.KNNBaseline(sim_options=KNN, verbose=False),
    "SVD++": surprise.SVDpp(**random),
}
labels = np.array([row[2] for row in test])
found = {}
for name, model in models.items():
    model.fit(known)
    scores = np.array([each.est for each in model.test(test)])
    found[name] = {
        "mean_squared_error": float(np.mean((scores - labels) ** 2)),
        "accuracy": float(np.mean((scores > 3.5) == (labels > 3))),
    }
print(json.dumps(found))
