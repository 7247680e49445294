"""Pretrained token vectors: GloVe's and fastText's text, word2vec's text and binary."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from object2vec_tf.errors import DataError
from object2vec_tf.files.channels import open_file
from object2vec_tf.files.line_blocks import read_line_blocks

Vectors = npt.NDArray[np.float32]

# Ids and their vectors.
_Found = tuple[npt.NDArray[np.int64], Vectors]

_BLOCK_BYTES = 1 << 23
# Blocks that are parsed at the same time.
_AT_ONCE = 2
# How fastText's own models begin, which hold much besides vectors.
_FASTTEXT_MODEL = (793712314).to_bytes(4, "little")
_LONGEST_HEADER = 64
_LONGEST_WORD = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class PretrainedVectors:
    """The vectors of a vocabulary.

    Attributes:
        rows: float32 ``[vocab_size, dim]``.
        found: How many words have a vector in the file.
        words: How many words there are.
    """

    rows: Vectors
    found: int
    words: int


def read_vectors(
    path: Path,
    vocabulary: Mapping[str, int],
    vocab_size: int,
    dim: int,
    *,
    setting: str = "dim",
    seed: int = 0,
) -> PretrainedVectors:
    """Reads the vectors of a vocabulary's words from a file of any size.

    What is kept besides them is a block of the file. The rows of other words and ids
    are drawn from normal distributions with each column's mean and variance, as the
    columns of word vectors differ in both. Of a word that stands there twice, the
    first vector counts.

    Args:
        path: GloVe's text; word2vec's text or fastText's ``.vec``, which have a line of
            two numbers in front; word2vec's binary, ``.bin``. ``.gz`` and ``.zst`` are
            unpacked.
        vocabulary: Ids by word.
        vocab_size: The number of rows.
        dim: The width of a vector.
        setting: The hyperparameter that gives it, for messages.
        seed: Of the rows that are drawn.

    Raises:
        DataError: The file cannot be read, has vectors of another width or that are
            none, or none for any word.
    """
    table = _Table(path, vocabulary, vocab_size, dim, setting)
    binary = Path(path.name.removesuffix(".gz").removesuffix(".zst")).suffix == ".bin"
    if binary:
        with open_file(path) as file:
            _read_binary(file, table)
    else:
        _read_text(table)
    return table.complete(seed)


class _Table:
    """The rows while a file is read."""

    def __init__(
        self,
        path: Path,
        vocabulary: Mapping[str, int],
        vocab_size: int,
        dim: int,
        setting: str,
    ) -> None:
        self.path = path
        self.dim = dim
        self._setting = setting
        self.ids = {word.encode(): number for word, number in vocabulary.items()}
        self.has_line_ends = False
        self.has_spaces = any(b" " in word for word in self.ids)
        self._rows = np.zeros((vocab_size, dim), np.float32)
        self._is_found = np.zeros(vocab_size, bool)

    def check_width(self, width: int) -> None:
        if width != self.dim:
            raise DataError(
                f"{self.path}:1: has vectors {width} wide, and {self._setting} is "
                f"{self.dim}; set {self._setting}={width}, or give another file"
            )

    def keep(self, ids: npt.NDArray[np.int64], vectors: Vectors) -> None:
        """Takes the vectors of ids, but for those that have one."""
        new = np.flatnonzero(~self._is_found[ids])[::-1]  # the first is put in last
        self._rows[ids[new]] = vectors[new]
        self._is_found[ids] = True

    def complete(self, seed: int) -> PretrainedVectors:
        found = int(np.count_nonzero(self._is_found))
        if not found:
            shown = ", ".join(repr(word.decode()) for word in list(self.ids)[:3])
            raise DataError(
                f"{self.path}: has a vector for none of the {len(self.ids):,} words of "
                f"the vocabulary ({shown}, ...); are they written as in the file "
                "(small letters?), and is it the right file?"
            )
        missing = ~self._is_found
        if not missing.any():
            return PretrainedVectors(self._rows, found, len(self.ids))
        own = self._rows[self._is_found]
        mean, deviation = own.mean(0), own.std(0)
        size = (int(np.count_nonzero(missing)), self.dim)
        drawn = np.random.default_rng(seed).standard_normal(size, np.float32)
        self._rows[missing] = drawn * deviation + mean
        return PretrainedVectors(self._rows, found, len(self.ids))


def _read_text(table: _Table) -> None:
    """Reads a file block by block, of which two are parsed at a time."""
    line = 1
    parsing: collections.deque[Future[_Found]] = collections.deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for block in read_line_blocks(table.path, _BLOCK_BYTES):
            lines = _Lines(block, line, table)
            if line == 1:
                lines.check_start()
            parsing.append(pool.submit(lines.found))
            if len(parsing) > _AT_ONCE:
                table.keep(*parsing.popleft().result())
            line += block.count(b"\n")
        for found in parsing:
            table.keep(*found.result())
    if line == 1 and not parsing:
        raise DataError(f"{table.path}: is empty; fetch it again")


def _header(line: bytes) -> int | None:
    """Returns the width that a line of two numbers tells, None for another line."""
    parts = line.split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        return None
    return int(parts[1])


class _Lines:
    """Whole lines of words and numbers, the first of which has a number itself."""

    def __init__(self, block: bytes, first: int, table: _Table) -> None:
        self._block = block
        self._first = first
        self._table = table

    def check_start(self) -> None:
        """Checks the file's first line, and passes it over where it is a header."""
        if self._block.startswith(_FASTTEXT_MODEL):
            raise _fasttext_model(self._table.path)
        line, _, rest = self._block.partition(b"\n")
        # fastText ends its lines with a space, Windows with a return.
        second = rest.partition(b"\n")[0]
        self._table.has_line_ends = (line + second).endswith((b" ", b"\r"))
        width = _header(line)
        if width is None:
            self._table.check_width(line.rstrip().count(b" "))
        else:
            self._table.check_width(width)
            self._block, self._first = rest, self._first + 1

    def found(self) -> _Found:
        """Returns the ids of the vocabulary's words, and their vectors."""
        block, table = self._block, self._table
        if table.has_line_ends:
            block = block.replace(b"\r\n", b"\n").replace(b" \n", b"\n")
        if table.has_spaces:
            return self._one_by_one(block)
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
        if not block.endswith(b"\n"):
            ends = np.append(ends, len(block))
        starts = np.concatenate([[0], ends[:-1] + 1])
        find = block.find
        words = [block[start : find(b" ", start)] for start in starts.tolist()]
        held = [-1 if i is None else i for i in map(table.ids.get, words)]
        ids = np.array(held, np.int64)
        kept = np.flatnonzero(ids >= 0)
        if not len(kept):
            return ids[:0], np.zeros((0, table.dim), np.float32)
        all_are = 2 * len(kept) > len(ids)
        if not all_are:
            pieces = zip(starts[kept].tolist(), ends[kept].tolist(), strict=True)
            text = b"\n".join([block[start:end] for start, end in pieces])
        try:
            vectors = self._parsed(block if all_are else text)
        except pa.ArrowInvalid:
            return self._one_by_one(block)
        if len(vectors) != len(ids if all_are else kept):
            return self._one_by_one(block)
        if all_are and len(kept) < len(ids):
            vectors = vectors[kept]
        if not np.isfinite(vectors).all():
            return self._one_by_one(block)
        return ids[kept], vectors

    def _parsed(self, text: bytes) -> Vectors:
        numbers = [str(i) for i in range(self._table.dim)]
        columns = pyarrow.csv.read_csv(
            pa.BufferReader(text),
            pyarrow.csv.ReadOptions(
                column_names=["word", *numbers], block_size=1 << 30, use_threads=False
            ),
            pyarrow.csv.ParseOptions(delimiter=" ", quote_char=False),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(numbers, pa.float32()),
                include_columns=numbers,
                null_values=[],
            ),
        )
        vectors = np.empty((columns.num_rows, len(numbers)), np.float32)
        for i, column in enumerate(columns.columns):
            vectors[:, i] = column.to_numpy()
        return vectors

    def _one_by_one(self, block: bytes) -> _Found:
        """Does the same where words hold spaces, and tells what is wrong."""
        dim, ids, vectors = self._table.dim, [], []
        for line, text in enumerate(block.split(b"\n"), self._first):
            if not text:
                continue
            word, *numbers = text.rsplit(b" ", dim)
            if len(numbers) < dim:
                raise self._malformed(line, f"has {len(numbers)} numbers, not {dim}")
            number = self._table.ids.get(word)
            if number is None:
                continue
            for each in numbers:
                if not _is_finite(each):
                    shown = each[:40].decode("utf-8", "replace")
                    raise self._malformed(line, f"has {shown!r} for a number")
            ids.append(number)
            vectors.append([float(each) for each in numbers])
        held = np.array(vectors, np.float32).reshape(-1, dim)
        return np.array(ids, np.int64), held

    def _malformed(self, line: int, what: str) -> DataError:
        return DataError(
            f"{self._table.path}:{line}: {what}; mend the line, or fetch the file again"
        )


