"""JSON Lines to columns: fast when the lines are right, exact when one is not.

awkward's schema-checked reader takes a block of whole lines at once; its offsets and
content are the row splits and values we need. Whatever it refuses or would misread, and
whatever fails the vectorised checks behind it, is read again line by line.
"""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import awkward as ak
import msgspec
import numpy as np
import numpy.typing as npt
import zstandard

from object2vec_tf.data.channels import open_file
from object2vec_tf.data.columns import RaggedColumn
from object2vec_tf.data.line_errors import explain
from object2vec_tf.errors import DataError
from object2vec_tf.hyperparameters import Hyperparameters

BLOCK_BYTES = 16 * 1024 * 1024
BOM = b"\xef\xbb\xbf"


def _spellings(name: str) -> str:
    """Returns a pattern of a name in JSON, any of its characters escaped."""
    return "".join(rf"(?:{char}|\\u(?i:{ord(char):04x}))" for char in name)


_FIELDS = ("label", "in0", "in1")
_FIELD_START = re.compile(f'"(?:{"|".join(map(_spellings, _FIELDS))})("?)'.encode())
# awkward 2.14 overflows the stack at some ten times as many.
_MOST_BRACKETS = 10_000

Labels = npt.NDArray[np.int64] | npt.NDArray[np.float32]


class Digest(Protocol):
    """What a hash of hashlib does."""

    def update(self, data: bytes, /) -> None:
        """Takes more bytes in."""


@dataclasses.dataclass
class BadLines:
    """Lines that were left out, within the budget the user gave.

    Attributes:
        budget: How many bad lines are tolerated.
        messages: One ``file:line: what`` for each line left out.
    """

    budget: int
    messages: list[str] = dataclasses.field(default_factory=list)

    def add(self, message: str) -> None:
        """Counts one bad line.

        Raises:
            DataError: The budget is spent.
        """
        self.messages.append(message)
        if len(self.messages) <= self.budget:
            return
        if not self.budget:
            raise DataError(f"{message} (--max_bad_lines=N skips up to N such lines)")
        raise DataError(
            f"{message}; this is bad line {len(self.messages)} of the channel, and "
            f"--max_bad_lines is {self.budget}. The others:\n  "
            + "\n  ".join(self.messages[:-1][:10])
        )


@dataclasses.dataclass(frozen=True)
class Block:
    """The pairs of one block of lines.

    Attributes:
        in0: The rows of in0.
        in1: The rows of in1.
        labels: int64 or float32 ``[rows]``.
    """

    in0: RaggedColumn
    in1: RaggedColumn
    labels: Labels


def read_file(
    path: Path,
    hyperparameters: Hyperparameters,
    bad_lines: BadLines,
    digest: Digest,
) -> Iterator[Block]:
    """Yields the pairs of one file, block by block.

    Args:
        path: The file; ``.gz`` and ``.zst`` are unpacked.
        hyperparameters: The model's vocabulary sizes, output layer and classes.
        bad_lines: The channel's budget of bad lines.
        digest: Is fed with every byte read, unpacked.

    Raises:
        DataError: A line is not right and the budget is spent, or the file cannot be
            read to its end.
    """
    line = 1
    with open_file(path) as stream:
        for number, block in enumerate(line_blocks(stream, path)):
            digest.update(block)
            text = block.removeprefix(BOM) if number == 0 else block
            parsed = _parse(text, hyperparameters)
            if parsed is None:
                where = _Place(path, line)
                parsed = _parse_lines(text, where, hyperparameters, bad_lines)
            if len(parsed.labels):
                yield parsed
            line += block.count(b"\n")


@dataclasses.dataclass(frozen=True)
class _Place:
    path: Path
    line: int


def line_blocks(
    stream: BinaryIO, path: Path, size: int = BLOCK_BYTES
) -> Iterator[bytes]:
    """Yields the stream's bytes cut behind line ends; lines of any length."""
    rest: list[bytes] = []
    while True:
        try:
            data = stream.read(size)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(
                f"{path}: cannot be read to its end: {reason}; the file is damaged or "
                "incomplete, fetch or compress it again"
            ) from error
        end = data.rfind(b"\n") + 1
        if data and not end:
            rest.append(data)
            continue
        block = b"".join([*rest, data[:end]])
        rest = [data[end:]]
        if block:
            yield block
        if not data:
            return


