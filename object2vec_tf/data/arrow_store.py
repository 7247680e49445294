"""Pairs in an Arrow file, and any rows of it by memory-mapped access.

The file is Arrow's IPC format with a record batch for each part that was written: two
lists of ids in the narrowest type that the vocabulary fits, a label and a weight. Every
program that knows Arrow can read it.
"""

from __future__ import annotations

import dataclasses
import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from object2vec_tf.data.json_lines import Block, Labels
from object2vec_tf.files.locks import lock
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import Counts, RaggedColumn, Splits, gathered

# Blocks of few rows share a part until they have this many rows or tokens.
_PART_ROWS = 1 << 16
_PART_TOKENS = 1 << 20
# So much of a file may count as this process's memory before it is told to let go of
# what it has looked at; the file stays in the system's cache.
_RESIDENT_BYTES = 1 << 29
_TAKES_A_LOOK = 16


def schema(hyperparameters: Hyperparameters) -> pa.Schema:
    """Returns the columns' types."""
    softmax = hyperparameters.output_layer == "softmax"
    label = _narrowest(hyperparameters.num_classes) if softmax else pa.float32()
    return pa.schema(
        [
            ("in0", pa.list_(_narrowest(hyperparameters.enc0_vocab_size))),
            ("in1", pa.list_(_narrowest(hyperparameters.enc1_vocab_size))),
            ("label", label),
            ("weight", pa.float32()),
        ]
    )


def _narrowest(values: int) -> pa.DataType:
    """Returns the smallest type of integers that holds 0 up to values."""
    for kind in (pa.uint8(), pa.uint16()):
        if values <= 1 << kind.bit_width:
            return kind
    return pa.int32()


class ColumnWriter:
    """Writes blocks of pairs to a file.

    Args:
        path: The file.
        hyperparameters: Those the blocks were checked against.
    """

    def __init__(self, path: Path, hyperparameters: Hyperparameters) -> None:
        self._schema = schema(hyperparameters)
        self._file = path.open("wb")
        self._writer = pa.ipc.new_file(self._file, self._schema)
        self._blocks: list[Block] = []
        self._rows = self._tokens = 0

    def write(self, block: Block) -> int:
        """Takes a block; returns the bytes written so far."""
        self._blocks.append(block)
        self._rows += len(block.labels)
        self._tokens += block.in0.tokens + block.in1.tokens
        if self._rows >= _PART_ROWS or self._tokens >= _PART_TOKENS:
            self._flush()
        return self._file.tell()

    def close(self) -> None:
        """Ends the file; it is whole then."""
        self._flush()
        self._writer.close()
        self._file.close()

    def abandon(self) -> None:
        """Closes the file as it is."""
        with suppress(OSError):  # what it still holds finds no room either
            self._file.close()

    def _flush(self) -> None:
        if not self._blocks:
            return
        block = concatenated(self._blocks)
        arrays = [
            pa.ListArray.from_arrays(
                pa.array(column.row_splits.astype(np.int32)),
                pa.array(column.values.astype(kind.value_type.to_pandas_dtype())),
                type=kind,
            )
            for column, kind in (
                (block.in0, self._schema.field("in0").type),
                (block.in1, self._schema.field("in1").type),
            )
        ]
        kind = self._schema.field("label").type
        arrays.append(pa.array(block.labels.astype(kind.to_pandas_dtype())))
        arrays.append(pa.array(block.given_weights))
        self._writer.write_batch(
            pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        )
        self._blocks, self._rows, self._tokens = [], 0, 0


def concatenated(blocks: list[Block]) -> Block:
    """Returns the pairs of all blocks, one after the other."""
    weighted = any(block.weights is not None for block in blocks)
    return Block(
        RaggedColumn.concatenate([block.in0 for block in blocks]),
        RaggedColumn.concatenate([block.in1 for block in blocks]),
        np.concatenate([block.labels for block in blocks]),
        np.concatenate([block.given_weights for block in blocks]) if weighted else None,
    )


