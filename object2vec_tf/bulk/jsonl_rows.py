"""Rows of JSON Lines, with the kept fields copied as they are written."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from object2vec_tf.bulk.answer_options import AnswerOptions
from object2vec_tf.bulk.answer_rows import AnswerRows, Kept
from object2vec_tf.bulk.row_reader import RowReader
from object2vec_tf.files.object_lines import (
    WHITE_SPACE,
    LineError,
    decode_object,
    is_blank,
)
from object2vec_tf.inference.file_splits import BLOCK_BYTES, FileSplit
from object2vec_tf.inference.jsonl_inputs import ObjectReader, text_blocks
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.text.json_objects import decode_lines

_FIRST_LINES_BYTES = 1 << 12
# A block with invalid lines is read again in pieces of this size, and pieces with
# invalid lines in smaller ones.
_PIECE_BYTES = 1 << 13
_ABSENT = msgspec.Raw(b"")


@dataclasses.dataclass(frozen=True)
class _Lines:
    """Whole lines, and the number of the first of them within the split."""

    text: bytes
    line: int


class _JsonLines:
    """The rows of JSON Lines; a `RowSource`."""

    def __init__(
        self, split: FileSplit, model: Predictor, names: tuple[str, ...], keep: Any
    ) -> None:
        self._reader = ObjectReader(split, model, names)
        self._members = [json.dumps(name, ensure_ascii=False).encode() for name in keep]
        self._keep = keep
        # Fields have any names, which need not be identifiers.
        fields = {f"field{number}": name for number, name in enumerate(keep)}
        struct: Any = msgspec.defstruct(
            "Kept", [(f, msgspec.Raw, _ABSENT) for f in fields], rename=fields
        )
        self._decoder = msgspec.json.Decoder(struct)
        self._attributes = tuple(fields)

    def read(self, block: _Lines) -> RaggedInputs:
        return self._reader.read(block.text, block.line)

    def kept(self, block: _Lines) -> tuple[Sequence[bytes], dict[str, int]]:
        values = self._values(block.text)
        missing = {
            name: sum(not row[number] for row in values)
            for number, name in enumerate(self._keep)
        }
        return [self._join_members(row) for row in values], missing

    def _values(self, text: bytes) -> list[list[bytes]]:
        """Returns the kept values of each line as they are written; empty if absent."""
        return [
            [bytes(getattr(row, attribute)) for attribute in self._attributes]
            for row in decode_lines(self._decoder, text)
        ]

    def _join_members(self, values: Sequence[bytes]) -> bytes:
        members = zip(self._members, values, strict=True)
        return b",".join(b"%b:%b" % member for member in members if member[1])

    def kept_of_invalid(self, block: _Lines) -> Sequence[bytes]:
        line = block.text.strip(WHITE_SPACE + b"\n")
        try:
            fields = decode_object(line)
        except LineError:
            return [b""]
        return [self._join_members([bytes(fields.get(n, b"")) for n in self._keep])]

    def pieces(self, block: _Lines) -> Sequence[_Lines]:
        text = block.text
        if b"\n" not in text.strip(WHITE_SPACE + b"\n"):
            return []
        size = min(_PIECE_BYTES, len(text) // 2)
        pieces, start, line = [], 0, block.line
        while start < len(text):
            # Whole lines: those that end in the next bytes, or the first one.
            end = text.rfind(b"\n", start, start + size) + 1
            end = end or text.find(b"\n", start + size) + 1 or len(text)
            piece = text[start:end]
            if not is_blank(piece):
                pieces.append(_Lines(piece, line))
            start, line = end, line + piece.count(b"\n")
        return pieces

    def join(self, parts: Sequence[Kept]) -> Kept:
        if len(parts) == 1:
            return parts[0]
        return [members for part in parts for members in part]


def read_json_lines(
    split: FileSplit, model: Predictor, options: AnswerOptions
) -> Iterator[AnswerRows]:
    """Yields the rows of JSON Lines, or of a part of such a file, in chunks.

    Args:
        split: The file or the part.
        model: Provides the tokenizers and the vocabulary sizes.
        options: The options of the answers.

    Raises:
        DataError: A line is invalid, or the file cannot be read to its end.
    """
    names: tuple[str, ...] = ()
    if split.start:
        before = model.token_counts
        names = _input_names(FileSplit(split.path), model, options.on_error)
        model.token_counts = before
    yield from _read(split, model, names, options, BLOCK_BYTES)


def _input_names(split: FileSplit, model: Predictor, on_error: str) -> tuple[str, ...]:
    """Returns the inputs of the first valid line of a file."""
    options = AnswerOptions(on_error=on_error)
    for rows in _read(split, model, (), options, _FIRST_LINES_BYTES):
        if rows.inputs:
            return tuple(rows.inputs.columns)
    return ()


def _read(
    split: FileSplit,
    model: Predictor,
    names: tuple[str, ...],
    options: AnswerOptions,
    block_bytes: int,
) -> Iterator[AnswerRows]:
    source = _JsonLines(split, model, names, options.keep)
    reader = RowReader(source, split.path, model, options)
    for text, line in text_blocks(split, block_bytes):
        yield from reader.read(_Lines(text, line))