def _schema(hyperparameters: Hyperparameters) -> dict[str, Any]:
    ids = {"type": "array", "items": {"type": "integer"}}
    label = "integer" if hyperparameters.output_layer == "softmax" else "number"
    properties = {"label": {"type": label}, "in0": ids, "in1": ids}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def _parse(text: bytes, hyperparameters: Hyperparameters) -> Block | None:
    """Returns the block's pairs, or None when a line may not be right."""
    if b"\0" in text:  # awkward 2.14 stops there, silently
        return None
    lines = [line for line in map(bytes.strip, text.split(b"\n")) if line]
    if not all(line.startswith(b"{") for line in lines) or _may_be_deep(lines):
        return None
    try:
        array = ak.from_json(text, line_delimited=True, schema=_schema(hyperparameters))
    except ValueError:
        return None
    if len(array) != len(lines) or not _has_each_field_once(text, len(array)):
        return None
    record: Any = array.layout
    labels = np.asarray(record.content("label").data)
    columns = [
        _column(record.content(field), size)
        for field, size in (
            ("in0", hyperparameters.enc0_vocab_size),
            ("in1", hyperparameters.enc1_vocab_size),
        )
    ]
    if columns[0] is None or columns[1] is None:
        return None
    if hyperparameters.output_layer == "softmax":
        if len(labels) and not 0 <= labels.min() <= labels.max() < (
            hyperparameters.num_classes
        ):
            return None
        return Block(columns[0], columns[1], labels.astype(np.int64))
    with np.errstate(over="ignore"):
        reals = labels.astype(np.float32)
    if not np.isfinite(reals).all():
        return None
    return Block(columns[0], columns[1], reals)


def _may_be_deep(lines: list[bytes]) -> bool:
    """Whether a line has brackets enough to be nested dangerously deep."""
    if max(map(len, lines), default=0) <= _MOST_BRACKETS:
        return False
    return any(line.count(b"[") + line.count(b"{") > _MOST_BRACKETS for line in lines)


def _has_each_field_once(text: bytes, objects: int) -> bool:
    """Whether each of the objects, which have all fields, has them once.

    Of several awkward 2.14 takes the first, and takes a key that only starts with a
    field's name for the field. Counting is the fast answer.
    """
    if b"\\u00" not in text:
        starts = [f'"{field}'.encode() for field in _FIELDS]
        return all(
            text.count(start) == text.count(start + b'"') == objects for start in starts
        )
    ends = _FIELD_START.findall(text)
    return len(ends) == len(_FIELDS) * objects and all(ends)


def _column(layout: Any, size: int) -> RaggedColumn | None:
    """Returns the ids of one side, or None when one is negative or too large.

    awkward wraps ids from 2**63 to 2**64 - 1 around to negative ones.
    """
    lists = layout.to_ListOffsetArray64(True)
    values = np.asarray(lists.content.data)
    if len(values) and not 0 <= values.min() <= values.max() < size:
        return None
    return RaggedColumn(values.astype(np.int32), np.asarray(lists.offsets.data))


def _parse_lines(
    text: bytes,
    where: _Place,
    hyperparameters: Hyperparameters,
    bad_lines: BadLines,
) -> Block:
    """Returns the good lines of a block that has bad ones, and tells of those."""
    good = []
    for number, line in enumerate(text.split(b"\n"), start=where.line):
        if not line.strip():
            continue
        problem = explain(line, hyperparameters)
        if problem is None:
            good.append(msgspec.json.decode(line))
        else:
            bad_lines.add(f"{where.path}:{number}: {problem}")
    labels = [pair["label"] for pair in good]
    softmax = hyperparameters.output_layer == "softmax"
    return Block(
        RaggedColumn.from_rows([pair["in0"] for pair in good]),
        RaggedColumn.from_rows([pair["in1"] for pair in good]),
        np.array(labels, np.int64) if softmax else np.array(labels, np.float32),
    )
