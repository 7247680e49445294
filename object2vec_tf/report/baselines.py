"""Baselines: the scores of simple models, to compare a run's own scores with.

For real-valued labels: the mean of the training labels, and the mean plus a bias for
each in0 and in1. For classes: the frequencies of the classes in the training channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.row_hashes import RowHashes, row_hashes

# The names in metrics.json.
CONSTANT, BIASES, PRIOR = "constant", "biases", "prior"
# The names and descriptions in tables and reports.
TITLES: Mapping[str, str] = {
    CONSTANT: "mean label",
    BIASES: "object biases",
    PRIOR: "class frequencies",
}
DESCRIPTIONS: Mapping[str, str] = {
    CONSTANT: "the mean training label for every pair",
    BIASES: "the mean training label plus a bias for each in0 and each in1",
    PRIOR: "the share of each class in the training pairs, sampled negatives included",
}
# Scores by baseline, channel and metric.
Baselines = dict[str, dict[str, dict[str, float]]]
FloatArray = npt.NDArray[np.float64]

# With more training pairs, biases are left out: they take 40 bytes per pair.
MAX_PAIRS = 5_000_000
# The number of sweeps and the regularization that are the defaults of BaselineOnly in
# scikit-surprise.
_SWEEPS, _REGULARIZATION_IN0, _REGULARIZATION_IN1 = 10, 15.0, 10.0
# The share of a class without training pairs, so that its cross entropy is finite.
_MIN_SHARE = 1e-7


def baselines(
    hyperparameters: Hyperparameters, channels: Mapping[str, Pairs]
) -> Baselines:
    """Fits simple models to the training channel and measures them on all channels.

    Args:
        hyperparameters: Determine whether labels are classes, and how many negatives
            are sampled per training pair.
        channels: The pairs by channel, with ``train`` among them.

    Returns:
        The scores by baseline, channel and metric.
    """
    if hyperparameters.output_layer == "softmax":
        shares = _class_shares(hyperparameters, channels["train"])
        return {
            PRIOR: {
                name: _class_scores(pairs, shares) for name, pairs in channels.items()
            },
        }
    labels = np.asarray(channels["train"].labels, np.float64)
    mean = float(np.average(labels, weights=_weights(channels["train"])))
    scores = {
        CONSTANT: {
            name: _value_scores(pairs, lambda _: mean)
            for name, pairs in channels.items()
        }
    }
    if len(channels["train"]) <= MAX_PAIRS:
        model = _BiasModel(channels["train"], mean)
        scores[BIASES] = {
            name: _value_scores(pairs, model) for name, pairs in channels.items()
        }
    return scores


def _weights(pairs: Pairs) -> FloatArray | None:
    return None if pairs.weights is None else np.asarray(pairs.weights, np.float64)


def _class_shares(hyperparameters: Hyperparameters, train: Pairs) -> FloatArray:
    """Returns the share of each class, ``[classes]``; negatives count as class 0."""
    labels, classes = np.asarray(train.labels), hyperparameters.num_classes
    counts = np.bincount(labels, _weights(train), classes).astype(float)
    counts[0] += hyperparameters.negative_sampling_rate * counts.sum()
    shares = np.maximum(counts / counts.sum(), _MIN_SHARE)
    return np.asarray(shares / shares.sum())


def _class_scores(pairs: Pairs, shares: FloatArray) -> dict[str, float]:
    labels, weights = np.asarray(pairs.labels), _weights(pairs)
    cross_entropies, hits = -np.log(shares[labels]), labels == shares.argmax()
    return {
        "cross_entropy": float(np.average(cross_entropies, weights=weights)),
        "accuracy": float(np.average(hits, weights=weights)),
    }


def _value_scores(
    pairs: Pairs, predict: Callable[[Pairs], float | FloatArray]
) -> dict[str, float]:
    errors = np.asarray(pairs.labels, np.float64) - predict(pairs)
    mean = np.average(errors**2, weights=_weights(pairs))
    return {"mean_squared_error": float(mean)}


class _BiasModel:
    """The mean plus a bias for each in0 and in1, fit by alternating least squares.

    Source: Koren, "Factor in the Neighbors" (2010), section 2.1.
    """

    def __init__(self, train: Pairs, mean: float) -> None:
        self._mean = mean
        residuals = np.asarray(train.labels, np.float64) - mean
        weights = _weights(train)
        if weights is None:
            weights = np.ones(len(residuals))
        numbered = [
            np.unique(row_hashes(column), return_inverse=True)
            for column in (train.in0, train.in1)
        ]
        self._keys: list[RowHashes] = [keys for keys, _ in numbered]
        # The number of the object in each pair, for in0 and in1.
        objects = [numbers for _, numbers in numbered]
        self._biases: list[FloatArray] = [np.zeros(len(keys)) for keys in self._keys]
        for _ in range(_SWEEPS):
            for side, regularization in (
                (1, _REGULARIZATION_IN1),
                (0, _REGULARIZATION_IN0),
            ):
                unexplained = residuals - self._biases[1 - side][objects[1 - side]]
                size = len(self._keys[side])
                total = np.bincount(objects[side], weights * unexplained, size)
                count = np.bincount(objects[side], weights, size)
                self._biases[side] = total / (count + regularization)

    def __call__(self, pairs: Pairs) -> FloatArray:
        """Predicts a value for each pair; objects not in training have no bias."""
        values = np.full(len(pairs), self._mean)
        columns = (pairs.in0, pairs.in1)
        for column, keys, biases in zip(columns, self._keys, self._biases, strict=True):
            hashes = row_hashes(column)
            positions = np.minimum(np.searchsorted(keys, hashes), len(keys) - 1)
            values += np.where(keys[positions] == hashes, biases[positions], 0.0)
        return values
