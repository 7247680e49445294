"""Prints the metrics of scikit-surprise's models on MovieLens as one line of JSON.

Runs in an environment with scikit-surprise. Arguments: the file of training pairs, the
file of test pairs, and a seed. All models but the tuned SVD have their default
settings.
"""

import json
import sys

import numpy as np
import surprise

train_file, test_file, seed = sys.argv[1:]


def read_triples(path):
    with open(path, encoding="utf-8") as file:
        pairs = map(json.loads, file)
        return [(row["in0"][0], row["in1"][0], float(row["label"])) for row in pairs]


class Ratings(surprise.dataset.DatasetAutoFolds):
    def __init__(self, rows):
        self.ratings_file = None
        self.reader = surprise.Reader(rating_scale=(1, 5))
        self.raw_ratings = [(*row, None) for row in rows]


train, test = read_triples(train_file), read_triples(test_file)
trainset = Ratings(train).build_full_trainset()
random_state = {"random_state": int(seed)}
KNN_OPTIONS = {"name": "pearson_baseline", "user_based": False}
models = {
    "biases (BaselineOnly)": surprise.BaselineOnly(verbose=False),
    "SVD": surprise.SVD(**random_state),
    "SVD, tuned": surprise.SVD(n_factors=50, n_epochs=30, reg_all=0.08, **random_state),
    "KNNBaseline": surprise.KNNBaseline(sim_options=KNN_OPTIONS, verbose=False),
    "SVD++": surprise.SVDpp(**random_state),
}
labels = np.array([row[2] for row in test])
metrics = {}
for name, model in models.items():
    model.fit(trainset)
    scores = np.array([prediction.est for prediction in model.test(test)])
    metrics[name] = {
        "mean_squared_error": float(np.mean((scores - labels) ** 2)),
        "accuracy": float(np.mean((scores > 3.5) == (labels > 3))),
    }
print(json.dumps(metrics))
