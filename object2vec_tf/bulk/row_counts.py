"""Counts of the rows of a file: answered, invalid, without a kept field."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping
from pathlib import Path

from object2vec_tf.bulk.answer_options import FAIL, SKIP, AnswerOptions


@dataclasses.dataclass(frozen=True)
class RowCounts:
    """Counts of the rows of a file or of a part of it.

    Attributes:
        rows: The number of rows, without blank lines.
        invalid: The number of those that are invalid.
        first_error: The error of the first invalid row, with its line or row number.
        missing: The number of valid rows that lack each kept field, by its name.

    Example:
        >>> from object2vec_tf.bulk.row_counts import RowCounts
        >>> RowCounts(rows=5, missing={"id": 1}) + RowCounts(rows=2, missing={"id": 2})
        RowCounts(rows=7, invalid=0, first_error='', missing={'id': 3})
    """

    rows: int = 0
    invalid: int = 0
    first_error: str = ""
    missing: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __add__(self, other: RowCounts) -> RowCounts:
        """Returns the sums; the first error is that of the earlier rows."""
        names = sorted({*self.missing, *other.missing})
        return RowCounts(
            self.rows + other.rows,
            self.invalid + other.invalid,
            self.first_error or other.first_error,
            {n: self.missing.get(n, 0) + other.missing.get(n, 0) for n in names},
        )

    def answers(self, options: AnswerOptions) -> int:
        """Returns the number of answers."""
        return self.rows - (self.invalid if options.on_error == SKIP else 0)

    def to_json(self) -> str:
        """Returns the counts as JSON."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> RowCounts:
        """Returns the counts that `to_json` wrote."""
        return RowCounts(**json.loads(text))

    def summary(self, options: AnswerOptions) -> str:
        """Returns the number of answers and of invalid rows, for a report."""
        answers = self.answers(options)
        text = f"{answers:,} line{'' if answers == 1 else 's'}"
        if options.on_error == FAIL:
            return text
        done = "skipped" if options.on_error == SKIP else "marked"
        return f"{text}, {self.invalid:,} invalid ({done})"

    def warn(self, path: Path) -> None:
        """Warns of invalid rows, and of rows without a kept field.

        Args:
            path: The input file.
        """
        if self.invalid:
            warnings.warn(
                f"{path}: {self.invalid:,} of {self.rows:,} rows are invalid, the "
                f"first: {self.first_error}",
                stacklevel=2,
            )
        for name, count in self.missing.items():
            if count:
                warnings.warn(
                    f"{path}: {count:,} of {self.rows - self.invalid:,} valid rows "
                    f"have no field {name}, so their answers have none",
                    stacklevel=2,
                )
