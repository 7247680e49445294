"""Tests of object2vec_tf/tuning/study_directory.py: which files stay and which go."""

import json

import pytest

from object2vec_tf.errors import RunDirectoryError
from object2vec_tf.tuning.study_directory import StudyDirectory

KEPT = (
    "metrics.json",
    "history.jsonl",
    "hyperparameters.json",
    "tensorboard/train/events.out.tfevents.1",
)
MODEL = (
    "model.keras",
    "export/1/saved_model.pb",
    "checkpoints/epoch-0001/weights",
    "checkpoints/best-epoch-0000.keras",
)


def write_trial(directory, number, metrics="{}"):
    path = directory.trial(number).path
    for name in (*KEPT, *MODEL):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(f"{number} {name}")
    (path / "metrics.json").write_text(metrics)
    return path


def files_below(path):
    return {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}


@pytest.fixture
def directory(tmp_path):
    return StudyDirectory(tmp_path / "study")


def test_a_trial_without_its_model_keeps_its_results(directory):
    trial, other = write_trial(directory, 3), write_trial(directory, 4)
    directory.drop_model(3)
    assert files_below(trial) == {*KEPT}
    assert files_below(other) == {*KEPT, *MODEL}


def test_best_is_a_complete_copy_and_is_replaced(directory):
    write_trial(directory, 0, '{"value": 1}')
    directory.link_best(0)
    assert files_below(directory.best) == {*KEPT, *MODEL}
    trial = write_trial(directory, 12, '{"value": 0.5}')
    directory.link_best(12)
    assert trial.name == "0012"
    for name in (*KEPT, *MODEL):
        assert (directory.best / name).read_bytes() == (trial / name).read_bytes()
    # A dropped trial does not take the best run's files with it.
    directory.drop_model(12)
    assert files_below(directory.best) == {*KEPT, *MODEL}
    assert {path.name for path in directory.path.iterdir()} == {"best", "trials"}


def test_a_study_with_other_settings_is_rejected(directory):
    with directory.claimed():
        directory.prepare({"seed": 1, "range of dropout": "0..1"}, overwrite=False)
        directory.prepare({"seed": 1, "range of dropout": "0..1"}, overwrite=False)
        with pytest.raises(RunDirectoryError) as error:
            directory.prepare({"seed": 2, "range of dropout": "0..1"}, overwrite=False)
    assert "seed: 1" in str(error.value)
    assert "dropout" not in str(error.value)
    saved = json.loads((directory.path / "study.json").read_text())
    assert saved == {"seed": 1, "range of dropout": "0..1"}


def test_overwrite_removes_only_the_files_of_a_study(directory):
    with directory.claimed():
        directory.prepare({"seed": 1}, overwrite=False)
        write_trial(directory, 0)
        directory.link_best(0)
        directory.write_summary([{"number": 0}])
        (directory.path / "notes.txt").write_text("mine")
        directory.prepare({"seed": 2}, overwrite=True)
    assert files_below(directory.path) - {".lock"} == {"notes.txt", "study.json"}
    assert json.loads((directory.path / "study.json").read_text()) == {"seed": 2}


def test_a_damaged_identity_is_rejected(directory):
    with directory.claimed():
        (directory.path / "study.json").write_text("{")
        with pytest.raises(RunDirectoryError, match=r"study\.json: cannot be read"):
            directory.prepare({"seed": 1}, overwrite=False)
