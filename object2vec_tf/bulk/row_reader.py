"""Reads rows for `AnswerRows`, in blocks of which any row may be invalid."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from object2vec_tf.bulk.answer_options import FAIL, MARK, AnswerOptions
from object2vec_tf.bulk.answer_rows import (
    AnswerRows,
    Kept,
    concatenate_inputs,
    error_in_file,
)
from object2vec_tf.bulk.row_counts import RowCounts
from object2vec_tf.errors import DataError
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs

Block = TypeVar("Block")


class RowSource(Protocol[Block]):
    """Rows of one file format.

    A block is a number of consecutive rows.
    """

    def read(self, block: Block) -> RaggedInputs:
        """Returns the objects of a block.

        Raises:
            DataError: A row is invalid. The message starts with the file.
        """

    def kept(self, block: Block) -> tuple[Kept, dict[str, int]]:
        """Returns the kept fields of a block, and how many rows lack each of them.

        Raises:
            DataError: A field of a row cannot be copied.
        """

    def kept_of_invalid(self, block: Block) -> Kept:
        """Returns the kept fields of a single row that is invalid."""

    def pieces(self, block: Block) -> Sequence[Block]:
        """Returns smaller blocks of the same rows; none if the block has one row."""

    def join(self, parts: Sequence[Kept]) -> Kept:
        """Returns the kept fields of consecutive blocks."""


@dataclasses.dataclass(frozen=True)
class _Part:
    """Valid rows, or a single invalid row with its error."""

    counts: RowCounts
    inputs: RaggedInputs | None
    kept: Kept | None
    error: str | None = None


class RowReader(Generic[Block]):
    """Reads blocks of rows as the options say.

    A block with invalid rows is read again in smaller and smaller pieces, so that valid
    rows are read many at a time.

    Args:
        source: The rows of a file.
        path: The file.
        model: The model, which counts unknown tokens.
        options: The options of the answers.
    """

    def __init__(
        self,
        source: RowSource[Block],
        path: Path,
        model: Predictor,
        options: AnswerOptions,
    ) -> None:
        self._source = source
        self._path = path
        self._model = model
        self._options = options

    def read(self, block: Block) -> Iterator[AnswerRows]:
        """Yields the rows of a block in chunks.

        Raises:
            DataError: A row is invalid, and the options do not skip or mark it.
        """
        parts = list(self._parts(block))
        valid = [part.inputs for part in parts if part.inputs is not None]
        if self._options.on_error != MARK:
            answered = [part for part in parts if part.inputs is not None]
            errors = None
        else:
            answered = parts
            errors = [e for part in parts for e in [part.error] * part.counts.rows]
        kept = [part.kept for part in answered if part.kept is not None]
        yield from AnswerRows(
            sum((part.counts for part in parts), RowCounts()),
            valid[0] if len(valid) == 1 else concatenate_inputs(valid),
            errors,
            self._source.join(kept) if kept else None,
        ).chunks()

    def _parts(self, block: Block) -> Iterator[_Part]:
        """Yields the parts of a block in order."""
        before = self._model.token_counts
        kept: Kept | None = None
        missing: dict[str, int] = {}
        try:
            inputs = self._source.read(block)
            if self._options.keep:
                kept, missing = self._source.kept(block)
        except DataError as error:
            if self._options.on_error == FAIL:
                raise
            # Tokens of rows that are read again are counted again.
            self._model.token_counts = before
            pieces = self._source.pieces(block)
            for piece in pieces:
                yield from self._parts(piece)
            if not pieces:
                yield self._invalid(block, error)
        else:
            counts = RowCounts(rows=len(inputs), missing=missing)
            yield _Part(counts, inputs, kept)

    def _invalid(self, block: Block, error: DataError) -> _Part:
        message = error_in_file(error, self._path)
        kept = self._source.kept_of_invalid(block) if self._options.keep else None
        counts = RowCounts(rows=1, invalid=1, first_error=message)
        return _Part(counts, None, kept, message)
