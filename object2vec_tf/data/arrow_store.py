"""Stores pairs in an Arrow file, and reads any rows of it by memory mapping.

The file has Arrow's IPC format, so that other programs can read it. It contains one
record batch for each part that was written, with the columns in0 and in1 (lists of
token ids in the narrowest type that fits the vocabulary), label and weight.
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

from object2vec_tf.data.blocks import Block, Labels
from object2vec_tf.data.pair_schema import PairSchema
from object2vec_tf.files.locks import lock
from object2vec_tf.ragged.column import Counts, RaggedColumn, Splits, gather_rows

# Blocks are collected into a part until it has this many rows or tokens.
_PART_ROWS = 1 << 16
_PART_TOKENS = 1 << 20
# When more than this of the mapped files is resident in memory, its pages are released
# from the process. They stay in the system's page cache.
_MAX_RESIDENT_BYTES = 1 << 29
_TAKES_PER_CHECK = 16


def arrow_schema(schema: PairSchema) -> pa.Schema:
    """Returns the names and types of the columns of a file."""
    return pa.schema(
        [
            ("in0", pa.list_(_narrowest_integer(schema.vocab_sizes[0]))),
            ("in1", pa.list_(_narrowest_integer(schema.vocab_sizes[1]))),
            (
                "label",
                pa.float32()
                if schema.num_classes is None
                else _narrowest_integer(schema.num_classes),
            ),
            ("weight", pa.float32()),
        ]
    )


def _narrowest_integer(size: int) -> pa.DataType:
    """Returns the narrowest type of integers that fits 0 to ``size - 1``."""
    for kind in (pa.uint8(), pa.uint16()):
        if size <= 1 << kind.bit_width:
            return kind
    return pa.int32()


class ColumnWriter:
    """Writes blocks of pairs to a file.

    Args:
        path: The file.
        schema: The schema of the pairs.
        part_rows: Rows after which a part is written.
    """

    def __init__(
        self, path: Path, schema: PairSchema, part_rows: int = _PART_ROWS
    ) -> None:
        self._schema = arrow_schema(schema)
        self._part_rows = part_rows
        self._file = path.open("wb")
        self._writer = pa.ipc.new_file(self._file, self._schema)
        self._blocks: list[Block] = []
        self._rows = self._tokens = 0

    def write(self, block: Block) -> int:
        """Adds a block, and returns the number of bytes written so far."""
        self._blocks.append(block)
        self._rows += len(block.labels)
        self._tokens += block.in0.tokens + block.in1.tokens
        if self._rows >= self._part_rows or self._tokens >= _PART_TOKENS:
            self._flush()
        return self._file.tell()

    def close(self) -> None:
        """Writes the last part, and completes the file."""
        self._flush()
        self._writer.close()
        self._file.close()

    def abandon(self) -> None:
        """Closes the file without completing it."""
        with suppress(OSError):  # its buffer does not fit the disk either
            self._file.close()

    def _flush(self) -> None:
        if not self._blocks:
            return
        block = concatenate_blocks(self._blocks)
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
        arrays.append(pa.array(block.weights_or_ones))
        self._writer.write_batch(
            pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        )
        self._blocks, self._rows, self._tokens = [], 0, 0


def concatenate_blocks(blocks: list[Block]) -> Block:
    """Returns the pairs of all blocks in order."""
    weights = None
    if any(block.weights is not None for block in blocks):
        weights = np.concatenate([block.weights_or_ones for block in blocks])
    return Block(
        RaggedColumn.concatenate([block.in0 for block in blocks]),
        RaggedColumn.concatenate([block.in1 for block in blocks]),
        np.concatenate([block.labels for block in blocks]),
        weights,
    )


class _MappedFile:
    """The bytes of a file, memory-mapped.

    A shared lock shows other processes that the file is in use.
    """

    def __init__(self, path: Path, max_resident_bytes: int) -> None:
        with path.open("rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.size = len(self.bytes)
            self._lock = os.dup(file.fileno())
        lock(self._lock, shared=True, timeout=0)
        self._takes = 0
        self._max_resident_bytes = max_resident_bytes
        self._resident_at_start = _resident_file_bytes()

    def __del__(self) -> None:
        descriptor = getattr(self, "_lock", None)
        if descriptor is not None:
            os.close(descriptor)

    def view(self, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Returns the whole file as numbers of one type."""
        kind = np.dtype(dtype)
        return np.frombuffer(self.bytes, kind, self.size // kind.itemsize)

    def count_take(self) -> None:
        """Counts an access, and keeps the resident memory of the process bounded."""
        self._takes += 1
        if self.size <= self._max_resident_bytes or self._takes % _TAKES_PER_CHECK:
            return
        resident = _resident_file_bytes() - self._resident_at_start
        if resident > self._max_resident_bytes:
            self.bytes.madvise(mmap.MADV_DONTNEED)


def _resident_file_bytes() -> int:
    """Returns the bytes of files in the process's memory; 0 where they are unknown."""
    try:
        pages = Path("/proc/self/statm").read_bytes().split()[2]
    except OSError:
        return 0
    return int(pages) * mmap.PAGESIZE


@dataclasses.dataclass(frozen=True, eq=False)
class _Parts:
    """The parts (record batches) of a file.

    Attributes:
        file: The file's bytes.
        first_rows: The number of each part's first row, ``[parts]``.
        rows: The number of rows of all parts.
    """

    file: _MappedFile
    first_rows: Splits
    rows: int

    def part_of(self, rows: Counts) -> Splits:
        """Returns the number of the part that contains each row."""
        return np.searchsorted(self.first_rows, rows, "right") - 1


@dataclasses.dataclass(frozen=True, eq=False)
class MappedColumn:
    """Rows of token ids in a memory-mapped file.

    Attributes:
        tokens: The number of tokens of all rows.
    """

    tokens: int
    _parts: _Parts
    _offsets: npt.NDArray[np.int32]
    _values: npt.NDArray[np.integer[Any]]
    # By part: add a row's number to get the index of its offset.
    _offset_shifts: Splits
    # By part: the index of its first value.
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
        self._parts.file.count_take()
        part = self._parts.part_of(rows)
        index = rows + self._offset_shifts[part]
        starts = self._offsets[index]
        lengths = (self._offsets[index + 1] - starts).astype(np.int64)
        return gather_rows(self._values, starts + self._value_starts[part], lengths)


@dataclasses.dataclass(frozen=True, eq=False)
class MappedNumbers:
    """Labels or weights in a memory-mapped file; ``np.asarray`` reads all of them.

    Attributes:
        dtype: int64 or float32, the type of the numbers returned.
    """

    dtype: np.dtype[Any]
    _parts: _Parts
    _values: npt.NDArray[Any]
    # By part: add a row's number to get the index of its value.
    _shifts: Splits

    def __len__(self) -> int:
        """Returns the number of rows."""
        return self._parts.rows

    def take(self, rows: Counts) -> Labels:
        """Returns the numbers of the given rows."""
        index = rows + self._shifts[self._parts.part_of(rows)]
        return self._values[index].astype(self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Returns the numbers of all rows."""
        return np.asarray(self.take(np.arange(len(self))), dtype)

    def mean(self) -> float:
        """Returns the mean of all rows."""
        starts = range(0, len(self), _PART_ROWS)
        sums = [
            self.take(np.arange(start, min(start + _PART_ROWS, len(self)))).sum(
                dtype=np.float64
            )
            for start in starts
        ]
        return float(np.sum(sums) / len(self))


def open_columns(
    path: Path, schema: PairSchema, max_resident_bytes: int = _MAX_RESIDENT_BYTES
) -> tuple[MappedColumn, MappedColumn, MappedNumbers, MappedNumbers]:
    """Opens the columns of a file that `ColumnWriter` wrote.

    Args:
        path: The file.
        schema: The schema of the pairs.
        max_resident_bytes: Bytes of the file that may stay resident in the memory of
            the process.

    Returns:
        in0, in1, labels and weights.

    Raises:
        ValueError: The file was not written by `ColumnWriter` with this schema.
        OSError: The file cannot be read.
    """
    file = _ArrowFile(path, max_resident_bytes)
    if file.reader.schema != arrow_schema(schema):
        raise ValueError("its columns have other types")
    label_type = np.float32 if schema.num_classes is None else np.int64
    return (
        file.column("in0"),
        file.column("in1"),
        file.numbers("label", label_type),
        file.numbers("weight", np.float32),
    )


class _ArrowFile:
    """The columns of a memory-mapped Arrow file.

    Attributes:
        reader: Arrow's reader of the file.
    """

    def __init__(self, path: Path, max_resident_bytes: int) -> None:
        self._file = _MappedFile(path, max_resident_bytes)
        self._buffer = pa.py_buffer(self._file.bytes)
        self.reader: Any = pa.ipc.open_file(pa.BufferReader(self._buffer))
        count = self.reader.num_record_batches
        self._batches = [self.reader.get_batch(i) for i in range(count)]
        stops = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        self._parts = _Parts(self._file, stops[:-1], int(stops[-1]))

    def column(self, name: str) -> MappedColumn:
        """Returns a column of token ids."""
        arrays = [batch.column(name) for batch in self._batches]
        kind = self.reader.schema.field(name).type.value_type.to_pandas_dtype()
        tokens = sum(len(array.values) for array in arrays)
        offsets = self._starts([array.offsets for array in arrays], np.int32)
        return MappedColumn(
            tokens,
            self._parts,
            self._file.view(np.int32),
            self._file.view(kind),
            offsets - self._parts.first_rows,
            self._starts([array.values for array in arrays], kind),
        )

    def numbers(self, name: str, dtype: npt.DTypeLike) -> MappedNumbers:
        """Returns a column of numbers."""
        kind = self.reader.schema.field(name).type.to_pandas_dtype()
        starts = self._starts([batch.column(name) for batch in self._batches], kind)
        shifts = starts - self._parts.first_rows
        return MappedNumbers(
            np.dtype(dtype), self._parts, self._file.view(kind), shifts
        )

    def _starts(self, arrays: list[pa.Array], dtype: npt.DTypeLike) -> Splits:
        """Returns the index of each array's first number in a view of the file."""
        size = np.dtype(dtype).itemsize
        indices = []
        for array in arrays:
            data = array.buffers()[-1]
            position = data.address - self._buffer.address if data is not None else 0
            if array.offset or position % size:
                raise ValueError("its columns are not aligned as they were written")
            indices.append(position // size)
        return np.array(indices, np.int64)
