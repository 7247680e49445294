"""Tests of runs that are kept, with a program in the place of fit."""

import json
import sys
from pathlib import Path

import pytest

from tests.tools.benchmarks.flag_values import flag_values
from tools.benchmarks import recipe_runs
from tools.benchmarks.recipe_runs import (
    finished_runs,
    kept,
    run_process,
    train_measured,
)


@pytest.fixture(autouse=True)
def runs(tmp_path):
    with flag_values(runs=str(tmp_path)):
        yield tmp_path


@pytest.fixture
def calls(monkeypatch):
    """Replaces fit; returns the arguments of its calls."""
    made = []

    def run(recipe, *arguments):
        made.append(arguments)
        directory = Path(arguments[1].removeprefix("--model_dir="))
        (directory / "checkpoints/epoch-0001").mkdir(parents=True, exist_ok=True)
        metrics = {"test": {"accuracy": 0.25 * len(made)}}
        (directory / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        return {"wall_seconds": 2.0, "cpu_seconds": 3.0}

    monkeypatch.setattr(recipe_runs, "_run", run)
    return made


def test_finished_run_is_not_repeated(runs, calls):
    directory = runs / "movielens_rating/seed-0"
    first = train_measured("movielens_rating", 0, directory)
    assert train_measured("movielens_rating", 0, directory) == first
    metrics, measurement = first
    assert metrics == {"test": {"accuracy": 0.25}}
    assert measurement["cpu_seconds"] == 3.0
    assert set(measurement) >= {"date", "versions", "processor", "settings_digest"}
    assert len(calls) == 1
    assert calls[0][2] == "--seed=0"
    assert not (directory / "checkpoints").exists()


def test_run_with_other_flags_is_left_to_fit(runs, calls):
    directory = runs / "movielens_rating/seed-0"
    train_measured("movielens_rating", 0, directory)
    metrics, measurement = train_measured("movielens_rating", 0, directory, "--test=")
    assert calls[1][-1] == "--test="
    assert metrics == {"test": {"accuracy": 0.5}}
    # Two processes trained it, or the second one none.
    assert measurement["cpu_seconds"] is None


def test_seconds_of_a_process_include_those_of_its_children():
    work = "import time\nwhile time.process_time() < 0.15: pass"
    program = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"
    )
    status, times = run_process([sys.executable, "-c", f"{program}; sys.exit(3)"])
    assert status == 3
    assert times["cpu_seconds"] >= 0.1
    assert times["wall_seconds"] >= 0.1


def test_finished_runs_are_in_the_order_of_seeds(runs):
    for name in ("seed-10", "seed-9", "seed-2"):
        (runs / "recipe" / name).mkdir(parents=True)
        if name != "seed-2":
            (runs / "recipe" / name / "metrics.json").write_text("{}", "utf-8")
    assert [run.name for run in finished_runs("recipe")] == ["seed-9", "seed-10"]


def test_result_is_kept_until_an_input_changes(tmp_path):
    source = tmp_path / "input"
    made = []

    def compute():
        made.append(source.read_text(encoding="utf-8"))
        return {"number": len(made)}

    def result(arguments="a"):
        return kept("result", compute, source, arguments=arguments)

    source.write_text("x", encoding="utf-8")
    assert [result(), result()] == [{"number": 1}, {"number": 1}]
    source.write_text("y", encoding="utf-8")
    assert result() == {"number": 2}
    assert result("b") == {"number": 3}
    assert made == ["x", "y", "y"]
