"""Baselines: the scores of simple models, to compare a run's own scores with.

For real-valued labels: the mean of the training labels, and the mean plus a bias for
each in0 and in1, or for each of their tokens if some have several. For classes: the
frequencies of the classes in the training channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.metrics.auc import AUC
from object2vec_tf.ragged.row_hashes import RowHashes, row_hashes
from object2vec_tf.report.token_biases import (
    MAX_TOKENS,
    REGULARIZATION,
    TokenBiases,
    count_tokens,
)

# The names in metrics.json.
CONSTANT, BIASES, PRIOR = "constant", "biases", "prior"
TOKEN_BIASES = "token_biases"
POPULARITY = "popularity"
# The names and descriptions in tables and reports.
TITLES: Mapping[str, str] = {
    CONSTANT: "mean label",
    BIASES: "object biases",
    TOKEN_BIASES: "token biases",
    PRIOR: "class frequencies",
    POPULARITY: "popularity",
}
DESCRIPTIONS: Mapping[str, str] = {
    CONSTANT: "the mean training label for every pair",
    BIASES: "the mean training label plus a bias for each in0 and each in1 that occurs "
    "in the training pairs",
    TOKEN_BIASES: "the mean training label plus the mean of the biases of the tokens "
    "of in0, and that of in1",
    PRIOR: "the share of each class in the training pairs, sampled negatives included",
    POPULARITY: "items ranked by their number of true training pairs",
}
# Scores by baseline, channel and metric.
Baselines = dict[str, dict[str, dict[str, float]]]
FloatArray = npt.NDArray[np.float64]

# With more training pairs, biases are left out: they take 40 bytes per pair.
MAX_PAIRS = 5_000_000
# The default of BaselineOnly in scikit-surprise.
_SWEEPS = 10
# The share of a class without training pairs, so that its cross entropy is finite.
_MIN_SHARE = 1e-7


def baselines(
    hyperparameters: Hyperparameters,
    channels: Mapping[str, Pairs],
    negatives: Mapping[str, float] | None = None,
) -> Baselines:
    """Fits simple models to the training channel and measures them on all channels.

    The training pairs include the negatives of an epoch, which have label 0. Biases
    have no score on them: which objects they combine is not known here. Biases of
    objects are those of whole objects: for histories, most of which occur once, they
    are near the mean. Where objects have several tokens, biases of tokens follow.

    Args:
        hyperparameters: Determine whether labels are classes, and how many negatives
            are sampled per training pair.
        channels: The pairs by channel, with ``train`` among them.
        negatives: The negatives of an epoch, with their ``weight`` (see
            `object2vec_tf.data.batch_negatives.NegativeTally`); None for as many as
            the hyperparameters ask for.

    Returns:
        The scores by baseline, channel and metric.
    """
    train = channels["train"]
    added = dict.fromkeys(channels, 0.0)
    added["train"] = _negative_weight(hyperparameters, train, negatives)
    if hyperparameters.output_layer == "softmax":
        shares = class_shares(hyperparameters, train, negatives)
        return {
            PRIOR: {
                name: _class_scores(pairs, shares, added[name])
                for name, pairs in channels.items()
            },
        }
    pair_mean, weight = train.mean_label(), _total_weight(train)
    mean = pair_mean * weight / (weight + added["train"])
    scores = {
        CONSTANT: {
            name: _value_scores(pairs, mean, added[name])
            for name, pairs in channels.items()
        }
    }
    models: dict[str, Callable[[Pairs], FloatArray]] = {}
    if len(train) <= MAX_PAIRS:
        models[BIASES] = _BiasModel(train, pair_mean)
    tokens = count_tokens(train)
    if len(train) < tokens / 2 and tokens <= MAX_TOKENS:  # objects of several tokens
        models[TOKEN_BIASES] = TokenBiases(train, pair_mean, _weights(train))
    for title, model in models.items():
        scores[title] = {
            name: _value_scores(pairs, model(pairs))
            for name, pairs in channels.items()
            if not added[name]
        }
    return scores


def _negative_weight(
    hyperparameters: Hyperparameters,
    train: Pairs,
    negatives: Mapping[str, float] | None,
) -> float:
    """Returns the sum of the weights of an epoch's negatives."""
    if negatives is not None:
        return float(negatives["weight"])
    return hyperparameters.negative_sampling_rate * _total_weight(train)


