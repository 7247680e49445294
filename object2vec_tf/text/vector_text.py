"""Vectors in text: GloVe's format, word2vec's text format and fastText's ``.vec``."""

from __future__ import annotations

import collections
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.csv

from object2vec_tf.errors import DataError
from object2vec_tf.files.line_blocks import open_line_blocks
from object2vec_tf.text.vector_table import (
    Ids,
    Vectors,
    VectorTable,
    header_width,
    reject_fasttext_model,
)

_PARALLEL_BLOCKS = 2


def read_text_vectors(table: VectorTable, block_bytes: int) -> None:
    """Adds the vectors of a text file to the table.

    The file is read in blocks of lines, and a few blocks are parsed in parallel.

    Args:
        table: Takes the vectors; it knows the file.
        block_bytes: Bytes to read at a time.

    Raises:
        DataError: The file cannot be read, or a line is malformed.
    """
    line, words = 1, 0
    expected_words: int | None = None
    has_line_ends = False
    parsing: collections.deque[Future[tuple[Ids, Vectors]]] = collections.deque()
    with (
        ThreadPoolExecutor(_PARALLEL_BLOCKS) as pool,
        open_line_blocks(table.path, block_bytes) as contents,
    ):
        for content in contents:
            block = _TextBlock(content, line, table)
            if line == 1:
                has_line_ends = block.check_first_line()
                expected_words = block.expected_words
            block.has_line_ends = has_line_ends
            parsing.append(pool.submit(block.vectors))
            if len(parsing) > _PARALLEL_BLOCKS:
                table.add(*parsing.popleft().result())
            line += content.count(b"\n")
            words += _count_lines(content)
        for block_vectors in parsing:
            table.add(*block_vectors.result())
    if line == 1 and not parsing:
        raise DataError(
            f"{table.path}: expected vectors, got an empty file. Download it again."
        )
    if expected_words is not None and words - 1 != expected_words:
        raise DataError(
            f"{table.path}: expected {expected_words:,} words, as its first line says, "
            f"got {words - 1:,}. The file is incomplete or damaged. Download it again."
        )


class _TextBlock:
    """A block of lines, each with a word and its numbers.

    Args:
        content: The lines.
        first_line: The number of the first one in the file, starting at 1.
        table: Has the vocabulary and the width.

    Attributes:
        has_line_ends: Whether lines end with a space or a carriage return.
        expected_words: The number of words of the file, if its first line says it.
    """

    def __init__(self, content: bytes, first_line: int, table: VectorTable) -> None:
        self._content = content
        self._first_line = first_line
        self._table = table
        self.has_line_ends = False
        self.expected_words: int | None = None

    def check_first_line(self) -> bool:
        """Checks the first line of the file, and skips it if it is a header.

        Returns:
            Whether lines end with a space, as fastText's, or a carriage return, as on
            Windows.
        """
        reject_fasttext_model(self._table.path, self._content)
        line, _, rest = self._content.partition(b"\n")
        second = rest.partition(b"\n")[0]
        width = header_width(line)
        if width is None:
            self._table.check_width(line.rstrip().count(b" "))
        else:
            self._table.check_width(width)
            self.expected_words = int(line.split()[0])
            self._content, self._first_line = rest, self._first_line + 1
        return (line + second).endswith((b" ", b"\r"))

    def vectors(self) -> tuple[Ids, Vectors]:
        """Returns the ids of the block's words in the vocabulary, and their vectors.

        Returns:
            int64 ``[count]`` and float32 ``[count, dim]``.

        Raises:
            DataError: A line is malformed.
        """
        content, table = self._content, self._table
        if self.has_line_ends:
            content = content.replace(b"\r\n", b"\n").replace(b" \n", b"\n")
        if table.has_spaces:
            return self._parse_lines(content)
        ends = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n"))
        if not content.endswith(b"\n"):
            ends = np.append(ends, len(content))
        starts = np.concatenate([[0], ends[:-1] + 1])
        find = content.find
        words = [content[start : find(b" ", start)] for start in starts.tolist()]
        ids = np.array(
            [-1 if id_ is None else id_ for id_ in map(table.ids.get, words)], np.int64
        )
        known = np.flatnonzero(ids >= 0)
        if not len(known):
            return ids[:0], np.zeros((0, table.dim), np.float32)
        # Where most words are known, parsing the whole block is faster than cutting it.
        parse_all = 2 * len(known) > len(ids)
        if not parse_all:
            spans = zip(starts[known].tolist(), ends[known].tolist(), strict=True)
            known_lines = b"\n".join([content[start:end] for start, end in spans])
        try:
            vectors = self._parse_csv(content if parse_all else known_lines)
        except pa.ArrowInvalid:
            return self._parse_lines(content)
        if len(vectors) != len(ids if parse_all else known):
            return self._parse_lines(content)
        if parse_all and len(known) < len(ids):
            vectors = vectors[known]
        if not np.isfinite(vectors).all():
            return self._parse_lines(content)
        return ids[known], vectors

    def _parse_csv(self, text: bytes) -> Vectors:
        """Returns the numbers of lines whose words have no spaces, ``[lines, dim]``."""
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

    def _parse_lines(self, content: bytes) -> tuple[Ids, Vectors]:
        """Does the same line by line; accepts words with spaces and reports errors."""
        dim, ids, vectors = self._table.dim, [], []
        for line, text in enumerate(content.split(b"\n"), self._first_line):
            if not text:
                continue
            word, *numbers = text.rsplit(b" ", dim)
            if len(numbers) < dim:
                raise self._error(
                    line, f"expected {dim} numbers after the word, got {len(numbers)}"
                )
            id_ = self._table.ids.get(word)
            if id_ is None:
                continue
            for number in numbers:
                if not _is_float32(number):
                    shown = number[:40].decode("utf-8", "replace")
                    raise self._error(line, f"expected a finite number, got {shown!r}")
            ids.append(id_)
            vectors.append([float(number) for number in numbers])
        return np.array(ids, np.int64), np.array(vectors, np.float32).reshape(-1, dim)

    def _error(self, line: int, problem: str) -> DataError:
        return DataError(
            f"{self._table.path}:{line}: {problem}. Fix the line or download the file "
            "again."
        )


def _count_lines(content: bytes) -> int:
    """Returns the number of lines, without blank ones at the end."""
    lines = content.rstrip()
    return lines.count(b"\n") + bool(lines)


def _is_float32(number: bytes) -> bool:
    """Returns whether a text is a number that is finite as float32."""
    try:
        return b"_" not in number and abs(float(number)) < 2.0**128
    except ValueError:
        return False