class _Map:
    """A file's bytes in memory; a shared lock tells others that it is in use."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.size = len(self.bytes)
            self._lock = os.dup(file.fileno())
        lock(self._lock, shared=True, timeout=0)
        self._takes = 0
        self._at_first = _mapped_bytes()

    def __del__(self) -> None:
        lock = getattr(self, "_lock", None)
        if lock is not None:
            os.close(lock)

    def view(self, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Returns all of the file as numbers of one type."""
        kind = np.dtype(dtype)
        return np.frombuffer(self.bytes, kind, self.size // kind.itemsize)

    def taken(self) -> None:
        """Is told of each batch taken, and keeps resident memory bounded."""
        self._takes += 1
        if self.size <= _RESIDENT_BYTES or self._takes % _TAKES_A_LOOK:
            return
        if _mapped_bytes() - self._at_first > _RESIDENT_BYTES:
            self.bytes.madvise(mmap.MADV_DONTNEED)


def _mapped_bytes() -> int:
    """Returns how much of this process's memory are files; 0 where none tells."""
    try:
        pages = Path("/proc/self/statm").read_bytes().split()[2]
    except OSError:
        return 0
    return int(pages) * mmap.PAGESIZE


@dataclasses.dataclass(frozen=True, eq=False)
class _Parts:
    """Where the record batches of a file are.

    Attributes:
        map: The file's bytes.
        first_rows: The number of each part's first row, ``[parts]``.
        rows: The number of all rows.
    """

    map: _Map
    first_rows: Splits
    rows: int

    def of(self, rows: Counts) -> Splits:
        """Returns the part that each row is in."""
        return np.searchsorted(self.first_rows, rows, "right") - 1


@dataclasses.dataclass(frozen=True, eq=False)
class MappedColumn:
    """Rows of token ids in a file.

    Attributes:
        tokens: The number of tokens of all rows.
    """

    tokens: int
    _parts: _Parts
    _offsets: npt.NDArray[np.int32]
    _values: npt.NDArray[np.integer[Any]]
    # By part: where the offset of row 0 would be, and where the values start.
    _offset_shifts: Splits
    _value_starts: Splits

    def __len__(self) -> int:
        """Returns the number of rows."""
        return self._parts.rows

    @property
    def lengths(self) -> Counts:
        """The number of tokens in each row, int32 ``[rows]``."""
        lengths = np.empty(len(self), np.int32)
        first = self._parts.first_rows
        for start, stop, shift in zip(
            first, [*first[1:], len(self)], self._offset_shifts, strict=True
        ):
            np.subtract(
                self._offsets[shift + start + 1 : shift + stop + 1],
                self._offsets[shift + start : shift + stop],
                out=lengths[start:stop],
            )
        return lengths

    def take(self, rows: Counts) -> RaggedColumn:
        """Returns the given rows, in the given order."""
        self._parts.map.taken()
        part = self._parts.of(rows)
        at = rows + self._offset_shifts[part]
        begins = self._offsets[at]
        lengths = (self._offsets[at + 1] - begins).astype(np.int64)
        return gathered(self._values, begins + self._value_starts[part], lengths)


@dataclasses.dataclass(frozen=True, eq=False)
class MappedNumbers:
    """Labels or weights in a file; ``np.asarray`` reads them all.

    Attributes:
        dtype: int64 or float32, of the numbers that are given out.
    """

    dtype: np.dtype[Any]
    _parts: _Parts
    _values: npt.NDArray[Any]
    _shifts: Splits

    def __len__(self) -> int:
        """Returns how many there are."""
        return self._parts.rows

    def take(self, rows: Counts) -> Labels:
        """Returns those of the given rows."""
        at = rows + self._shifts[self._parts.of(rows)]
        return self._values[at].astype(self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Returns all."""
        return np.asarray(self.take(np.arange(len(self))), dtype)

    def mean(self) -> float:
        """Returns their mean."""
        starts = range(0, len(self), _PART_ROWS)
        sums = [
            self.take(np.arange(start, min(start + _PART_ROWS, len(self)))).sum(
                dtype=np.float64
            )
            for start in starts
        ]
        return float(np.sum(sums) / len(self))


def open_columns(
    path: Path, hyperparameters: Hyperparameters
) -> tuple[MappedColumn, MappedColumn, MappedNumbers, MappedNumbers]:
    """Returns the columns of a file that `ColumnWriter` wrote.

    Raises:
        ValueError: It is no such file.
        OSError: It cannot be read.
    """
    held = _Map(path)
    buffer = pa.py_buffer(held.bytes)
    reader = pa.ipc.open_file(pa.BufferReader(buffer))
    if reader.schema != schema(hyperparameters):
        raise ValueError("its columns are others")
    batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    first_rows = np.cumsum([0, *(batch.num_rows for batch in batches)])
    parts = _Parts(held, first_rows[:-1], int(first_rows[-1]))

    def starts(arrays: list[pa.Array], dtype: npt.DTypeLike) -> Splits:
        """Where the arrays' last buffers start, in a view of the whole file."""
        places = []
        for array in arrays:
            data = array.buffers()[-1]
            place = data.address - buffer.address if data is not None else 0
            if array.offset or place % np.dtype(dtype).itemsize:
                raise ValueError("its columns do not lie as they were written")
            places.append(place // np.dtype(dtype).itemsize)
        return np.array(places, np.int64)

    def column(name: str) -> MappedColumn:
        arrays = [batch.column(name) for batch in batches]
        kind = reader.schema.field(name).type.value_type.to_pandas_dtype()
        tokens = sum(len(array.values) for array in arrays)
        offsets = starts([array.offsets for array in arrays], np.int32)
        return MappedColumn(
            tokens,
            parts,
            held.view(np.int32),
            held.view(kind),
            offsets - parts.first_rows,
            starts([array.values for array in arrays], kind),
        )

    def numbers(name: str, dtype: npt.DTypeLike) -> MappedNumbers:
        kind = reader.schema.field(name).type.to_pandas_dtype()
        places = starts([batch.column(name) for batch in batches], kind)
        shifts = places - parts.first_rows
        return MappedNumbers(np.dtype(dtype), parts, held.view(kind), shifts)

    softmax = hyperparameters.output_layer == "softmax"
    labels = numbers("label", np.int64 if softmax else np.float32)
    return column("in0"), column("in1"), labels, numbers("weight", np.float32)
