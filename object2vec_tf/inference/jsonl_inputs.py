"""JSON Lines files as model inputs: in0, in1 or both."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from object2vec_tf.data.block_parser import parse_block
from object2vec_tf.errors import DataError
from object2vec_tf.files.line_blocks import drop_bom, line_blocks
from object2vec_tf.files.object_lines import is_blank, numbered_lines
from object2vec_tf.files.record_batches import is_table_file
from object2vec_tf.inference.file_splits import (
    BLOCK_BYTES,
    FileSplit,
    lines_before,
    open_split,
)
from object2vec_tf.inference.predictor import InputModel
from object2vec_tf.inference.ragged_inputs import (
    MAX_ROWS,
    RaggedInputs,
    input_limits,
)
from object2vec_tf.inference.request_codec import JSON_LINES, RequestDecoder
from object2vec_tf.inference.request_errors import BadRequest, OtherInputs
from object2vec_tf.inference.text_inputs import has_text

# The block size of a read that needs only the first line of a file.
_FIRST_LINE_BYTES = 1 << 12
# A call of the fast parser takes 2 ms, however small the block is.
_MIN_PARSED_BYTES = 1 << 14
_INPUT_NAMES = (("in0", "in1"), ("in0",), ("in1",))


def read_objects(
    source: Path | FileSplit, model: InputModel, *, block_bytes: int = BLOCK_BYTES
) -> Iterator[RaggedInputs]:
    """Yields the objects of a file in parts, truncated to their maximum lengths.

    All lines of a file have the same inputs: in0, in1 or both. Blank lines and other
    keys, such as label, are ignored.

    Args:
        source: JSON Lines, or a part of such a file; ``.gz`` and ``.zst`` are
            decompressed.
        model: Provides the tokenizers and the vocabulary sizes.
        block_bytes: The number of bytes that are read and parsed at once.

    Raises:
        DataError: A line is invalid. The message names file, line, field and value.
    """
    split = source if isinstance(source, FileSplit) else FileSplit(source)
    names: tuple[str, ...] = ()
    if split.start:
        first = next(_blocks(FileSplit(split.path), model, _FIRST_LINE_BYTES), None)
        names = tuple(first.columns) if first else ()
    for inputs in _blocks(split, model, block_bytes, names):
        yield from row_chunks(inputs)


def _blocks(
    split: FileSplit, model: InputModel, size: int, names: tuple[str, ...] = ()
) -> Iterator[RaggedInputs]:
    reader = ObjectReader(split, model, names)
    for text, line in text_blocks(split, size):
        yield reader.read(text, line)


def text_blocks(split: FileSplit, size: int) -> Iterator[tuple[bytes, int]]:
    """Yields blocks of whole lines, without those that have only blank lines.

    Args:
        split: JSON Lines, or a part of such a file.
        size: The number of bytes that are read at once.

    Yields:
        The lines, and the number of the first of them within the part of the file.

    Raises:
        DataError: The file cannot be read to its end.
    """
    line = 1
    with open_split(split) as stream:
        blocks = line_blocks(stream, split.path, size, replace_long=True)
        for text in blocks if split.start else drop_bom(blocks):
            if not is_blank(text):
                yield text, line
            line += text.count(b"\n")


class ObjectReader:
    """Reads blocks of lines of one file. All its lines must have the same inputs.

    Args:
        split: The part of the file that is read.
        model: Provides the tokenizers and the vocabulary sizes.
        names: The inputs of the file; empty if they are not known yet.

    Attributes:
        names: The inputs of the file, which all lines must have; empty before the first
            line was read.
    """

    def __init__(
        self, split: FileSplit, model: InputModel, names: tuple[str, ...] = ()
    ) -> None:
        self._split = split
        self._limits = input_limits(model.hyperparameters)
        self._external_ids = set(model.hyperparameters.external_ids)
        self._decoder = RequestDecoder(self._limits, model.texts, self._external_ids)
        self._model = model
        self.names = names

    def read(self, text: bytes, line: int) -> RaggedInputs:
        """Returns the objects of a block.

        Args:
            text: Whole lines.
            line: The number of the first of them within the part of the file.

        Raises:
            DataError: A line is invalid.
        """
        known = [self.names] if self.names else _INPUT_NAMES
        for names in known if len(text) >= _MIN_PARSED_BYTES else ():
            sizes = {name: self._limits[name][0] for name in names}
            if self._external_ids.intersection(names):
                continue
            if parsed := parse_block(text, sizes, padded=True):
                inputs = self.truncate(RaggedInputs(parsed[0]))
                break
        else:
            inputs = self.decode_lines(text, line)
        self.names = self.names or tuple(inputs.columns)
        return inputs

    def truncate(self, inputs: RaggedInputs) -> RaggedInputs:
        """Truncates objects to their maximum lengths."""
        return inputs.truncate(self._limits)

    def decode_lines(self, text: bytes, line: int) -> RaggedInputs:
        """Returns the objects of a block, decoded line by line as in a request.

        This is the slow path for blocks with text, unusual JSON or invalid lines.

        Args:
            text: Whole lines.
            line: The number of the first of them within the part of the file.

        Raises:
            DataError: A line is invalid.
        """
        try:
            rows = self._decoder.decode(text, JSON_LINES, names=self.names)
        except BadRequest as error:
            index, field = error.row_and_field
            numbers = [number for number, _ in numbered_lines(text, line)]
            reason = error.reason
            if isinstance(error, OtherInputs) and not index:
                reason = reason.partition(". ")[0].replace(
                    "objects before", "lines before"
                )
                reason += ". Split the file."
            message = f"{self.location(numbers[index])}: {field}{reason}"
            raise DataError(message) from error
        if self._model.texts and has_text(rows):
            rows, _ = self._model.tokenize(rows)
        return RaggedInputs.from_rows(self._decoder.truncate(rows))

    @functools.cached_property
    def _lines_before(self) -> int:
        # Counted only for an error message: it reads the file up to this part.
        return lines_before(self._split)

    def location(self, line: int) -> str:
        """Returns the location of a line of the part of the file, for messages."""
        if is_table_file(self._split.path):  # each line was a row
            return f"{self._split.path}: row {line}"
        return f"{self._split.path}:{self._lines_before + line}"


def row_chunks(inputs: RaggedInputs) -> Iterator[RaggedInputs]:
    """Yields the rows in chunks of at most `MAX_ROWS`."""
    for start in range(0, len(inputs), MAX_ROWS):
        yield inputs.rows(start, start + MAX_ROWS)
