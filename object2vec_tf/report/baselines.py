"""What simple models score on a run's channels, so that its own scores mean something.

For values: the mean of the training labels, and the mean with a bias for each object of
either side. For classes: the shares of the classes among the training pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.row_hashes import RowHashes, row_hashes

CONSTANT, BIASES, PRIOR = "constant", "biases", "prior"
# Names in metrics.json, and what tables for people call them.
TITLES: Mapping[str, str] = {
    CONSTANT: "the mean label",
    BIASES: "biases of objects",
    PRIOR: "shares of classes",
}
# By name, by channel, by metric.
Baselines = dict[str, dict[str, dict[str, float]]]
Reals = npt.NDArray[np.float64]

# Above so many training pairs biases are left out: they take 40 bytes a pair.
MOST_PAIRS = 5_000_000
# The regularisation and the sweeps that scikit-surprise's BaselineOnly has by default.
_SWEEPS, _REG0, _REG1 = 10, 15.0, 10.0
# A class that no training pair has is not impossible.
_LEAST_SHARE = 1e-7


def baselines(
    hyperparameters: Hyperparameters, channels: Mapping[str, Pairs]
) -> Baselines:
    """Returns what simple models, made from the training channel, score on all.

    Args:
        hyperparameters: Tell values from classes, and how many negatives each training
            pair gets.
        channels: The pairs by channel, ``train`` among them.
    """
    if hyperparameters.output_layer == "softmax":
        share = _shares(hyperparameters, channels["train"])
        return {
            PRIOR: {name: _of_classes(p, share) for name, p in channels.items()},
        }
    labels = np.asarray(channels["train"].labels, np.float64)
    mean = float(np.average(labels, weights=_weights(channels["train"])))
    told = {
        CONSTANT: {name: _of_values(p, lambda _: mean) for name, p in channels.items()}
    }
    if len(channels["train"]) <= MOST_PAIRS:
        model = _Biases(channels["train"], mean)
        told[BIASES] = {name: _of_values(p, model) for name, p in channels.items()}
    return told


def _weights(pairs: Pairs) -> Reals | None:
    return None if pairs.weights is None else np.asarray(pairs.weights, np.float64)


def _shares(hyperparameters: Hyperparameters, train: Pairs) -> Reals:
    """Returns the share of each class, negatives counted."""
    labels, classes = np.asarray(train.labels), hyperparameters.num_classes
    counts = np.bincount(labels, _weights(train), classes).astype(float)
    counts[0] += hyperparameters.negative_sampling_rate * counts.sum()
    shares = np.maximum(counts / counts.sum(), _LEAST_SHARE)
    return np.asarray(shares / shares.sum())


def _of_classes(pairs: Pairs, shares: Reals) -> dict[str, float]:
    labels, weights = np.asarray(pairs.labels), _weights(pairs)
    costs, hits = -np.log(shares[labels]), labels == shares.argmax()
    return {
        "cross_entropy": float(np.average(costs, weights=weights)),
        "accuracy": float(np.average(hits, weights=weights)),
    }


def _of_values(
    pairs: Pairs, predict: Callable[[Pairs], float | Reals]
) -> dict[str, float]:
    errors = np.asarray(pairs.labels, np.float64) - predict(pairs)
    mean = np.average(errors**2, weights=_weights(pairs))
    return {"mean_squared_error": float(mean)}


class _Biases:
    """The mean, and a bias for each in0 and in1, by alternating least squares.

    Source: Koren, "Factor in the Neighbors" (2010), section 2.1.
    """

    def __init__(self, train: Pairs, mean: float) -> None:
        self._mean = mean
        rest = np.asarray(train.labels, np.float64) - mean
        weights = _weights(train)
        if weights is None:
            weights = np.ones(len(rest))
        sides = [
            np.unique(row_hashes(column), return_inverse=True)
            for column in (train.in0, train.in1)
        ]
        self._keys: list[RowHashes] = [keys for keys, _ in sides]
        places = [numbers for _, numbers in sides]
        self._biases: list[Reals] = [np.zeros(len(keys)) for keys in self._keys]
        for _ in range(_SWEEPS):
            for side, regularisation in ((1, _REG1), (0, _REG0)):
                left = rest - self._biases[1 - side][places[1 - side]]
                size = len(self._keys[side])
                total = np.bincount(places[side], weights * left, size)
                count = np.bincount(places[side], weights, size)
                self._biases[side] = total / (count + regularisation)

    def __call__(self, pairs: Pairs) -> Reals:
        """Returns a value for each pair; objects not seen have no bias."""
        told = np.full(len(pairs), self._mean)
        columns = (pairs.in0, pairs.in1)
        for column, keys, biases in zip(columns, self._keys, self._biases, strict=True):
            own = row_hashes(column)
            places = np.minimum(np.searchsorted(keys, own), len(keys) - 1)
            told += np.where(keys[places] == own, biases[places], 0.0)
        return told
