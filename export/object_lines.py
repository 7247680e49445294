"""Files of objects: JSON Lines with in0, in1 or both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from export.bad_request import BadRequest
from export.models import Model
from export.objects import MOST_ROWS, Objects, Rows, limits_of
from export.texts import has_text
from export.wire_format import JSON_LINES, RequestDecoder
from object2vec_tf.data.channels import open_file
from object2vec_tf.data.fast_lines import read_columns
from object2vec_tf.data.json_lines import BOM, line_blocks
from object2vec_tf.errors import DataError

# Text that is read and decoded at a time.
_BLOCK_BYTES = 1 << 20
_INPUTS = (("in0", "in1"), ("in0",), ("in1",))


def read_objects(path: Path, model: Model) -> Iterator[Objects]:
    """Yields a file's objects, in parts, cut at the most tokens that they may have.

    All lines have the same inputs: in0, in1 or both. Other keys, such as label, are
    passed over, as are blank lines.

    Args:
        path: JSON Lines; ``.gz`` and ``.zst`` are unpacked.
        model: What makes token ids of text, and knows the vocabularies.

    Raises:
        DataError: A line is wrong: the message says file, line, field and value.
    """
    reader = _Reader(path, model)
    line = 1
    with open_file(path) as stream:
        for number, block in enumerate(line_blocks(stream, path, _BLOCK_BYTES)):
            text = block.removeprefix(BOM) if number == 0 else block
            if text.strip():
                yield from _parts(reader.read(text, line))
            line += block.count(b"\n")


class _Reader:
    """Reads blocks of one file, whose lines all have the same inputs."""

    def __init__(self, path: Path, model: Model) -> None:
        self._path = path
        limits = limits_of(model.hyperparameters)
        self._vocab_sizes = {name: size for name, (size, _) in limits.items()}
        self._max_lens = {name: longest for name, (_, longest) in limits.items()}
        self._decoder = RequestDecoder(limits, model.texts)
        self._model = model
        self._inputs: tuple[str, ...] = ()

    def read(self, text: bytes, line: int) -> Objects:
        """Returns the objects of a block that begins with a line of this number."""
        for inputs in [self._inputs] if self._inputs else _INPUTS:
            sizes = {name: self._vocab_sizes[name] for name in inputs}
            if parsed := read_columns(text, sizes):
                objects = Objects(parsed[0]).truncate(self._max_lens)
                break
        else:
            objects = Objects.from_rows(self._decoded(text, line))
        own = tuple(objects.columns)
        self._inputs = self._inputs or own
        if own != self._inputs:
            blank = text[: len(text) - len(text.lstrip())].count(b"\n")
            raise DataError(
                f"{self._path}:{line + blank}: has {' and '.join(own)}, where the "
                f"lines before have {' and '.join(self._inputs)}; split the file"
            )
        return objects

    def _decoded(self, text: bytes, line: int) -> Rows:
        lines = enumerate(text.split(b"\n"), line)
        numbers = [number for number, content in lines if content.strip()]
        try:
            rows = self._decoder.decode(text, JSON_LINES)
            if self._model.texts and has_text(rows):
                rows, _ = self._model.tokenized(rows)
        except BadRequest as error:
            index, field = error.row_and_field
            message = f"{self._path}:{numbers[index]}: {field}{error.reason}"
            raise DataError(message) from error
        if len(next(iter(rows.values()))) != len(numbers):
            raise DataError(
                f"{self._path}: from line {line} on, lines and objects are not the "
                "same in number; write one object a line"
            )
        return self._decoder.cut(rows)


def _parts(objects: Objects) -> Iterator[Objects]:
    for start in range(0, len(objects), MOST_ROWS):
        yield objects.rows(start, start + MOST_ROWS)
