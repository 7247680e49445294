"""A batch of a static number of rows, of which the last ones may be padding."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from object2vec_tf.distributed.batch_shard import (
    BatchEncodings,
    Encode,
    EncodingPlan,
    FullBatch,
    Inputs,
    PairCounts,
)
from object2vec_tf.layers.static_rows import StaticRows, unpack
from object2vec_tf.optimizers.gradients import Gradient, sum_repeated_rows
from object2vec_tf.ragged.static_layout import BatchShape

# Names of arrays of a batch that are not inputs of the model.
_LABELS, _WEIGHTS = "labels", "weights"


class PaddedInputs(Mapping[str, Any]):
    """The inputs of a batch in the static layout.

    Its items are the arrays of `BatchShape.fields`.

    Args:
        arrays: The arrays by name.
        shape: The shape of the batch.

    Attributes:
        shape: As given.
    """

    def __init__(self, arrays: Mapping[str, tf.Tensor], shape: BatchShape) -> None:
        self._arrays = arrays
        self.shape = shape

    def __getitem__(self, name: str) -> Any:
        """Returns an array."""
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        """Iterates over the names of the arrays."""
        return iter(self._arrays)

    def __len__(self) -> int:
        """Returns the number of arrays."""
        return len(self._arrays)

    @property
    def count(self) -> tf.Tensor:
        """The number of pairs, an int32 scalar."""
        return tf.reshape(self["count"], [])

    def rows(self, side: int) -> StaticRows:
        """Returns the rows of in0 (0) or of in1 (1)."""
        return StaticRows.of_side(self, self.shape, side)


def padded_data(
    vector: tf.Tensor, shape: BatchShape
) -> tuple[PaddedInputs, tf.Tensor, tf.Tensor]:
    """Returns a batch as the steps of `object2vec_tf.Object2Vec` take it.

    Args:
        vector: The arrays of the batch in one vector, int32 ``[shape.size]``.
        shape: The shape of the batch.

    Returns:
        Inputs, labels ``[rows]`` and weights float32 ``[rows]``. The weight of a row
        of padding is 0.
    """
    arrays = unpack(vector, shape)
    return PaddedInputs(arrays, shape), arrays[_LABELS], arrays[_WEIGHTS]


@dataclasses.dataclass(frozen=True)
class PaddedBatch(FullBatch):
    """The whole batch, with rows of padding that count for nothing.

    Attributes:
        count: Number of pairs, int32 scalar. Rows from this one on are padding.
        rows: Number of rows, padding included.
    """

    count: tf.Tensor
    rows: int

    @property
    def real_pairs(self) -> tf.Tensor:
        """See `BatchShard`."""
        return self.count

    def encode(
        self, encode: Encode, inputs: Inputs, plan: EncodingPlan
    ) -> BatchEncodings:
        """See `BatchShard`."""
        return BatchEncodings(self, encode(inputs))

    def contribution(
        self, mean: tf.Tensor, counts: PairCounts | None = None
    ) -> tf.Tensor:
        """See `BatchShard`: Keras divides the sum of the losses by all rows."""
        rows, pairs = self.rows, self.count
        if counts is not None:
            rows, pairs = counts.rows or rows, counts.own
        return mean * tf.cast(rows / pairs, mean.dtype)

    def metric_count(
        self, rows: tf.Tensor, counts: PairCounts | None = None
    ) -> tf.Tensor:
        """See `BatchShard`."""
        return self.count if counts is None else counts.own

    def reduce_gradients(
        self,
        gradients: Sequence[Gradient | None],
        as_rows: bool,
        distinct: bool,
        replicated: Sequence[bool],
    ) -> list[Gradient | None]:
        """See `BatchShard`: each table is looked up once, so indices are unique.

        The index of padding is the number of rows of the table.
        """
        return [
            sum_repeated_rows(gradient, as_rows, distinct=True)
            for gradient in gradients
        ]
