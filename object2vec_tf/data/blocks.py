"""Blocks of pairs, and the bad lines or rows that were skipped."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.data.line_diagnosis import MAX_WEIGHT
from object2vec_tf.data.pair_schema import INPUTS, PairSchema
from object2vec_tf.errors import DataError
from object2vec_tf.ragged.column import RaggedColumn

Labels = npt.NDArray[np.int64] | npt.NDArray[np.float32]

_MAX_LISTED_LINES = 10


@dataclasses.dataclass
class BadLines:
    """The invalid lines or rows of a channel that were skipped.

    Attributes:
        budget: Number of invalid lines to tolerate.
        messages: One message, ``file:line: problem``, for each skipped line.
        count: The number of invalid lines. It is larger than that of messages if lines
            lack their line ends.
        is_table: Whether they are rows of a table in memory, which no command reads.
    """

    budget: int
    messages: list[str] = dataclasses.field(default_factory=list)
    count: int = 0
    is_table: bool = False

    def add(self, message: str, count: int = 1) -> None:
        """Adds an invalid line.

        Args:
            message: Its problem.
            count: The number of lines that it counts as.

        Raises:
            DataError: There are more invalid lines than the budget allows.
        """
        self.messages.append(message)
        self.count += count
        if self.count <= self.budget:
            return
        if not self.budget:
            advice = "--max_bad_lines=N skips up to N such lines."
            if self.is_table:
                advice = (
                    "With max_bad_lines=N, o2v.fit and o2v.read_pairs skip up to N "
                    "such rows."
                )
            raise DataError(f"{message} {advice}")
        unit, option = (
            ("row", "max_bad_lines") if self.is_table else ("line", "--max_bad_lines")
        )
        raise DataError(
            f"{message} This is bad {unit} {self.count} of the channel, and "
            f"{option} is {self.budget}. The other bad {unit}s:\n  "
            + "\n  ".join(self.messages[:-1][:_MAX_LISTED_LINES])
        )


@dataclasses.dataclass(frozen=True)
class Block:
    """The pairs of one block of lines.

    Attributes:
        in0: The rows of in0.
        in1: The rows of in1.
        labels: int64 or float32 ``[rows]``.
        weights: float32 ``[rows]``; None if no line has a weight.
    """

    in0: RaggedColumn
    in1: RaggedColumn
    labels: Labels
    weights: npt.NDArray[np.float32] | None = None

    @property
    def weights_or_ones(self) -> npt.NDArray[np.float32]:
        """The weights; 1 for every pair if no line has a weight."""
        if self.weights is None:
            return np.ones(len(self.labels), np.float32)
        return self.weights


def checked_block(
    columns: Mapping[str, RaggedColumn],
    labels: npt.NDArray[Any],
    weights: npt.NDArray[Any] | None,
    schema: PairSchema,
) -> Block | None:
    """Returns the pairs of a block; None if a label or weight is out of range.

    Args:
        columns: The token ids of in0 and of in1.
        labels: Integers for class labels, else numbers, ``[rows]``.
        weights: Numbers, ``[rows]``; None if there are none.
        schema: The schema of the pairs.
    """
    if weights is not None:
        if not np.all((weights >= 0) & (weights <= MAX_WEIGHT)):
            return None
        weights = weights.astype(np.float32)
    if schema.num_classes is not None:
        if len(labels) and not 0 <= labels.min() <= labels.max() < schema.num_classes:
            return None
        labels = labels.astype(np.int64)
    elif (real_labels := _as_finite_float32(labels)) is not None:
        labels = real_labels
    else:
        return None
    return Block(columns["in0"], columns["in1"], labels, weights)


def has_valid_numbers(
    labels: npt.NDArray[Any], weights: npt.NDArray[Any] | None, schema: PairSchema
) -> bool:
    """Returns whether all labels and weights are in range; see `checked_block`."""
    no_ids = dict.fromkeys(INPUTS, RaggedColumn.from_rows([]))
    return checked_block(no_ids, labels, weights, schema) is not None


def _as_finite_float32(numbers: npt.NDArray[Any]) -> npt.NDArray[np.float32] | None:
    """Returns numbers as float32; None if one of them is too large for it."""
    with np.errstate(over="ignore"):
        converted = numbers.astype(np.float32)
    return converted if np.isfinite(converted).all() else None


def block_of_pairs(
    pairs: Sequence[Mapping[str, Any]],
    schema: PairSchema,
    column: Callable[[str, Sequence[Any]], RaggedColumn],
) -> Block:
    """Returns the block of valid pairs.

    Args:
        pairs: Pairs without a problem, as `line_diagnosis` finds them.
        schema: The schema of the pairs.
        column: Returns the token ids of rows of an input, as `LineReader.column`.
    """
    weights = None
    if any("weight" in pair for pair in pairs):
        weights = np.array([pair.get("weight", 1) for pair in pairs], np.float32)
    labels = [pair["label"] for pair in pairs]
    has_classes = schema.num_classes is not None
    columns = {}
    for name in INPUTS:
        rows = [pair[name] for pair in pairs]
        if name not in schema.text_inputs:
            rows = list(map(_id_list, rows))
        columns[name] = column(name, rows)
    return Block(
        columns["in0"],
        columns["in1"],
        np.array(labels, np.int64) if has_classes else np.array(labels, np.float32),
        weights,
    )


def _id_list(ids: Any) -> list[int]:
    """Returns token ids, single or in a list, as a list of integers."""
    return list(map(int, ids)) if isinstance(ids, list) else [int(ids)]
