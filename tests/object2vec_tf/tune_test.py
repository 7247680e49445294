"""Tests of the tune command: run to its end, stopped and killed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

SEARCH = "--tune=learning_rate=0.01..0.1,dropout=0..0.5"


def command(settings, channels, model_dir, *more):
    flags = {**settings, **channels, "model_dir": model_dir}
    return [
        sys.executable,
        "-m",
        "object2vec_tf.tune",
        *(f"--{name}={value}" for name, value in flags.items()),
        *more,
    ]


def ended(line, **environment):
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


def until(there, process):
    deadline = time.monotonic() + 240
    while not there():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.communicate()
            raise AssertionError("it ended, or did not get there")
        time.sleep(0.02)


def test_an_unknown_objective_is_told_with_those_there_are(settings, ratings, tmp_path):
    line = command(settings, ratings, tmp_path / "study", "--objective=validation:mse")
    status, _, told = ended(line)
    assert status == 2
    assert told == (
        "error: objective: expected one of validation:mean_squared_error, "
        "test:mean_squared_error, train:mean_squared_error (with "
        "output_layer=mean_squared_error), got 'validation:mse'.\n"
    )
    assert not (tmp_path / "study").exists()


def test_a_flag_that_a_study_has_no_use_for_is_told(settings, ratings, tmp_path):
    line = command(settings, ratings, tmp_path / "study", "--strategy=one")
    status, _, told = ended(line)
    assert status == 2
    assert told.startswith("error: --strategy=one only applies to fit. Remove it")
    assert told.count("\n") == 1


def test_without_optuna_the_way_to_it_is_told(settings, ratings, tmp_path):
    (tmp_path / "optuna.py").write_text("raise ImportError")
    line = command(settings, ratings, tmp_path / "study")
    status, _, told = ended(line, PYTHONPATH=str(tmp_path))
    assert status == 2
    assert told == (
        "error: object2vec_tf.tune needs optuna: it cannot be imported. "
        "Run: pip install 'object2vec_tf[tune]'\n"
    )
    assert told.count("\n") == 1


@pytest.mark.long
def test_a_study_that_is_killed_ends_as_one_that_is_not(settings, ratings, tmp_path):
    settings |= {"epochs": 40, "early_stopping_patience": 5}
    settings |= {"early_stopping_tolerance": 1e-6}
    more = (SEARCH, "--trials=3", "--objective=validation:mean_squared_error")
    killed = subprocess.Popen(
        command(settings, ratings, tmp_path / "killed", *more),
        stdout=subprocess.DEVNULL,
    )
    until((tmp_path / "killed/trials/0001/history.jsonl").exists, killed)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    for name in ("killed", "whole"):
        line = command(settings, ratings, tmp_path / name, *more)
        status, _, told = ended(line)
        assert (status, told) == (0, "")
    ends = [
        [(t["number"], t["state"], t["params"], t["value"]) for t in trials(path)]
        for path in (tmp_path / "killed", tmp_path / "whole")
    ]
    assert ends[0] == ends[1]
    assert len(ends[0]) == 3


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 2])
def test_sigterm_leaves_a_study_that_goes_on(settings, ratings, tmp_path, jobs):
    study = tmp_path / "study"
    more = (SEARCH, f"--jobs={jobs}")
    asked = subprocess.Popen(
        command(settings, ratings, study, *more, "--trials=50"),
        stdout=subprocess.PIPE,
        text=True,
    )
    until((study / "trials.jsonl").exists, asked)
    asked.send_signal(signal.SIGTERM)
    out, _ = asked.communicate()
    assert asked.returncode == 0
    assert "of 50 trials. The same command resumes the study." in out
    assert (study / "best/export/1/saved_model.pb").is_file()
    wanted = len(trials(study)) + 1
    status, _, told = ended(
        command(settings, ratings, study, *more, f"--trials={wanted}")
    )
    assert (status, told) == (0, "")
    assert len(trials(study)) == wanted


@pytest.mark.long
def test_what_a_further_process_finds_wrong_is_told_once(settings, ratings, tmp_path):
    settings |= {"negative_sampling_rate": 10**6}
    line = command(settings, ratings, tmp_path / "study", SEARCH, "--jobs=2")
    status, _, told = ended(line)
    assert status == 2
    assert told.startswith("error: negative_sampling_rate: 1,000,000 negatives")
    assert told.count("\n") == 1
