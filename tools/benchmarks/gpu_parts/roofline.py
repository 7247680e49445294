"""The least time of a training step: its bytes and operations, counted by hand.

A step must read and write some bytes of weights, and multiply some matrices. Divided by
the rates that the card reaches in a large copy and in a large product, each gives a
time; the larger one is the limit. Whatever a step could keep on the chip is not
counted.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from tools.benchmarks.gpu_parts.works import Work

# Bytes of a float32 and of an int32.
NUMBER = 4
# The forward pass reads a weight; Adam reads and writes it and both slots.
ADAM_PASSES = 7
# A product, and the products for the gradients of both factors; two operations each.
TRAINING_OPERATIONS = 6
# Filter width of hcnn.
FILTER = 3


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a training step cannot do without.

    Attributes:
        operations: Floating-point operations of matrix products and convolutions.
        bytes: Bytes read from and written to the memory of the GPU.
    """

    operations: float
    bytes: float

    def seconds(self, operations_per_second: float, bytes_per_second: float) -> float:
        """Returns the least time of a step.

        Example:
            >>> Cost(operations=6e12, bytes=3e9).seconds(2e12, 3e12)
            3.0
        """
        return max(
            self.operations / operations_per_second, self.bytes / bytes_per_second
        )


@dataclasses.dataclass(frozen=True)
class BatchSizes:
    """Mean sizes of a batch.

    Attributes:
        rows: Number of pairs.
        tokens: Number of tokens of both sides.
        unique: Number of distinct tokens in each table, added up.
    """

    rows: float
    tokens: float
    unique: float


def batch_sizes(batches: Sequence[tuple[np.ndarray, ...]], *, tied: bool) -> BatchSizes:
    """Returns the mean sizes of batches (ids, splits, ids, splits, labels)."""
    rows, tokens, unique = [], [], []
    for ids0, _, ids1, _, labels in batches:
        tables = [np.concatenate([ids0, ids1])] if tied else [ids0, ids1]
        rows.append(len(labels))
        tokens.append(len(ids0) + len(ids1))
        unique.append(sum(len(np.unique(table)) for table in tables))
    return BatchSizes(*(float(np.mean(numbers)) for numbers in (rows, tokens, unique)))


def dense_layers(work: Work) -> list[tuple[int, int]]:
    """Returns the shapes of the matrices that the comparator multiplies with."""
    compared = work.enc_dim if work.is_pooled else 4 * work.enc_dim
    widths = [compared, *work.mlp, 2]
    return list(itertools.pairwise(widths))


def encoder_layers(work: Work) -> list[tuple[int, int]]:
    """Returns the shapes of the matrices that each token is multiplied with."""
    if work.network == "hcnn":
        filters = work.enc_dim // 4
        return [(FILTER * width, filters) for width in (work.token_dim, *[filters] * 3)]
    if work.network == "bilstm":
        hidden = work.enc_dim // 2
        return [(work.token_dim + hidden, 4 * hidden)] * 2
    return []


def training_cost(work: Work, sizes: BatchSizes) -> Cost:
    """Returns the cost of a training step with Adam."""
    dense = sum(rows * columns for rows, columns in dense_layers(work))
    encoder = sum(rows * columns for rows, columns in encoder_layers(work))
    operations = TRAINING_OPERATIONS * (sizes.rows * dense + sizes.tokens * encoder)
    tables = 1 if work.is_pooled else 2
    weights = ADAM_PASSES * (dense + tables * encoder)
    if work.storage == "row_sparse":
        rows = ADAM_PASSES * sizes.unique * work.token_dim
    else:  # reads the rows of the batch, and updates the whole table
        table = tables * work.vocab_size * work.token_dim
        rows = sizes.unique * work.token_dim + (ADAM_PASSES - 1) * table
    return Cost(operations, NUMBER * (weights + rows + sizes.tokens))
