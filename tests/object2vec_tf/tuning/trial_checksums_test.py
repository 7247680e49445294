"""Tests of object2vec_tf/tuning/trial_checksums.py: damage that SQLite cannot see."""

import collections
import json
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from optuna.trial import TrialState

from object2vec_tf.errors import UserError
from object2vec_tf.tuning.optuna_study import create_storage, open_study, seed_sampler
from object2vec_tf.tuning.summary import importances
from object2vec_tf.tuning.trial_checksums import (
    add_checksum,
    verify_running,
    verify_summary,
    verify_trials,
)
from object2vec_tf.tuning.trials import find_best, trial_records
from tests.bit_flips import flipped, outcome

SEED = 23
FIRST = {"dropout": 0.5, "layers": 2, "network": "hcnn"}


def draw(trial):
    return {
        "dropout": trial.suggest_float("dropout", 0, 1),
        "layers": trial.suggest_int("layers", 1, 3),
        "network": trial.suggest_categorical("network", ["hcnn", "bilstm"]),
    }


def write_study(directory, count=10):
    """Writes the storage and the summary of a study; every fourth trial is pruned."""
    directory.mkdir()
    create_storage(directory / "study.db", "minimize", FIRST)
    with open_study(directory / "study.db", "median") as study:
        for number in range(count):
            seed_sampler(study, SEED, number)
            trial = study.ask()
            params = draw(trial)
            trial.set_user_attr("params", params)
            value = (params["dropout"] - 0.3) ** 2 + params["layers"]
            trial.report(value + 1, 0)
            trial.report(value, 1)
            is_pruned = number % 4 == 3
            state = TrialState.PRUNED if is_pruned else TrialState.COMPLETE
            trial.set_user_attr("why", "pruned" if is_pruned else "all epochs done")
            add_checksum(study, trial, state, None if is_pruned else value)
            study.tell(trial, None if is_pruned else value, state)
        records = trial_records(study)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (directory / "trials.jsonl").write_text(lines)
    return directory


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("studies") / "intact")


def read_study(directory):
    """Verifies a study; returns what resuming it uses: results, and the next draw."""
    path = directory / "study.db"
    with open_study(path, "median") as study:
        assert study.direction.name == "MINIMIZE"
        verify_trials(study, path, FIRST)
        records = trial_records(study)
        verify_summary(records, directory / "trials.jsonl", path)
        best, shares = find_best(study), importances(study)
        number = len(study.trials)
        seed_sampler(study, SEED, number)
        return records, best and best.number, shares, draw(study.ask())


def change(path, statement):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(statement).rowcount == 1
        connection.commit()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE trial_values SET value = 0.5 WHERE trial_id = 3", "trial 2 differs"),
        (
            "UPDATE trial_params SET param_value = 0.25 WHERE trial_id = 2 "
            "AND param_name = 'dropout'",
            "trial 1 differs",
        ),
        (
            "UPDATE trial_intermediate_values SET intermediate_value = 9 "
            "WHERE trial_id = 4 AND step = 1",
            "trial 3 differs",
        ),
        ("UPDATE trials SET state = 'FAIL' WHERE trial_id = 5", "trial 4 differs"),
        (
            "UPDATE trial_user_attributes SET value_json = '\"x\"' "
            "WHERE trial_id = 1 AND key = 'why'",
            "trial 0 differs",
        ),
        ("DELETE FROM trials WHERE trial_id = 3", "trial 2 is missing"),
        ("DELETE FROM trials WHERE trial_id = 10", r"trials\.jsonl: trial 9 differs"),
        ("UPDATE trials SET state = 'x' WHERE trial_id = 5", "cannot be read"),
        (
            "UPDATE trial_user_attributes SET value_json = '{' WHERE trial_id = 1 "
            "AND key = 'why'",
            "cannot be read",
        ),
        ("UPDATE studies SET study_name = 'x'", "cannot be read"),
    ],
)
def test_a_changed_trial_is_a_user_error(intact, tmp_path, statement, message):
    directory = shutil.copytree(intact, tmp_path / "study")
    change(directory / "study.db", statement)
    with pytest.raises(UserError, match=message):
        read_study(directory)


def test_trials_of_an_earlier_version_have_no_checksums(intact, tmp_path):
    directory = shutil.copytree(intact, tmp_path / "study")
    with closing(sqlite3.connect(directory / "study.db")) as connection:
        connection.execute("DELETE FROM trial_user_attributes WHERE key = 'xxh3_128'")
        connection.commit()
    assert [record["number"] for record in read_study(directory)[0]] == [*range(10)]


def test_the_values_of_the_first_trial_are_those_given(tmp_path):
    path = tmp_path / "study.db"
    create_storage(path, "minimize", FIRST)
    with open_study(path, "none") as study:
        verify_trials(study, path, FIRST)
        with pytest.raises(UserError, match="trial 0 differs"):
            verify_trials(study, path, {**FIRST, "dropout": 0.25})


def test_a_stopped_trial_fits_its_run(tmp_path):
    path = tmp_path / "study.db"
    create_storage(path, "minimize", FIRST)
    with open_study(path, "none") as study:
        trial = study.ask()
        trial.set_user_attr("params", draw(trial))
        trial.report(0.75, 0)
        (stopped,) = study.get_trials()
    # The run may lack the last epoch, or have one that was not reported.
    verify_running(stopped, path, FIRST, {})
    verify_running(stopped, path, FIRST, {0: 0.75, 1: 0.5})
    for values, epochs in (({**FIRST, "layers": 3}, {}), (FIRST, {0: 0.5})):
        with pytest.raises(UserError, match=r"study\.db: is damaged: trial 0 differs"):
            verify_running(stopped, path, values, epochs)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[1]\n", b'{"number": 0}\n'])
def test_a_damaged_summary_is_a_user_error(tmp_path, content):
    path = tmp_path / "trials.jsonl"
    verify_summary([], path, tmp_path / "study.db")  # there is none
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"trials\.jsonl: is damaged: .* remove it"):
        verify_summary([], path, tmp_path / "study.db")


# Optuna corrects a damaged range with a warning; its checksum differs then.
@pytest.mark.filterwarnings("ignore:The distribution is specified by")
@pytest.mark.parametrize("flips", [6, pytest.param(1000, marks=pytest.mark.long)])
def test_flipped_bits_change_no_result(intact, tmp_path, flips):
    directory = tmp_path / "study"
    shutil.copytree(intact, directory)
    expected = read_study(directory)
    generator = np.random.default_rng(SEED)
    counts = collections.Counter()
    for number in range(flips):
        name = "trials.jsonl" if number % 10 == 9 else "study.db"
        shutil.rmtree(directory)
        shutil.copytree(intact, directory)
        data = (intact / name).read_bytes()
        bit = int(generator.integers(8 * len(data)))
        (directory / name).write_bytes(flipped(data, bit))
        result = outcome(
            directory, (name, bit), lambda: read_study(directory), expected
        )
        counts[result] += 1
    assert counts["user error"] >= flips // 10
    print(f"seed {SEED}: {flips} flips, {counts}")
