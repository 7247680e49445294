"""Batches in the static layout, as tensors of a step; see `ragged.static_layout`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from object2vec_tf.ragged.static_layout import BatchShape


@dataclasses.dataclass(frozen=True)
class StaticRows:
    """The rows of tokens of one side of a batch.

    Attributes:
        cells: The position of each cell's token among the unique tokens; their number
            in empty cells. int32 ``[chunks, width]``.
        chunk_rows: The row of each chunk; the number of rows for padding. int32
            ``[chunks]``.
        starts: The first chunk of each row, int32 ``[rows + 1]``.
        lengths: The number of tokens of each row, int32 ``[rows]``.
        row_chunks: The largest number of chunks of a row.
    """

    cells: tf.Tensor
    chunk_rows: tf.Tensor
    starts: tf.Tensor
    lengths: tf.Tensor
    row_chunks: int

    @classmethod
    def of_side(
        cls, arrays: Mapping[str, tf.Tensor], shape: BatchShape, side: int
    ) -> StaticRows:
        """Returns the rows of in0 (0) or of in1 (1) of unpacked arrays."""
        return cls(
            cells=arrays[f"cells{side}"],
            chunk_rows=arrays[f"chunk_rows{side}"],
            starts=arrays[f"starts{side}"],
            lengths=arrays[f"lengths{side}"],
            row_chunks=shape.row_chunks[side],
        )

    def row_chunk_ids(self) -> tf.Tensor:
        """Returns the chunks of each row, int32 ``[rows, row_chunks]``.

        A row with fewer chunks is filled up with the last chunk, which is empty.
        """
        chunks = self.starts[:-1, tf.newaxis] + tf.range(self.row_chunks)
        last = self.cells.shape[0] - 1
        return tf.where(chunks < self.starts[1:, tf.newaxis], chunks, last)


def unpack(vector: tf.Tensor, shape: BatchShape) -> dict[str, tf.Tensor]:
    """Returns the arrays of a batch by name; see `BatchShape.fields`.

    Args:
        vector: int32 ``[shape.size]``.
        shape: The shape of the batch.

    Example:
        >>> import numpy as np
        >>> from object2vec_tf.ragged.static_layout import Layout, SideLayout
        >>> sides = (SideLayout(width=2), SideLayout(width=1))
        >>> layout = Layout(sides, False, (9, 9), real_labels=True)
        >>> shape = BatchShape(layout, 1, (2, 2), (2, 2), (1, 1))
        >>> vector = np.arange(shape.size, dtype=np.int32)
        >>> vector[shape.fields()["labels"].start] = np.float32(0.5).view(np.int32)
        >>> arrays = unpack(tf.constant(vector), shape)
        >>> arrays["cells0"].numpy().tolist()
        [[4, 5], [6, 7]]
        >>> arrays["labels"].numpy().tolist()
        [0.5]
    """
    arrays = {}
    for name, field in shape.fields().items():
        array = tf.reshape(vector[field.start : field.stop], field.shape)
        arrays[name] = tf.bitcast(array, tf.float32) if field.is_float else array
    return arrays
