"""Substitutes of models and tokenizers, with which readers are compared."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.ragged.token_ids import IdLimits
from tests import reference_lines as reference
from tests.reference_lines import Bad, Line

SIZE, MAX_LEN = 10, 3
LIMITS = {"in0": IdLimits(SIZE, MAX_LEN), "in1": IdLimits(SIZE, MAX_LEN)}
KINDS = {
    "ids": ("ids", "ids"),
    "regression": ("ids", "ids"),
    "text": ("text", "text"),
    "any": ("any", "any"),
    "both": ("text", "ids"),
    "any_ids": ("any", "ids"),
}
# The content of a file as a door reads it: values, then the line of the first error.
Outcome = tuple[list[Any], Any]


class Interned:
    """Numbers for rows of text, so that a column of them can be read back."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self._numbers: dict[str, int] = {}

    def number(self, row: Any) -> int:
        number = self._numbers.setdefault(repr(row), len(self.rows))
        if number == len(self.rows):
            self.rows.append(row)
        return number

    def rows_of(self, column: RaggedColumn) -> list[Any]:
        return [self.rows[row[0]] for row in rows_of(column)]

    def column(self, rows: Sequence[Any]) -> RaggedColumn:
        return RaggedColumn.from_rows([[self.number(row)] for row in rows])


def strings(row: Any) -> Any:
    """Returns ids of any kind as strings, and text as it is."""
    if isinstance(row, list):
        return [str(int(i) if isinstance(i, float) else i) for i in row]
    return [str(int(row) if isinstance(row, float) else row)]


def rows_of(column: RaggedColumn) -> list[list[int]]:
    splits = column.row_splits
    return [r.tolist() for r in np.split(column.values, splits[1:-1])][: len(column)]


def line_number(message: object, path: Path) -> int:
    match = re.match(re.escape(str(path)) + r":(\d+): ", str(message))
    assert match, message
    return int(match[1])


def different(found: Sequence[Any], expected: Sequence[Any]) -> str:
    if len(found) != len(expected):
        return f"{len(found)} instead of {len(expected)}"
    pairs = [(f, e) for f, e in zip(found, expected, strict=True) if f != e]
    return f"found, expected: {str(pairs[:1])[:600]}"


@dataclasses.dataclass
class Model:
    """What reading inputs needs of a model; tokenizing interns the rows."""

    texts: Sequence[str]
    hyperparameters: Any
    token_counts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    interned: Interned = dataclasses.field(default_factory=Interned)

    def tokenize(self, rows: Mapping[str, Sequence[Any]]) -> tuple[Any, int]:
        return {
            name: [
                [SIZE + self.interned.number(row)] if is_text(row) else row
                for row in objects
            ]
            for name, objects in rows.items()
        }, 0

    def values(self, column: RaggedColumn) -> list[Any]:
        return [
            self.interned.rows[row[0] - SIZE] if row and row[0] >= SIZE else row
            for row in rows_of(column)
        ]


def is_text(row: Any) -> bool:
    return isinstance(row, str) or bool(row and isinstance(row[0], str))


def model_of(kind: str) -> tuple[Model, dict[str, str]]:
    kinds = dict(zip(("in0", "in1"), KINDS[kind], strict=True))
    texts = [name for name, k in kinds.items() if k != "ids"]
    external = [name for name, k in kinds.items() if k == "any"]
    fields = {"vocab_size": SIZE, "max_seq_len": MAX_LEN}
    hyperparameters = SimpleNamespace(
        of_encoder=lambda encoder, name: fields[name],
        id_limits=lambda encoder: IdLimits(SIZE, MAX_LEN),
        external_ids=external,
        texts=texts,
        object_key="tokens",
    )
    return Model(texts, hyperparameters), kinds


def instances(
    lines: Sequence[Line], kinds: Mapping[str, str], *, skip: bool
) -> tuple[list[tuple[Line, dict[str, Any] | None]], Line | None]:
    """Returns the objects of lines, and the first line that is bad."""
    names: tuple[str, ...] = ()
    found: list[tuple[Line, dict[str, Any] | None]] = []
    for line in lines:
        try:
            objects = reference.instance(line.fields, kinds, LIMITS)
            if names and tuple(objects) != names:
                raise Bad("other inputs")
            names = tuple(objects)
            found.append((line, objects))
        except Bad:
            if not skip:
                return found, line
            found.append((line, None))
    return found, None


def named(
    names: Iterable[str], columns: Iterable[Sequence[Any]]
) -> list[dict[str, Any]]:
    """Returns the rows of columns, as values by name."""
    keys = list(names)
    return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
