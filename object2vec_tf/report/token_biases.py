"""A baseline of objects with several tokens: the mean label plus a bias for each token.

It minimizes the squared errors of ``mean + mean(b0[in0]) + mean(b1[in1])``, plus the
squares of the biases times a regularization, by conjugate gradients (Hestenes and
Stiefel, 1952). For objects of one token this is the model of Koren, "Factor in the
Neighbors" (2010), section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.ragged.column import Column

FloatArray = npt.NDArray[np.float64]

# With more tokens in training, an iteration takes over a tenth of a second.
MAX_TOKENS: Final = 5_000_000
# For in0 and in1: the defaults of BaselineOnly in scikit-surprise.
REGULARIZATION: Final = (15.0, 10.0)
_ITERATIONS: Final = 30


def count_tokens(pairs: Pairs) -> int:
    """Returns the number of tokens of in0 and in1."""
    return int(pairs.in0.lengths.sum()) + int(pairs.in1.lengths.sum())


class TokenBiases:
    """Predicts values by biases of tokens.

    Args:
        train: The training pairs.
        mean: The mean of their labels.
        weights: Their weights, ``[pairs]``; None for 1.
    """

    def __init__(self, train: Pairs, mean: float, weights: FloatArray | None) -> None:
        self._mean = mean
        numbered = [
            np.unique(_all_tokens(column), return_inverse=True)
            for column in (train.in0, train.in1)
        ]
        self._tokens = [tokens for tokens, _ in numbered]
        sizes = [len(tokens) for tokens in self._tokens]
        means = [
            _TokenMeans(numbers, column.lengths, size)
            for (_, numbers), column, size in zip(
                numbered, (train.in0, train.in1), sizes, strict=True
            )
        ]
        weights = np.ones(len(train)) if weights is None else weights
        residuals = np.asarray(train.labels, np.float64) - mean
        regularization = np.repeat(REGULARIZATION, sizes)

        def product(biases: FloatArray) -> FloatArray:
            """Multiplies by the matrix of the normal equations."""
            first, second = np.split(biases, [sizes[0]])
            values = weights * (means[0].of(first) + means[1].of(second))
            return transposed(values) + regularization * biases

        def transposed(values: FloatArray) -> FloatArray:
            return np.concatenate([side.transposed(values) for side in means])

        solution = _solve(product, transposed(weights * residuals))
        self._biases = np.split(solution, [sizes[0]])

    def __call__(self, pairs: Pairs) -> FloatArray:
        """Predicts a value for each pair; tokens not in training have the bias 0."""
        values = np.full(len(pairs), self._mean)
        columns = (pairs.in0, pairs.in1)
        for column, tokens, biases in zip(
            columns, self._tokens, self._biases, strict=True
        ):
            column_tokens = _all_tokens(column)
            numbers = np.searchsorted(tokens, column_tokens)
            is_known = np.append(tokens, -1)[numbers] == column_tokens
            numbers = np.where(is_known, numbers, len(tokens))
            means = _TokenMeans(numbers, column.lengths, len(tokens) + 1)
            values += means.of(np.append(biases, 0.0))
        return values


def _all_tokens(column: Column) -> npt.NDArray[np.int32]:
    """Returns the tokens of all rows, which may be in a file."""
    return column.take(np.arange(len(column))).values


class _TokenMeans:
    """The linear map from values of tokens to their means over each object.

    Args:
        tokens: The tokens of all objects, ``[tokens]``.
        lengths: The number of tokens of each object, ``[rows]``.
        size: The number of different tokens.
    """

    def __init__(
        self, tokens: npt.NDArray[Any], lengths: npt.NDArray[Any], size: int
    ) -> None:
        self._tokens = tokens
        self._rows = np.repeat(np.arange(len(lengths)), lengths)
        self._shares = 1 / np.maximum(lengths, 1)
        self._size = size

    def of(self, biases: FloatArray) -> FloatArray:
        """Returns the means, ``[rows]``; 0 for an object without tokens."""
        rows = len(self._shares)
        sums = np.bincount(self._rows, biases[self._tokens], rows)
        return np.asarray(sums * self._shares, np.float64)

    def transposed(self, values: FloatArray) -> FloatArray:
        """Returns the transposed map of values of objects, ``[size]``."""
        shared = (values * self._shares)[self._rows]
        return np.asarray(np.bincount(self._tokens, shared, self._size), np.float64)


def _solve(
    product: Callable[[FloatArray], FloatArray], target: FloatArray
) -> FloatArray:
    """Returns the solution of a positive definite system, by conjugate gradients."""
    solution = np.zeros_like(target)
    residual = target.copy()
    direction = residual.copy()
    square = float(residual @ residual)
    for _ in range(_ITERATIONS):
        if square <= 1e-20 * float(target @ target):
            break
        image = product(direction)
        step = square / float(direction @ image)
        solution += step * direction
        residual -= step * image
        square, before = float(residual @ residual), square
        direction = residual + square / before * direction
    return solution
