"""Tables of docs/results.md from the files results/*.json.

The functions of `Results` are those of the template tools/docs/results.md.j2.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.benchmarks import measured
from tools.benchmarks.result_files import flagfile, read

_NOT_MEASURED = "not measured"
_STALE = "†"
_LOWER_IS_BETTER = {"cross_entropy", "mean_rank", "mean_squared_error", "rmse"}
_DIGITS = {"mean_rank": 2}
_HEADS = {
    "mean_squared_error": "MSE",
    "rmse": "RMSE",
    "cross_entropy": "cross-entropy",
    "mean_rank": "mean rank",
    "micro_f1": "micro-F1",
    "pearson": "Pearson",
    "zero-shot pearson": "Pearson of the cosine",
    "side_information": "side information",
    "settings": "chosen settings",
    "cpu_seconds": "CPU seconds",
}

Values = Mapping[str, Sequence[float]]


@dataclasses.dataclass(frozen=True)
class TableRow:
    """A model in a table.

    Attributes:
        name: The first cell.
        values: For each metric, its value for each seed.
        details: Cells of other columns, by the name of the column.
        shown: Cells of metrics that are not formatted, such as "0.703 to 0.704".
        cpu_seconds: The CPU seconds of each training, if they are known.
        is_stale: Whether the recipe has changed since it was measured.
        is_missing: Whether there is no file with its results.
    """

    name: str
    values: Values = dataclasses.field(default_factory=dict)
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    shown: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cpu_seconds: Sequence[float] = ()
    is_stale: bool = False
    is_missing: bool = False

    def mean(self, metric: str) -> float | None:
        """Returns the mean of a metric as it is shown; None: no values."""
        values = self.values.get(metric)
        if not values:
            return None
        return round(statistics.mean(values), _DIGITS.get(metric, 4))

    def cell(self, metric: str, is_best: bool = False) -> str:
        """Returns the mean and the standard deviation of a metric.

        Example:
            >>> TableRow("A", {"accuracy": [0.5, 0.6]}).cell("accuracy", is_best=True)
            '**0.5500** ± 0.0707'
            >>> TableRow("B", {"mean_rank": [1.5]}).cell("mean_rank")
            '1.50'
        """
        values = self.values.get(metric, ())
        digits = _DIGITS.get(metric, 4)
        cell = self.shown.get(metric, "")
        if values and not cell:
            cell = f"{statistics.mean(values):,.{digits}f}"
        if is_best:
            cell = f"**{cell}**"
        if len(values) > 1:
            cell += f" ± {statistics.stdev(values):.{digits}f}"
        return cell


class Results:
    """The results in a directory.

    Args:
        directory: It has the files.
    """

    def __init__(self, directory: Path) -> None:
        self._records = {path.stem: read(path) for path in directory.glob("*.json")}
        self._used: set[str] = set()
        self._missing: set[str] = set()
        self._stale: set[str] = set()

    def unused(self) -> list[str]:
        """Returns the names of the files that no table has used.

        While files are missing, those of recipes are not among them: a missing file may
        have rows of the recipe.
        """
        return sorted(
            name
            for name, record in self._records.items()
            if name not in self._used
            and not (self._missing and record["kind"] == "recipe")
        )

    def missing(self) -> list[str]:
        """Returns the names of the files that tables needed and did not find."""
        return sorted(self._missing)

    def stale(self) -> list[str]:
        """Returns the names of the recipes that changed since they were measured."""
        return sorted(self._stale)

    def changed_data(self, root: Path) -> dict[str, list[str]]:
        """Returns for each file the data below ``root`` that are not those it used."""
        digest = functools.cache(measured.file_digest)
        changed = {
            name: [
                path
                for path, used in record.get("data", {}).items()
                if (root / path).is_file() and digest(root / path) != used
            ]
            for name, record in sorted(self._records.items())
        }
        return {name: paths for name, paths in changed.items() if paths}

    def recipe(
        self, recipe: str, channel: str = "test", name: str = "", **details: Any
    ) -> list[TableRow]:
        """Returns the row of a recipe.

        Args:
            recipe: Its name in examples/.
            channel: The channel whose metrics are shown.
            name: The first cell; the name of the recipe by default.
            **details: Cells of other columns.
        """
        record = self._record(recipe)
        if record is None:
            return [TableRow(name or recipe, details=details, is_missing=True)]
        (row,) = (row for row in record["rows"] if row["name"] == channel)
        return [
            TableRow(
                name or recipe,
                _with_rmse(row["values"]),
                details,
                cpu_seconds=_known(record["cpu_seconds"]),
                is_stale=self._is_stale(recipe, record["settings_digest"]),
            )
        ]

    def program(self, file: str, *names: str, **details: Any) -> list[TableRow]:
        """Returns rows of a program's results, or of published ones.

        Args:
            file: The name of the file, without suffix.
            *names: The rows; all of them by default.
            **details: Cells of other columns; ``name`` is the first cell.
        """
        record = self._record(file)
        label = details.pop("name", "")
        if record is None:
            return [
                TableRow(label or name, details=details, is_missing=True)
                for name in names or (file,)
            ]
        found = {row["name"]: row for row in record["rows"]}
        return [
            self._row(found[name], record["kind"], label, details)
            if name in found
            else TableRow(label or name, details=details, is_missing=True)
            for name in names or found
        ]

    published = program

    def _row(
        self, row: Mapping[str, Any], kind: str, label: str, details: Mapping[str, Any]
    ) -> TableRow:
        recipe = row.get("recipe", "")
        record = self._record(recipe) if recipe else None
        shown = row.get("shown", {})
        if kind == "published":  # with the digits that were published
            digits = {name: str(each) for name, (each,) in row["values"].items()}
            shown = digits | shown
        return TableRow(
            label or row["name"],
            _with_rmse(row["values"]),
            {**row, **details},
            shown,
            _known(record["cpu_seconds"]) if record else (),
            bool(recipe) and self._is_stale(recipe, row["settings_digest"]),
        )

    def joined(self, *rows: Sequence[TableRow]) -> list[TableRow]:
        """Returns the row that has the values of several rows; the first one counts."""
        parts = [part for (part,) in rows]
        values = {name: part.values[name] for part in parts for name in part.values}
        return [
            dataclasses.replace(
                parts[0],
                values=values,
                is_stale=any(part.is_stale for part in parts),
                is_missing=all(part.is_missing for part in parts),
            )
        ]

    def average(self, name: str, *rows: Sequence[TableRow]) -> list[TableRow]:
        """Returns a row with the mean of each row as one value, such as over folds.

        Args:
            name: The first cell.
            *rows: One row each. If one of them is missing, the new row is, too.
        """
        parts = [part for (part,) in rows]
        if any(part.is_missing for part in parts):
            return [TableRow(name, is_missing=True)]
        values = {
            metric: [statistics.mean(part.values[metric]) for part in parts]
            for metric in parts[0].values
        }
        is_stale = any(part.is_stale for part in parts)
        return [TableRow(name, values, is_stale=is_stale)]

    def table(
        self,
        metrics: Sequence[str],
        *rows: Iterable[TableRow],
        head: str = "model",
        details: Sequence[str] = (),
        best: str = "column",
    ) -> str:
        """Returns a table in Markdown. The best values are bold.

        Args:
            metrics: The columns of metrics.
            *rows: The rows.
            head: The head of the first column.
            details: Other columns, after the first one; source is the last one.
            best: Whether the best value of each ``column`` or of each ``row`` is bold.
        """
        lines = [row for each in rows for row in each]
        has_times = any(row.cpu_seconds for row in lines)
        source = [name for name in details if name == "source"]
        details = [name for name in details if name != "source"]
        heads = [head, *details, *metrics, "seeds"]
        heads += ["CPU minutes"] * has_times + source
        table = [
            _line(_HEADS.get(name, name) for name in heads),
            "|---" * len(heads) + "|",
        ]
        for row in lines:
            cells = [row.name + f" {_STALE}" * row.is_stale]
            cells += [_detail(row.details.get(name)) for name in details]
            for metric in metrics:
                rivals = (
                    [each.mean(metric) for each in lines]
                    if best == "column"
                    else [row.mean(each) for each in metrics]
                )
                is_best = _is_best(row.mean(metric), rivals, metric)
                cells.append(row.cell(metric, is_best))
            if row.is_missing:
                cells[1 + len(details)] = _NOT_MEASURED
            counts = [len(row.values.get(metric, ())) for metric in metrics]
            cells.append(str(max(counts)) if max(counts) > 1 else "")
            if has_times:
                cells.append(_minutes(row.cpu_seconds))
            cells += [_source(row.details) for _ in source]
            table.append(_line(cells))
        if any(row.is_stale for row in lines):
            table.append(
                f"\n{_STALE} The settings have changed since this was measured."
            )
        return "\n".join(table)

    def against(
        self, metric: str, ours: Sequence[TableRow], theirs: Sequence[TableRow]
    ) -> str:
        """Returns two cells: our value of a metric, and that of another model."""
        rows = [*ours, *theirs]
        rivals = [row.mean(metric) for row in rows]
        cells = []
        for row in rows:
            cell = row.cell(metric, _is_best(row.mean(metric), rivals, metric))
            cells.append(_NOT_MEASURED if row.is_missing else cell)
        count = len(ours[0].values.get(metric, ()))
        cells[0] += f" ({count} seeds)" * (count > 1) + f" {_STALE}" * ours[0].is_stale
        return f"{cells[0]} | {theirs[0].name} {cells[1]}"

    def measurements(self) -> str:
        """Returns a table of when and how each file was measured."""
        table = [
            _line(["file", "date", "TensorFlow", "processor", "command"]),
            "|---" * 5 + "|",
        ]
        for name, record in sorted(self._records.items()):
            if record["kind"] != "published":
                cells = [
                    name,
                    record["date"],
                    record["versions"]["tensorflow"],
                    record["processor"],
                    f"`{record['command']}`",
                ]
                table.append(_line(cells))
        return "\n".join(table)

    def _record(self, name: str) -> dict[str, Any] | None:
        if name in self._records:
            self._used.add(name)
            return self._records[name]
        self._missing.add(name)
        return None

    def _is_stale(self, recipe: str, digest: str) -> bool:
        path = flagfile(recipe)
        if path.exists() and measured.settings_digest(path) == digest:
            return False
        self._stale.add(recipe)
        return True


def _with_rmse(values: Values) -> Values:
    if "mean_squared_error" not in values or "rmse" in values:
        return values
    roots = [math.sqrt(value) for value in values["mean_squared_error"]]
    return {**values, "rmse": roots}


def _is_best(mean: float | None, rivals: Sequence[float | None], metric: str) -> bool:
    known = [value for value in rivals if value is not None]
    best = min if metric in _LOWER_IS_BETTER else max
    return mean is not None and len(known) > 1 and mean == best(known)


def _known(seconds: Iterable[float | None]) -> list[float]:
    return [value for value in seconds if value is not None]


def _minutes(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) / 60:.1f}" if seconds else ""


def _detail(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return "" if value is None else str(value)


def _source(details: Mapping[str, Any]) -> str:
    parts = [details.get("source"), details.get("link")]
    return ", ".join(part for part in parts if part)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
