"""Runs the examples of retraining and of transfer, and writes their results.

    python -m tools.benchmarks.retraining --tables=weeks,transfer

Writes results/retraining_weeks.json (examples/retrain_daily) and
results/transfer_stsb.json (examples/transfer). Finished measurements are kept in --runs
and not repeated.
"""

from __future__ import annotations

import functools
import json
import statistics
import subprocess
import sys
from pathlib import Path

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from tools.benchmarks.measured import ROOT, file_digests
from tools.benchmarks.recipe_runs import RUNS, Record, kept, train
from tools.benchmarks.result_files import (
    Row,
    by_metric,
    flagfile,
    without_seeds,
    write_rows,
)
from tools.benchmarks.spread import mean_and_spread

TABLES = flags.DEFINE_list("tables", ["weeks", "transfer"], "tables to measure")
SEEDS = flags.DEFINE_integer("seeds", 3, "runs of each model", lower_bound=2)
WEEKS = flags.DEFINE_string("weeks", "21..25", "weeks that are predicted")

_WEEKS_DATA = Path("data/movielens_weeks/manifest.json")
_STSB_DATA = Path("data/stsb/manifest.json")
_SNLI = ("--enc_dim=128", "--mlp_dim=128", "--epochs=5")


def run_example(program: str, output: Path, *arguments: str) -> Record:
    """Runs a program of examples/ and returns the JSON object that it writes."""
    output.parent.mkdir(parents=True, exist_ok=True)
    path = f"examples/{program}"
    command = [sys.executable, path, *arguments, f"--output={output}"]
    if subprocess.run(command, check=False).returncode:
        raise UserError(f"{path} failed. See the output above.")
    return dict(json.loads(output.read_text(encoding="utf-8")))


def weeks() -> list[Row]:
    """Returns recall@10 of each model of examples/retrain_daily, for each seed."""
    results = []
    for seed in range(SEEDS.value):
        work = Path(RUNS.value) / "retrain_daily" / f"weeks-{seed}"
        results.append(
            kept(
                f"retraining_weeks_{seed}",
                functools.partial(
                    run_example,
                    "retrain_daily/retrain.py",
                    work / "results.json",
                    f"--weeks={WEEKS.value}",
                    f"--work={work}",
                    f"--seed={seed}",
                ),
                *sorted((ROOT / "examples/retrain_daily").glob("retrain*")),
                _WEEKS_DATA,
                arguments=WEEKS.value,
            )
        )
    rows = []
    for name in results[0]:
        values = by_metric(result[name] for result in results)
        seconds = values.pop("cpu_seconds", None)
        times = {"cpu_seconds": round(statistics.median(seconds), 1)} if seconds else {}
        rows.append(Row(name, without_seeds(values), details=times))
    return rows


def transfer() -> list[Row]:
    """Returns the accuracies of each run of examples/transfer, for each seed."""
    work = Path(RUNS.value) / "transfer"
    snli = work / "snli"
    train("snli_bilstm", 0, snli, *_SNLI)
    result = kept(
        "transfer_stsb",
        functools.partial(
            run_example,
            "transfer/transfer.py",
            work / "results.json",
            f"--snli={snli}",
            f"--work={work}",
            f"--seeds={SEEDS.value}",
        ),
        ROOT / "examples/transfer/transfer.py",
        ROOT / "examples/transfer/stsb_classes.flags",
        flagfile("snli_bilstm"),
        _STSB_DATA,
        arguments=str(SEEDS.value),
    )
    return [Row(name, values) for name, values in result.items()]


def main() -> None:
    """Runs the command."""
    tables = {
        "weeks": ("retraining_weeks", weeks, _WEEKS_DATA),
        "transfer": ("transfer_stsb", transfer, _STSB_DATA),
    }
    for table in TABLES.value:
        if table not in tables:
            raise UserError(
                f"--tables: expected some of {', '.join(tables)}, got {table!r}."
            )
        name, measure, data = tables[table]
        rows = measure()
        command = f"python -m tools.benchmarks.retraining --tables={table}"
        write_rows(name, command, rows, file_digests(data))
        for row in rows:
            for metric, values in row.values.items():
                print(f"| {row.name} | {metric} | {mean_and_spread(values)} |")


if __name__ == "__main__":
    runner.run(main)
