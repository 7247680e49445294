"""JSON objects of JSON Lines files, in blocks that keep the line numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from object2vec_tf.errors import DataError
from object2vec_tf.files.channels import Source, channel_files
from object2vec_tf.files.line_blocks import open_line_blocks
from object2vec_tf.files.object_lines import (
    MAX_EXACT_FLOAT,
    LineError,
    count_objects,
    decode_object,
    decode_value,
    numbered_lines,
)
from object2vec_tf.garbage_collection import collection_paused

_BLOCK_BYTES = 1 << 22
# The length of a value that an error message shows.
_MAX_SHOWN = 60
_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TEXTS = msgspec.json.Decoder(list[str | list[str]])

# Strings and lists of strings: the texts of a field, or lists of its ids.
FieldRows = list[str | list[str]]


@dataclasses.dataclass(frozen=True)
class ObjectBlock:
    """The JSON objects of a block of lines.

    Attributes:
        rows: The objects in the order of their lines, with values as they are written;
            blank lines have none.
    """

    rows: list[dict[str, msgspec.Raw]]
    _path: Path
    _first_line: int
    _text: bytes

    def error(self, row: int, message: str) -> DataError:
        """Returns an error that names the file and the line of an object.

        Args:
            row: The position in `rows`.
            message: The problem and how to fix it.
        """
        numbers = [n for n, _ in numbered_lines(self._text, self._first_line)]
        return DataError(f"{self._path}:{numbers[row]}: {message}")

    def fields(self, are_ids: Mapping[str, bool]) -> dict[str, FieldRows]:
        """Returns fields of all objects.

        Args:
            are_ids: The fields; whether they contain ids of any kind instead of text.

        Returns:
            The strings and the lists of strings of a field with text; the lists of ids
            of other fields, integers as their decimal text.

        Raises:
            DataError: An object lacks a field, or its value has another type. The
                message is that of the first such object.
        """
        columns: dict[str, FieldRows] = {}
        errors: list[tuple[int, str]] = []
        for field, is_id in are_ids.items():
            try:
                columns[field] = self._items(field) if is_id else self._texts(field)
            except _FieldError as error:
                errors.append((error.row, str(error)))
        if errors:
            raise self.error(*min(errors, key=lambda error: error[0]))
        return columns

    def _texts(self, field: str) -> FieldRows:
        try:
            values = [bytes(row[field]) for row in self.rows]
            return _TEXTS.decode(b"[%b]" % b",".join(values))
        except (KeyError, msgspec.DecodeError):
            pass
        texts: FieldRows = []
        for number, row in enumerate(self.rows):
            value: Any = decode_value(row[field]) if field in row else None
            items = value if isinstance(value, list) else [value]
            if not all(isinstance(item, str) for item in items):
                raise self._wrong(number, field, value, "a string or a list of strings")
            texts.append(value)
        return texts

    def _items(self, field: str) -> FieldRows:
        rows: FieldRows = []
        for number, row in enumerate(self.rows):
            value = decode_value(row[field]) if field in row else None
            items = value if isinstance(value, list) else [value]
            for position, item in enumerate(items):
                is_exact = (
                    isinstance(item, float)
                    and item.is_integer()
                    and abs(item) < MAX_EXACT_FLOAT
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

    def _wrong(self, row: int, place: str, value: Any, expected: str) -> _FieldError:
        is_missing = place.partition("[")[0] not in self.rows[row]
        shown = msgspec.json.encode(value).decode()[:_MAX_SHOWN]
        got = "no such field" if is_missing else shown
        return _FieldError(
            row, f"{place}: expected {expected}, got {got}. Fix or remove the line."
        )


class _FieldError(Exception):
    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


def read_object_blocks(source: Source) -> Iterator[ObjectBlock]:
    """Yields the objects of JSON Lines files, block by block.

    The objects before an invalid line are yielded before the error is raised.

    Args:
        source: Files, directories and globs, as for a channel.

    Raises:
        DataError: A file cannot be read, or a line is not a JSON object.
    """
    for path in channel_files(source, "input"):
        line = 1
        with open_line_blocks(path, _BLOCK_BYTES) as blocks:
            for text in blocks:
                rows, error = _decoded(path, line, text)
                yield ObjectBlock(rows, path, line, text)
                if error:
                    raise error
                line += text.count(b"\n")


def decode_lines(decoder: msgspec.json.Decoder[Any], text: bytes) -> list[Any]:
    """Returns the decoded lines of a block, without garbage collection meanwhile."""
    with collection_paused():
        return decoder.decode_lines(text)


def _decoded(
    path: Path, first_line: int, text: bytes
) -> tuple[list[dict[str, msgspec.Raw]], DataError | None]:
    """Returns the objects before the first invalid line, and the error of that line."""
    count = count_objects(text)
    if count is not None:
        try:
            rows = decode_lines(_DECODER, text)
            if len(rows) == count:
                return rows, None
        except _DECODE_ERRORS:
            pass
    rows = []
    for number, line in numbered_lines(text, first_line):
        try:
            rows.append(decode_object(line))
        except LineError as error:
            return rows, DataError(f"{path}:{number}: {error}")
    return rows, None


def split_texts_and_lists(
    values: Sequence[str | list[str]],
) -> tuple[list[str], list[list[str]]]:
    """Returns the strings and the lists of strings among the values of a field."""
    texts = [value for value in values if isinstance(value, str)]
    return texts, [value for value in values if not isinstance(value, str)]
