"""The files results/*.json, from which docs/results.md is rendered.

Every file has rows. A row has a name and, for each metric, a list with one value per
seed. There are three kinds of files:

* ``recipe``: the runs of a recipe of examples/, written by tools.benchmarks.results.
  Each row is a channel: train, validation, test.
* ``program``: the output of another program of tools/benchmarks. A row whose name is
  a model of ours names its recipe.
* ``published``: figures that others have published, written by hand from their source.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import write_atomic
from tools.benchmarks import measured

RESULTS = flags.DEFINE_string(
    "results", "results", "directory of the files from which docs/results.md is made"
)
_SIGNIFICANT_DIGITS = 6
_NUMBERS = re.compile(r"\[(?:\s|\d|null|[.,eE+-])*\]")

Values = Mapping[str, Sequence[float]]
Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Row:
    """The metrics of a model.

    Attributes:
        name: The model, as the page shows it; for a recipe's file, the channel.
        values: For each metric, its value for each seed; one value without seeds.
        recipe: The recipe of examples/ whose runs were measured, if they are ours.
        details: Further entries of the row, such as ``settings`` that were chosen.

    Example:
        >>> Row("BM25", {"hits@1": [0.7]}).record()
        {'name': 'BM25', 'values': {'hits@1': [0.7]}}
    """

    name: str
    values: Values
    recipe: str = ""
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def record(self) -> Record:
        """Returns the row as an entry of the file."""
        record: Record = {"name": self.name}
        if self.recipe:
            record["recipe"] = self.recipe
            record["settings_digest"] = measured.settings_digest(flagfile(self.recipe))
        return record | dict(self.details) | {"values": _rounded(self.values)}


def flagfile(recipe: str) -> Path:
    """Returns the path of a recipe."""
    return measured.ROOT / "examples" / f"{recipe}.flags"


def by_metric(results: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Returns the values of each metric, given the metrics of each seed.

    Example:
        >>> by_metric([{"hits@1": 0.5}, {"hits@1": 0.25}])
        {'hits@1': [0.5, 0.25]}
    """
    results = list(results)
    return {name: [metrics[name] for metrics in results] for name in results[0]}


def without_seeds(values: Values) -> Values:
    """Returns one value per metric if no metric of a model depends on its seed.

    Example:
        >>> without_seeds({"mse": [0.5, 0.5], "mae": [0.6, 0.6]})
        {'mse': [0.5], 'mae': [0.6]}
        >>> without_seeds({"mse": [0.5, 0.5], "mae": [0.6, 0.7]})
        {'mse': [0.5, 0.5], 'mae': [0.6, 0.7]}
    """
    if all(len(set(each)) == 1 for each in values.values()):
        return {name: each[:1] for name, each in values.items()}
    return values


def write_rows(
    name: str,
    command: str,
    rows: Iterable[Row],
    data: Mapping[str, str] | None = None,
    keep_others: bool = False,
) -> None:
    """Writes the results of a program to ``results/NAME.json``.

    A file with the same results is not written again: it keeps its date and versions.

    Args:
        name: The name of the file, without suffix.
        command: The command that a user types to measure them.
        rows: The models.
        data: Digests of the data that were used (`measured.file_digests`).
        keep_others: Whether rows of an existing file remain if they have other names.
    """
    records = {row.name: row.record() for row in rows}
    path = Path(RESULTS.value) / f"{name}.json"
    earlier = read(path) if path.exists() else {"rows": []}
    if keep_others:
        records = {row["name"]: row for row in earlier["rows"]} | records
    results = {"data": dict(data or {}), "rows": list(records.values())}
    if any(earlier.get(key) != value for key, value in results.items()):
        record = {"kind": "program", "command": command, **measured.environment()}
        _write(path, {**record, **results})


def write_recipe(
    recipe: str, seeds: Sequence[int], runs: Sequence[tuple[Record, Record]]
) -> None:
    """Writes the results of a recipe to ``results/RECIPE.json``.

    Args:
        recipe: Its name in examples/.
        seeds: The seed of each run.
        runs: For each run its metrics.json and what `training.train` measured.
    """
    all_metrics, measurements = zip(*runs, strict=True)
    last = max(measurements, key=lambda each: str(each["date"]))
    channels = [
        name for name in ("train", "validation", "test") if all_metrics[0].get(name)
    ]
    numbers = {
        name: [metrics[name] for metrics in all_metrics]
        for name in ("epochs_run", "best_epoch")
    }
    times = {
        name: [measurement[name] for measurement in measurements]
        for name in ("wall_seconds", "cpu_seconds")
    }
    _write(
        Path(RESULTS.value) / f"{recipe}.json",
        {
            "kind": "recipe",
            "command": (
                f"python -m tools.benchmarks.results --recipes={recipe} "
                f"--seeds={len(seeds)}"
            ),
            "training": (
                f"python -m object2vec_tf.fit --flagfile=examples/{recipe}.flags "
                "--model_dir=RUN --seed=SEED"
            ),
            "seeds": list(seeds),
            **times,
            **numbers,
            **{name: last[name] for name in ("date", "versions", "processor")},
            "settings_digest": last["settings_digest"],
            "data": last["data"],
            "rows": [
                Row(name, by_metric(run[name] for run in all_metrics)).record()
                for name in channels
            ],
        },
    )


def read(path: Path) -> Record:
    """Reads a file.

    Raises:
        UserError: It is no file of results.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        for row in record["rows"]:
            _ = row["name"], row["values"].items()
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(
            f"{path}: expected a file of results with rows that have a name and "
            f"values, got {error!r}. Run its program again."
        ) from error
    return dict(record)


def _rounded(values: Values) -> dict[str, list[float]]:
    return {
        name: [_round(value) for value in numbers] for name, numbers in values.items()
    }


def _round(value: float) -> float:
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")


def _write(path: Path, record: Record) -> None:
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, _NUMBERS.sub(_on_one_line, text))


def _on_one_line(numbers: re.Match[str]) -> str:
    return f"[{' '.join(numbers.group()[1:-1].split())}]"
