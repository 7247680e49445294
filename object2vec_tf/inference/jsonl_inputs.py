"""JSON Lines of objects: in0, in1 or both."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from object2vec_tf.data.block_parser import parse_block
from object2vec_tf.errors import DataError
from object2vec_tf.files.line_blocks import drop_bom, line_blocks
from object2vec_tf.inference.file_splits import (
    BLOCK_BYTES,
    FileSplit,
    lines_before,
    open_split,
)
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import (
    MAX_ROWS,
    RaggedInputs,
    Rows,
    input_limits,
)
from object2vec_tf.inference.request_codec import JSON_LINES, RequestDecoder
from object2vec_tf.inference.request_errors import BadRequest
from object2vec_tf.inference.text_inputs import has_text

_BLOCK_BYTES = BLOCK_BYTES
# Read of a file for its first line alone.
_FIRST_BYTES = 1 << 12
_INPUTS = (("in0", "in1"), ("in0",), ("in1",))


def read_objects(source: Path | FileSplit, model: Predictor) -> Iterator[RaggedInputs]:
    """Yields a file's objects, in parts, cut at the most tokens that they may have.

    All lines of a file have the same inputs: in0, in1 or both. Other keys, such as
    label, are passed over, as are blank lines.

    Args:
        source: JSON Lines, or a piece of them; ``.gz`` and ``.zst`` are unpacked.
        model: What makes token ids of text, and knows the vocabularies.

    Raises:
        DataError: A line is wrong: the message says file, line, field and value.
    """
    piece = source if isinstance(source, FileSplit) else FileSplit(source)
    inputs: tuple[str, ...] = ()
    if piece.start:
        first = next(_blocks(FileSplit(piece.path), model, _FIRST_BYTES), None)
        inputs = tuple(first.columns) if first else ()
    for objects in _blocks(piece, model, _BLOCK_BYTES, inputs):
        yield from bounded_parts(objects)


def _blocks(
    piece: FileSplit, model: Predictor, size: int, inputs: tuple[str, ...] = ()
) -> Iterator[RaggedInputs]:
    reader = ObjectReader(piece, model, inputs)
    line = 1
    with open_split(piece) as stream:
        blocks = line_blocks(stream, piece.path, size)
        for text in blocks if piece.start else drop_bom(blocks):
            if text.strip():
                yield reader.read(text, line)
            line += text.count(b"\n")


class ObjectReader:
    """Reads blocks of one file, whose lines all have the same inputs.

    Args:
        piece: What of the file is read.
        model: What makes token ids of text, and knows the vocabularies.
        inputs: The file's inputs, where they are known.
    """

    def __init__(
        self, piece: FileSplit, model: Predictor, inputs: tuple[str, ...] = ()
    ) -> None:
        self._piece = piece
        self._limits = input_limits(model.hyperparameters)
        self._decoder = RequestDecoder(self._limits, model.texts)
        self._model = model
        self._inputs = inputs

    def read(self, text: bytes, line: int) -> RaggedInputs:
        """Returns the objects of a block; its first line has this number in the piece.

        Raises:
            DataError: A line is wrong.
        """
        for inputs in [self._inputs] if self._inputs else _INPUTS:
            sizes = {name: self._limits[name][0] for name in inputs}
            if parsed := parse_block(text, sizes):
                objects = self.cut(RaggedInputs(parsed[0]))
                break
        else:
            objects = RaggedInputs.from_rows(self.decoded(text, line))
        own = tuple(objects.columns)
        self._inputs = self._inputs or own
        if own != self._inputs:
            blank = text[: len(text) - len(text.lstrip())].count(b"\n")
            raise DataError(
                f"{self._place(line + blank)}: has {' and '.join(own)}, where the "
                f"lines before have {' and '.join(self._inputs)}; split the file"
            )
        return objects

    def cut(self, objects: RaggedInputs) -> RaggedInputs:
        """Cuts objects at the most tokens that they may have."""
        longest = {name: most for name, (_, most) in self._limits.items()}
        return objects.truncate(longest)

    def decoded(self, text: bytes, line: int) -> Rows:
        """Returns the token ids of lines as a request's are read: slowly, exactly.

        Raises:
            DataError: A line is wrong.
        """
        lines = enumerate(text.split(b"\n"), line)
        numbers = [number for number, content in lines if content.strip()]
        try:
            rows = self._decoder.decode(text, JSON_LINES)
            if self._model.texts and has_text(rows):
                rows, _ = self._model.tokenize(rows)
        except BadRequest as error:
            index, field = error.row_and_field
            message = f"{self._place(numbers[index])}: {field}{error.reason}"
            raise DataError(message) from error
        if len(next(iter(rows.values()))) != len(numbers):
            raise DataError(
                f"{self._piece.path}: from line {self._before + line} on, lines and "
                "objects are not the same in number; write one object a line"
            )
        return self._decoder.cut(rows)

    @functools.cached_property
    def _before(self) -> int:
        # Counted when a line is told of, and not before.
        return lines_before(self._piece)

    def _place(self, line: int) -> str:
        return f"{self._piece.path}:{self._before + line}"


def bounded_parts(objects: RaggedInputs) -> Iterator[RaggedInputs]:
    """Yields the objects in parts of as many as the model takes at once."""
    for start in range(0, len(objects), MAX_ROWS):
        yield objects.rows(start, start + MAX_ROWS)
