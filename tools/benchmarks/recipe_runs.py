"""Trains recipes of examples/, and keeps the runs, their times and other results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import write_atomic
from tools.benchmarks import measured

RUNS = flags.DEFINE_string(
    "runs", "runs/results", "directory of the runs, RECIPE/seed-N"
)
_MEASURED = "measured.json"
_PROGRAMS = "programs"

Record = dict[str, Any]


def train(recipe: str, seed: int, model_dir: Path, *overrides: str) -> Record:
    """Trains a recipe with the same command that a user would type.

    Args:
        recipe: Its name in examples/.
        seed: The seed of the run.
        model_dir: The run directory; a finished run is not repeated.
        *overrides: Flags that replace those of the recipe.

    Returns:
        The metrics of the run.
    """
    return train_measured(recipe, seed, model_dir, *overrides)[0]


def train_measured(
    recipe: str, seed: int, model_dir: Path, *overrides: str
) -> tuple[Record, Record]:
    """Trains a recipe as `train` does, measures the process and deletes checkpoints.

    Returns:
        The metrics of the run, and a record with: wall_seconds and cpu_seconds of the
        process that trained it, null if several processes did; date, versions and
        processor; digests of the settings and of the data.
    """
    flagfile = measured.ROOT / f"examples/{recipe}.flags"
    metrics, record = model_dir / "metrics.json", model_dir / _MEASURED
    digest = measured.settings_digest(flagfile, *overrides)
    if metrics.exists() and record.exists():
        finished = _read(record)
        if finished["settings_digest"] == digest:
            return _read(metrics), finished
    is_new = not model_dir.exists() or not any(model_dir.iterdir())
    before = metrics.read_bytes() if metrics.exists() else b""
    times = _run(
        recipe,
        f"--flagfile=examples/{recipe}.flags",
        f"--model_dir={model_dir}",
        f"--seed={seed}",
        *overrides,
    )
    if not is_new:  # These are the times of the last part only, or of no training.
        times = dict.fromkeys(times)
    if not record.exists() or metrics.read_bytes() != before:
        measurement = {
            **times,
            **measured.environment(),
            "settings_digest": digest,
            "data": measured.data_digests(flagfile, *overrides),
        }
        write_atomic(record, json.dumps(measurement, indent=1) + "\n")
    # Those of a wide table take 8 GB. A finished run is evaluated without them.
    shutil.rmtree(model_dir / "checkpoints", ignore_errors=True)
    return _read(metrics), _read(record)


def _run(recipe: str, *arguments: str) -> dict[str, float | None]:
    command = [sys.executable, "-m", "object2vec_tf.fit", *arguments]
    status, times = run_process(command)
    if status:
        raise UserError(f"{recipe}: training failed. See the output above.")
    return {**times}


def run_process(command: Sequence[str]) -> tuple[int, dict[str, float]]:
    """Runs a command without showing its output.

    Returns:
        Its exit status, and wall_seconds and cpu_seconds of the process and of its
        children.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, {
        "wall_seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
    }


def kept(
    name: str, compute: Callable[[], Record], *inputs: Path, arguments: str = ""
) -> Record:
    """Returns a result, computed once and kept beside the runs.

    Args:
        name: A file name for the result.
        compute: Returns it, as a JSON object.
        *inputs: Files: programs, data, metrics of runs. If the content of one of them
            changes, the result is computed again.
        arguments: Other settings for which this is true.
    """
    path = Path(RUNS.value) / _PROGRAMS / f"{name}.json"
    key = {"arguments": arguments, "inputs": measured.file_digests(*inputs)}
    if path.exists():
        record = _read(path)
        if record["key"] == key:
            return dict(record["result"])
    result = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps({"key": key, "result": result}) + "\n")
    return result


def finished_runs(recipe: str) -> list[Path]:
    """Returns the directories of the finished runs of a recipe, by seed."""
    paths = Path(RUNS.value).glob(f"{recipe}/seed-*/metrics.json")
    return sorted((path.parent for path in paths), key=_seed)


def _seed(run: Path) -> int:
    return int(run.name.partition("-")[2])


def _read(path: Path) -> Record:
    return dict(json.loads(path.read_text(encoding="utf-8")))
