"""Tests of the tune command: run to its end, stopped and killed."""

import json
import os
import signal
import subprocess
import time

import pytest

from tests.command_server import python_c, python_m

SEARCH = "--tune=learning_rate=0.01..0.1,dropout=0..0.5"


def command(settings, channels, model_dir, *more):
    flags = {**settings, **channels, "model_dir": model_dir}
    return [
        *python_m("object2vec_tf.tune"),
        *(f"--{name}={value}" for name, value in flags.items()),
        *more,
    ]


def run(line, **environment):
    done = subprocess.run(
        line,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout, done.stderr


def trials(directory):
    lines = (directory / "trials.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def wait_until(condition, process):
    deadline = time.monotonic() + 240
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.communicate()
            raise AssertionError("the process ended, or the deadline passed")
        time.sleep(0.02)


def test_an_unknown_objective_is_reported_with_the_valid_ones(
    settings, ratings, tmp_path
):
    line = command(settings, ratings, tmp_path / "study", "--objective=validation:mse")
    status, _, stderr = run(line)
    assert status == 2
    assert stderr == (
        "error: objective: expected one of validation:mean_squared_error, "
        "test:mean_squared_error, train:mean_squared_error (with "
        "output_layer=mean_squared_error), got 'validation:mse'.\n"
    )
    assert not (tmp_path / "study").exists()


def test_a_flag_that_only_applies_to_fit_is_rejected(settings, ratings, tmp_path):
    line = command(settings, ratings, tmp_path / "study", "--strategy=one")
    status, _, stderr = run(line)
    assert status == 2
    assert stderr.startswith("error: --strategy=one only applies to fit. Remove it")
    assert stderr.count("\n") == 1


def test_missing_optuna_is_reported_with_the_command_that_installs_it(
    settings, ratings, tmp_path
):
    line = command(settings, ratings, tmp_path / "study")
    flags = line[line.index("object2vec_tf.tune") + 1 :]
    program = """
import runpy, sys
sys.modules["optuna"] = None
runpy.run_module("object2vec_tf.tune", run_name="__main__", alter_sys=True)
"""
    status, _, stderr = run([*python_c(program), *flags])
    assert status == 2
    assert stderr.startswith(
        "error: object2vec_tf.tune needs optuna: import of optuna halted; None in "
        "sys.modules. Run: pip install 'optuna"
    )
    assert stderr.count("\n") == 1


@pytest.mark.long
def test_a_killed_study_resumes_to_the_results_of_an_uninterrupted_study(
    settings, ratings, tmp_path
):
    settings |= {"epochs": 40, "early_stopping_patience": 5}
    settings |= {"early_stopping_tolerance": 1e-6}
    more = (SEARCH, "--trials=3", "--objective=validation:mean_squared_error")
    killed = subprocess.Popen(
        command(settings, ratings, tmp_path / "killed", *more),
        stdout=subprocess.DEVNULL,
    )
    wait_until((tmp_path / "killed/trials/0001/history.jsonl").exists, killed)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    for name in ("killed", "uninterrupted"):
        line = command(settings, ratings, tmp_path / name, *more)
        status, _, stderr = run(line)
        assert (status, stderr) == (0, "")
    ends = [
        [(t["number"], t["state"], t["params"], t["value"]) for t in trials(path)]
        for path in (tmp_path / "killed", tmp_path / "uninterrupted")
    ]
    assert ends[0] == ends[1]
    assert len(ends[0]) == 3


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_study_stopped_by_sigterm_resumes(settings, ratings, tmp_path, jobs):
    study = tmp_path / "study"
    more = (SEARCH, f"--jobs={jobs}")
    stopped = subprocess.Popen(
        command(settings, ratings, study, *more, "--trials=50"),
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until((study / "trials.jsonl").exists, stopped)
    stopped.send_signal(signal.SIGTERM)
    out, _ = stopped.communicate()
    assert stopped.returncode == 0
    assert "of 50 trials. The same command resumes the study." in out
    assert (study / "best/export/1/saved_model.pb").is_file()
    count = len(trials(study)) + 1
    status, _, stderr = run(
        command(settings, ratings, study, *more, f"--trials={count}")
    )
    assert (status, stderr) == (0, "")
    assert len(trials(study)) == count


@pytest.mark.long
def test_a_user_error_in_a_worker_process_is_reported_once(settings, ratings, tmp_path):
    settings |= {"negative_sampling_rate": 10**6}
    line = command(settings, ratings, tmp_path / "study", SEARCH, "--jobs=2")
    status, _, stderr = run(line)
    assert status == 2
    assert stderr.startswith("error: negative_sampling_rate: 1,000,000 negatives")
    assert stderr.count("\n") == 1
