"""The lines about epochs: whole lines for files, and a table for terminals."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from object2vec_tf.report.number_format import duration_text, score_text
from object2vec_tf.report.result_rows import CHANNELS

_GAP = "  "
_SCORE_WIDTH = 8
_RATE, _TIME, _LEFT = "pairs/s", "time", "left"
_RATE_WIDTH, _TIME_WIDTH, _LONG_TIME_WIDTH = 9, 6, 11
# Shorter times are in seconds.
_LONG_SECONDS = 120


def epoch_line(
    record: Mapping[str, Any],
    epochs: int,
    remaining: float,
    hidden: Collection[str] = (),
) -> str:
    """Returns a line on an epoch that is complete in itself, of any length.

    Args:
        record: The epoch's record, as in history.jsonl.
        epochs: The number of epochs.
        remaining: The most seconds that training still takes; 0 if it is done.
        hidden: Metrics that the line leaves out.
    """
    parts = [f"epoch {record['epoch'] + 1}/{epochs}"]
    for channel in CHANNELS:
        parts += [
            f"{channel} {name} {score_text(value)}"
            for name, value in record.get(channel, {}).items()
            if name not in hidden
        ]
    rate = record["records_per_second"]
    parts += [f"{rate:,.0f} pairs/s", duration_text(record["seconds"])]
    if remaining:
        parts.append(f"at most {duration_text(remaining)} left")
    return _GAP.join(parts)


@dataclasses.dataclass(frozen=True)
class _Column:
    """A column of the table.

    Attributes:
        group: The channel; empty for other columns.
        name: The metric, or the title.
        width: The number of characters.
        rank: The place among the columns that are chosen first.
    """

    group: str
    name: str
    width: int
    rank: tuple[int, int]


class EpochTable:
    """A table with a row for each epoch, as wide as the terminal.

    The columns are chosen from the first row: the losses, then the time, then other
    metrics, as many as fit.

    Args:
        epochs: The number of epochs.
        width: The width of the terminal.
        hidden: Metrics that the table leaves out.

    Example:
        >>> table = EpochTable(epochs=4, width=60)
        >>> record = {"epoch": 1, "train": {"cross_entropy": 0.5, "accuracy": 0.75}}
        >>> record |= {"seconds": 2.0, "records_per_second": 1234.5}
        >>> for line in [*table.header(record, 4.0), table.row(record, 4.0)]:
        ...     print(line)
               train
        epoch  cross_entropy  accuracy    pairs/s    time    left
          2/4         0.5000    0.7500      1,234   2.0 s   4.0 s
    """

    def __init__(self, epochs: int, width: int, hidden: Collection[str] = ()) -> None:
        self._epochs, self._width, self._hidden = epochs, width, hidden
        self._first = max(len("epoch"), 2 * len(f"{epochs}") + 1)
        self._columns: list[_Column] = []

    def header(self, record: Mapping[str, Any], remaining: float) -> list[str]:
        """Chooses the columns; returns the two lines above the rows.

        Args:
            record: The record of the first epoch that is shown.
            remaining: The most seconds that training still takes.
        """
        candidates = self._candidates(record, max(record["seconds"], remaining))
        room = self._width - self._first
        kept = []
        for column in sorted(candidates, key=lambda column: column.rank):
            if len(_GAP) + column.width <= room:
                kept.append(column)
                room -= len(_GAP) + column.width
        self._columns = [column for column in candidates if column in kept]
        groups, group = " " * self._first, ""
        names = "epoch".rjust(self._first)
        for column in self._columns:
            is_new = column.group and column.group != group
            if is_new:
                groups = groups.ljust(len(names) + len(_GAP)) + column.group
            group = column.group
            names += _GAP + column.name.rjust(column.width)
        return [groups.rstrip(), names]

    def row(self, record: Mapping[str, Any], remaining: float) -> str:
        """Returns the row of an epoch.

        Args:
            record: The epoch's record, as in history.jsonl.
            remaining: The most seconds that training still takes; 0 if it is done.
        """
        text = f"{record['epoch'] + 1}/{self._epochs}".rjust(self._first)
        for column in self._columns:
            text += _GAP + _cell(column, record, remaining).rjust(column.width)
        return text[: self._width].rstrip()

    def _candidates(self, record: Mapping[str, Any], seconds: float) -> list[_Column]:
        """Returns all columns from left to right."""
        columns = []
        for channel in CHANNELS:
            names = [n for n in record.get(channel, {}) if n not in self._hidden]
            for place, name in enumerate(names):
                width = max(len(name), _SCORE_WIDTH)
                if len(names) == 1:
                    width = max(width, len(channel))
                rank = (3 + place if place else 0, -CHANNELS.index(channel))
                columns.append(_Column(channel, name, width, rank))
        time_width = _TIME_WIDTH if seconds < _LONG_SECONDS else _LONG_TIME_WIDTH
        return [
            *columns,
            _Column("", _RATE, _RATE_WIDTH, (5, 0)),
            _Column("", _TIME, time_width, (1, 0)),
            _Column("", _LEFT, time_width, (2, 0)),
        ]


def _cell(column: _Column, record: Mapping[str, Any], remaining: float) -> str:
    if column.group:
        return score_text(record.get(column.group, {}).get(column.name))
    if column.name == _RATE:
        return f"{record['records_per_second']:,.0f}"
    if column.name == _TIME:
        return duration_text(record["seconds"])
    return duration_text(remaining) if remaining else ""
