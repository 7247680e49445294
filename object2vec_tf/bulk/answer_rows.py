"""Rows of an input file: valid ones, errors, and the fields that answers keep."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from object2vec_tf.bulk.row_counts import RowCounts
from object2vec_tf.errors import DataError
from object2vec_tf.inference.ragged_inputs import MAX_ROWS, RaggedInputs
from object2vec_tf.ragged.column import RaggedColumn

# The kept fields of each row: the members of a JSON object, such as b'"id":1', which
# are empty if the row has none of the fields; or columns.
Kept: TypeAlias = Sequence[bytes] | pa.RecordBatch


@dataclasses.dataclass(frozen=True)
class AnswerRows:
    """Consecutive rows of a file that are answered.

    Attributes:
        counts: Their counts. Skipped rows are counted here only.
        inputs: The valid rows; None if there are none.
        errors: The message of each row, None for valid ones; None if invalid rows are
            not marked.
        kept: The kept fields of all rows; None for none.
    """

    counts: RowCounts
    inputs: RaggedInputs | None
    errors: Sequence[str | None] | None = None
    kept: Kept | None = None

    def __len__(self) -> int:
        """Returns the number of rows that are answered."""
        if self.errors is not None:
            return len(self.errors)
        return len(self.inputs) if self.inputs else 0

    def chunks(self) -> Iterator[AnswerRows]:
        """Yields the rows in chunks of at most `MAX_ROWS` valid ones."""
        valid = len(self.inputs) if self.inputs else 0
        if valid <= MAX_ROWS:
            yield self
            return
        assert self.inputs
        positions = np.arange(len(self))
        if self.errors is not None:
            positions = np.flatnonzero([error is None for error in self.errors])
        counts, start = self.counts, 0
        for first in range(0, valid, MAX_ROWS):
            last = first + MAX_ROWS
            stop = int(positions[last]) if last < valid else len(self)
            yield AnswerRows(
                counts,
                self.inputs.rows(first, last),
                None if self.errors is None else self.errors[start:stop],
                None if self.kept is None else self.kept[start:stop],
            )
            counts, start = RowCounts(), stop


def concatenate_inputs(parts: Sequence[RaggedInputs]) -> RaggedInputs | None:
    """Returns the rows of all parts, which have the same inputs; None for no parts."""
    if not parts:
        return None
    return RaggedInputs(
        {
            name: RaggedColumn.concatenate([part.columns[name] for part in parts])
            for name in parts[0].columns
        }
    )


def error_in_file(error: DataError, path: Path) -> str:
    """Returns the message of an error with ``line 3`` or ``row 3`` as its location.

    Args:
        error: An error whose message starts with the path.
        path: The file. Answers do not name it: it may have other paths elsewhere.
    """
    message = str(error)
    if message.startswith(f"{path}: "):  # a row of Parquet
        return message.removeprefix(f"{path}: ")
    if message.startswith(f"{path}:"):
        return f"line {message.removeprefix(f'{path}:')}"
    return message