def _fasttext_model(path: Path) -> DataError:
    return DataError(
        f"{path}: is a model of fastText, not its vectors; give the file .vec that "
        "comes with it"
    )


def _is_finite(number: bytes) -> bool:
    """Whether it is a number that float32 holds."""
    try:
        return abs(float(number)) < 2.0**128
    except ValueError:
        return False


def _read_binary(file: BinaryIO, table: _Table) -> None:
    start = _more(file, table, _LONGEST_HEADER)
    header, _, rest = start.partition(b"\n")
    if start.startswith(_FASTTEXT_MODEL):
        raise _fasttext_model(table.path)
    width = _header(header)
    if width is None:
        raise DataError(
            f"{table.path}: does not begin with the number of words and the width, as "
            "word2vec's binary files do; give another file, or a name without .bin if "
            "it is text"
        )
    table.check_width(width)
    ids, vectors = [], []
    count = int(header.split()[0])
    for word, vector in _records(file, rest, count, table):
        number = table.ids.get(word)
        if number is not None:
            ids.append(number)
            vectors.append(vector)
    if ids:
        rows = np.frombuffer(b"".join(vectors), "<f4").reshape(-1, table.dim)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            by_id = {number: word for word, number in table.ids.items()}
            raise DataError(
                f"{table.path}: the vector of {by_id[ids[bad[0]]].decode()!r} is not "
                "finite; fetch the file again"
            )
        table.keep(np.array(ids), rows.astype(np.float32))


def _records(
    file: BinaryIO, held: bytes, count: int, table: _Table
) -> Iterator[tuple[bytes, bytes]]:
    """Yields each word and the bytes of its vector."""
    size, place = 4 * table.dim, 0
    for number in range(count):
        end = held.find(b" ", place)
        while end < 0 or end + 1 + size > len(held):
            more = _more(file, table, _BLOCK_BYTES)
            held, place = held[place:] + more, 0
            end = held.find(b" ")
            if not more:
                raise DataError(
                    f"{table.path}: ends at word {number + 1:,} of {count:,}; the file "
                    "is incomplete, fetch it again"
                )
        word = held[place:end].lstrip(b"\n")
        if len(word) > _LONGEST_WORD:
            raise DataError(
                f"{table.path}: word {number + 1:,} has no end; the file is damaged, "
                "fetch it again"
            )
        yield word, held[end + 1 : end + 1 + size]
        place = end + 1 + size


def _more(file: BinaryIO, table: _Table, size: int) -> bytes:
    try:
        return file.read(size)
    except (OSError, EOFError) as error:
        raise DataError(
            f"{table.path}: cannot be read to its end: {error}; fetch it again"
        ) from error