def _total_weight(pairs: Pairs) -> float:
    weights = _weights(pairs)
    return float(len(pairs)) if weights is None else float(weights.sum())


def _weights(pairs: Pairs) -> FloatArray | None:
    return None if pairs.weights is None else np.asarray(pairs.weights, np.float64)


def class_shares(
    hyperparameters: Hyperparameters,
    train: Pairs,
    negatives: Mapping[str, float] | None = None,
) -> FloatArray:
    """Returns the share of each class in the training pairs, ``[num_classes]``.

    Args:
        hyperparameters: Determine the number of classes and of negatives.
        train: The pairs of the training channel.
        negatives: The negatives, which count as class 0; see `baselines`.
    """
    classes = hyperparameters.num_classes
    counts = np.bincount(np.asarray(train.labels), _weights(train), classes)
    counts = counts.astype(float)
    counts[0] += _negative_weight(hyperparameters, train, negatives)
    shares = np.maximum(counts / counts.sum(), _MIN_SHARE)
    return np.asarray(shares / shares.sum())


def _class_scores(
    pairs: Pairs, shares: FloatArray, negatives: float
) -> dict[str, float]:
    """Returns the scores on pairs, and on negatives of the given total weight."""
    labels = np.asarray(pairs.labels)
    hits = (labels == shares.argmax()).astype(float)
    scores = {
        "cross_entropy": _mean(
            pairs, -np.log(shares[labels]), negatives, -float(np.log(shares[0]))
        ),
        "accuracy": _mean(pairs, hits, negatives, float(shares.argmax() == 0)),
    }
    if len(shares) == 2 and (has_both_classes(pairs) or (negatives and labels.any())):
        scores[AUC] = 0.5  # all scores are equal
    return scores


def has_both_classes(pairs: Pairs) -> bool:
    """Returns whether pairs of class 0 and of class 1 have weights above 0."""
    labels, weights = np.asarray(pairs.labels), _weights(pairs)
    counted = labels if weights is None else labels[weights > 0]
    return bool(len(counted)) and counted.min() != counted.max()


def _value_scores(
    pairs: Pairs, values: float | FloatArray, negatives: float = 0.0
) -> dict[str, float]:
    """Returns the score of one value for all pairs, or of a value for each."""
    errors = np.square(np.asarray(pairs.labels, np.float64) - values)
    on_negatives = values**2 if isinstance(values, float) else 0.0
    return {"mean_squared_error": _mean(pairs, errors, negatives, on_negatives)}


def _mean(
    pairs: Pairs, scores: FloatArray, negatives: float, on_negatives: float
) -> float:
    """Returns the weighted mean of the scores of pairs and of negatives."""
    mean = float(np.average(scores, weights=_weights(pairs)))
    weight = _total_weight(pairs)
    return (mean * weight + on_negatives * negatives) / (weight + negatives)


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
            for side in (1, 0):
                unexplained = residuals - self._biases[1 - side][objects[1 - side]]
                size = len(self._keys[side])
                total = np.bincount(objects[side], weights * unexplained, size)
                count = np.bincount(objects[side], weights, size)
                self._biases[side] = total / (count + REGULARIZATION[side])

    def __call__(self, pairs: Pairs) -> FloatArray:
        """Predicts a value for each pair; objects not in training have no bias."""
        values = np.full(len(pairs), self._mean)
        columns = (pairs.in0, pairs.in1)
        for column, keys, biases in zip(columns, self._keys, self._biases, strict=True):
            hashes = row_hashes(column)
            positions = np.minimum(np.searchsorted(keys, hashes), len(keys) - 1)
            values += np.where(keys[positions] == hashes, biases[positions], 0.0)
        return values
