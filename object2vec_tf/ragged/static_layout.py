"""The static layout of a batch: arrays of a few sizes, in one vector per step.

XLA compiles a training step for each combination of shapes, so batches for XLA come in
a few shapes only. The input pipeline finds the unique tokens of a batch and lays out
its rows in numpy (`object2vec_tf.data`); the step reads the arrays back by their
offsets (`object2vec_tf.layers`). One vector per step is one copy to the device.

A row of tokens occupies whole chunks of ``width`` cells; an empty row has none. A cell
has the position of its token among the unique tokens. The rows [5, 7, 5] and [7] have,
at a width of 2, the unique tokens [5, 7], the chunks [[0, 1], [0, -], [1, -]] and the
first chunks [0, 2].

Several replicas have a vector each. It has the tokens of the replica's own rows, and
everything else of the whole batch, the unique tokens too: so the gradients of the
replicas have the same rows.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import NamedTuple

# Arrays that concern only the rows of a replica.
OWN_FIELDS = frozenset(
    f"{name}{side}"
    for name in ("cells", "chunk_rows", "starts", "lengths")
    for side in (0, 1)
)


class Field(NamedTuple):
    """An array of a batch.

    Attributes:
        start: Index of the array's first element in the vector.
        shape: Its shape.
        is_float: Whether it is float32; otherwise it is int32.
    """

    start: int
    shape: tuple[int, ...]
    is_float: bool

    @property
    def stop(self) -> int:
        """The index after the array's last element."""
        return self.start + math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class SideLayout:
    """How the rows of in0, or of in1, are laid out.

    Attributes:
        width: Cells per chunk.
        gap: Minimum number of empty cells after each row. A convolution whose filter
            reaches this far then reads zeros between two rows.
    """

    width: int
    gap: int = 0


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the batches of a run have in common.

    Attributes:
        sides: The layouts of in0 and of in1.
        tied: Whether both sides look their tokens up in one table. Their unique tokens
            are then found together.
        vocab_sizes: Number of rows of the table of in0, and of that of in1.
        real_labels: Whether labels are float32 values; otherwise they are class ids.
        negatives: Number of negatives per pair that the pipeline draws.
        lists_known: Whether batches contain their objects and known pairs.
        has_frequencies: Whether batches contain the log frequencies of their objects.
        replicas: Number of replicas that share a batch.
    """

    sides: tuple[SideLayout, SideLayout]
    tied: bool
    vocab_sizes: tuple[int, int]
    real_labels: bool
    negatives: int = 0
    lists_known: bool = False
    has_frequencies: bool = False
    replicas: int = 1


@dataclasses.dataclass(frozen=True)
class BatchShape:
    """The shape of a batch: all sizes that a compiled step depends on.

    Attributes:
        layout: What all batches of the run have in common.
        rows: Number of rows R of a replica. Replica i has the rows from i * R on. Rows
            after the batch's pairs are padding.
        unique: Number of unique tokens U of each table: one number for tied sides,
            otherwise two. At least the last one is padding.
        chunks: Number of chunks C of in0 and of in1. At least the last one is padding.
        row_chunks: Largest number of chunks of a row M, of in0 and of in1.
        known: Number of entries of ``known``, padding included.
    """

    layout: Layout
    rows: int
    unique: tuple[int, ...]
    chunks: tuple[int, int]
    row_chunks: tuple[int, int]
    known: int = 0

    @property
    def batch_rows(self) -> int:
        """The number of rows B of all replicas."""
        return self.rows * self.layout.replicas

    def table(self, side: int) -> int:
        """Returns which of the ``unique`` arrays a side's cells refer to."""
        return 0 if self.layout.tied else side

    def fields(self) -> Mapping[str, Field]:
        """Returns the arrays of a batch, in the order of the vector.

        ========================= =================== ==================================
        name                      type and shape      content; padding
        ========================= =================== ==================================
        ``unique0``, ``unique1``  int32 [U]           distinct token ids of a table,
                                                      ascending; its vocab size, so that
                                                      a gather is masked and a scatter
                                                      drops it
        ``cells0``, ``cells1``    int32 [C, width]    position in ``unique``; U
        ``chunk_rows0``, ``1``    int32 [C]           row of each chunk; R
        ``starts0``, ``starts1``  int32 [R + 1]       first chunk of each row, ascending
        ``lengths0``, ``1``       int32 [R]           tokens of each row; 0
        ``labels``                int32 or float32    labels; 0
                                  [B]
        ``weights``               float32 [B]         how many times a pair counts; 0
        ``count``                 int32 [1]           number of pairs
        ``negatives``             int32 [B, rate]     rows whose in1 are negatives; -1
        ``objects``               int32 [B, 2]        numbers of in0 and in1, equal for
                                                      equal objects; B - 1
        ``known``                 int32 [known]       number of in0 * B + number of in1
                                                      of each known pair, at least once;
                                                      B * B
        ``log_frequencies``       float32 [B, 2]      of in0 and of in1; 0
        ========================= =================== ==================================
        """
        return self._fields

    @functools.cached_property
    def _fields(self) -> Mapping[str, Field]:
        layout, rows, batch = self.layout, self.rows, self.batch_rows
        shapes: dict[str, tuple[tuple[int, ...], bool]] = {}
        for table, size in enumerate(self.unique):
            shapes[f"unique{table}"] = (size,), False
        for side in (0, 1):
            chunks = self.chunks[side]
            shapes[f"cells{side}"] = (chunks, layout.sides[side].width), False
            shapes[f"chunk_rows{side}"] = (chunks,), False
            shapes[f"starts{side}"] = (rows + 1,), False
            shapes[f"lengths{side}"] = (rows,), False
        shapes["labels"] = (batch,), layout.real_labels
        shapes["weights"] = (batch,), True
        shapes["count"] = (1,), False
        if layout.negatives:
            shapes["negatives"] = (batch, layout.negatives), False
        if layout.lists_known:
            shapes["objects"] = (batch, 2), False
            shapes["known"] = (self.known,), False
        if layout.has_frequencies:
            shapes["log_frequencies"] = (batch, 2), True
        fields, start = {}, 0
        for name, (shape, is_float) in shapes.items():
            fields[name] = Field(start, shape, is_float)
            start = fields[name].stop
        return fields

    @functools.cached_property
    def size(self) -> int:
        """The length of a batch's vector, in 4-byte elements."""
        return max(field.stop for field in self.fields().values())
