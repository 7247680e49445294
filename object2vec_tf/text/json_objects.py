"""JSON Lines as objects, block by block, for what changes them or counts in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from object2vec_tf.errors import DataError
from object2vec_tf.files.channels import Source, channel_files
from object2vec_tf.files.line_blocks import read_line_blocks

_BLOCK_BYTES = 1 << 22
_SHOWN = 60
_DECODER = msgspec.json.Decoder(dict[str, Any])


@dataclasses.dataclass(frozen=True)
class RaggedInputs:
    """The objects of a block of lines.

    Attributes:
        rows: The objects, as they stand there.
    """

    rows: list[dict[str, Any]]
    _path: Path
    _first_line: int
    _text: bytes

    def error(self, row: int, message: str) -> DataError:
        """Returns an error that tells the file and the line of an object."""
        lines = enumerate(self._text.split(b"\n"), self._first_line)
        numbers = [number for number, line in lines if line.strip()]
        return DataError(f"{self._path}:{numbers[row]}: {message}")

    def texts(self, field: str) -> list[str | list[str]]:
        """Returns a field of all objects.

        Raises:
            DataError: Somewhere it is missing, or no text.
        """
        values = [row.get(field) for row in self.rows]
        for number, value in enumerate(values):
            if isinstance(value, str):
                continue
            if not isinstance(value, list) or not all(
                isinstance(item, str) for item in value
            ):
                shown = msgspec.json.encode(value).decode()[:_SHOWN]
                raise self.error(
                    number,
                    f"{field} is {shown}, expected text: a string, or a list of strings"
                    if field in self.rows[number]
                    else f"field {field} is missing; expected text",
                )
        return values  # type: ignore[return-value]


def read_objects(source: Source) -> Iterator[RaggedInputs]:
    """Yields the objects of files of JSON Lines.

    Args:
        source: Files, directories and globs, as those of a channel.

    Raises:
        DataError: A file cannot be read, or a line is no object.
    """
    for path in channel_files(source, "input"):
        line = 1
        for text in read_line_blocks(path, _BLOCK_BYTES):
            yield RaggedInputs(_decoded(path, line, text), path, line, text)
            line += text.count(b"\n")


def _decoded(path: Path, first_line: int, text: bytes) -> list[dict[str, Any]]:
    try:
        return _DECODER.decode_lines(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        for number, line in enumerate(text.split(b"\n"), first_line):
            try:
                if line.strip():
                    _DECODER.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as own:
                shown = line[:_SHOWN].decode("utf-8", "replace")
                raise DataError(
                    f"{path}:{number}: is no JSON object: {own} ({shown}); write one "
                    "object a line"
                ) from own
        raise DataError(f"{path}:{first_line}: {error}") from error


def flat(values: Sequence[str | list[str]]) -> tuple[list[str], list[list[str]]]:
    """Returns the texts, and the lists of strings, of a field."""
    texts = [value for value in values if isinstance(value, str)]
    return texts, [value for value in values if not isinstance(value, str)]
