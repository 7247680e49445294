"""JSON objects of JSON Lines files, in blocks that keep the line numbers."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from object2vec_tf.errors import DataError
from object2vec_tf.files.channels import Source, channel_files
from object2vec_tf.files.line_blocks import open_line_blocks

_BLOCK_BYTES = 1 << 22
# The length of a value that an error message shows.
_MAX_SHOWN = 60
# From here on, a float may be another integer that was rounded.
_MAX_EXACT_FLOAT = 2**53
_DECODER = msgspec.json.Decoder(dict[str, Any])
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclasses.dataclass(frozen=True)
class ObjectBlock:
    """The JSON objects of a block of lines.

    Attributes:
        rows: The objects in the order of their lines; blank lines have none.
    """

    rows: list[dict[str, Any]]
    _path: Path
    _first_line: int
    _text: bytes

    def error(self, row: int, message: str) -> DataError:
        """Returns an error that names the file and the line of an object.

        Args:
            row: The position in `rows`.
            message: The problem and how to fix it.
        """
        lines = enumerate(self._text.split(b"\n"), self._first_line)
        numbers = [number for number, line in lines if line.strip()]
        return DataError(f"{self._path}:{numbers[row]}: {message}")

    def items(self, field: str) -> list[list[str]]:
        """Returns one field of all objects, which contains ids of any kind.

        Returns:
            Lists of ids; integers are converted to their decimal text.

        Raises:
            DataError: An object lacks the field, or it is not an integer, a string, or
                a list of them.
        """
        rows: list[list[str]] = []
        for number, row in enumerate(self.rows):
            value = row.get(field)
            items = value if isinstance(value, list) else [value]
            for position, item in enumerate(items):
                is_exact = (
                    isinstance(item, float)
                    and item.is_integer()
                    and abs(item) < _MAX_EXACT_FLOAT
                )
                if not (type(item) is int or is_exact or isinstance(item, str)):
                    place = f"{field}[{position}]" if items is value else field
                    raise self._wrong(
                        number, place, item, "an integer or a string as an id"
                    )
            rows.append(
                [str(int(item) if type(item) is float else item) for item in items]
            )
        return rows

    def texts(self, field: str) -> list[str | list[str]]:
        """Returns one field of all objects.

        Raises:
            DataError: An object lacks the field, or it is not text.
        """
        values = [row.get(field) for row in self.rows]
        for number, value in enumerate(values):
            if isinstance(value, str):
                continue
            if not isinstance(value, list) or not all(
                isinstance(item, str) for item in value
            ):
                raise self._wrong(number, field, value, "a string or a list of strings")
        return values  # type: ignore[return-value]

    def _wrong(self, row: int, place: str, value: Any, expected: str) -> DataError:
        is_missing = place.partition("[")[0] not in self.rows[row]
        shown = msgspec.json.encode(value).decode()[:_MAX_SHOWN]
        got = "no such field" if is_missing else shown
        return self.error(
            row, f"{place}: expected {expected}, got {got}. Fix or remove the line."
        )


def read_object_blocks(source: Source) -> Iterator[ObjectBlock]:
    """Yields the objects of JSON Lines files, block by block.

    Args:
        source: Files, directories and globs, as for a channel.

    Raises:
        DataError: A file cannot be read, or a line is not a JSON object.
    """
    for path in channel_files(source, "input"):
        line = 1
        with open_line_blocks(path, _BLOCK_BYTES) as blocks:
            for text in blocks:
                yield ObjectBlock(_decoded(path, line, text), path, line, text)
                line += text.count(b"\n")


def decode_lines(decoder: msgspec.json.Decoder[Any], text: bytes) -> list[Any]:
    """Returns the decoded lines of a block.

    Garbage collection is paused: it would go through all new lists several times, which
    can take longer than decoding them.
    """
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        return decoder.decode_lines(text)
    finally:
        if is_enabled:
            gc.enable()


def _decoded(path: Path, first_line: int, text: bytes) -> list[dict[str, Any]]:
    try:
        return decode_lines(_DECODER, text)
    except _DECODE_ERRORS as block_error:
        for number, line in enumerate(text.split(b"\n"), first_line):
            try:
                if line.strip():
                    _DECODER.decode(line)
            except _DECODE_ERRORS as error:
                shown = line[:_MAX_SHOWN].decode("utf-8", "replace")
                raise DataError(
                    f"{path}:{number}: expected a JSON object, got {shown} ({error}). "
                    "Write one object per line."
                ) from error
        raise DataError(f"{path}:{first_line}: {block_error}") from block_error


def split_texts_and_lists(
    values: Sequence[str | list[str]],
) -> tuple[list[str], list[list[str]]]:
    """Returns the strings and the lists of strings among the values of a field."""
    texts = [value for value in values if isinstance(value, str)]
    return texts, [value for value in values if not isinstance(value, str)]
