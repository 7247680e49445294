"""Tests of object2vec_tf/tuning/study_directory.py: which files stay and which go."""

import errno
import json
import os
import shutil

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


def saved_identity(directory):
    content = json.loads((directory.path / "study.json").read_text())
    assert len(content.pop("xxh3_128")) == 32
    return content


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
    assert saved_identity(directory) == {"seed": 1, "range of dropout": "0..1"}


def test_overwrite_removes_only_the_files_of_a_study(directory):
    with directory.claimed():
        directory.prepare({"seed": 1}, overwrite=False)
        write_trial(directory, 0)
        directory.link_best(0)
        directory.write_summary([{"number": 0}])
        (directory.path / "notes.txt").write_text("mine")
        directory.prepare({"seed": 2}, overwrite=True)
    assert files_below(directory.path) - {".lock"} == {"notes.txt", "study.json"}
    assert saved_identity(directory) == {"seed": 2}


def test_a_damaged_identity_is_rejected(directory):
    with directory.claimed():
        (directory.path / "study.json").write_text("{")
        with pytest.raises(RunDirectoryError, match=r"study\.json: is damaged"):
            directory.prepare({"seed": 1}, overwrite=False)


def test_a_half_copied_trial_does_not_replace_the_best_run(directory):
    write_trial(directory, 0, '{"loss": 2}')
    directory.link_best(0)
    (write_trial(directory, 1) / "metrics.json").unlink()
    with pytest.raises(RunDirectoryError, match=r"0001: .* half copied\. Restore it"):
        directory.link_best(1)
    assert (directory.best / "metrics.json").read_text() == '{"loss": 2}'
    (directory.best / "metrics.json").unlink()
    with pytest.raises(RunDirectoryError, match=r"best: .* half copied\. Remove it"):
        directory.best_results()


def test_a_full_disk_is_reported_once(directory, monkeypatch):
    write_trial(directory, 0)

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copy2", fail)
    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(OSError, match="No space left on device") as error:
        directory.link_best(0)
    assert error.value.errno == errno.ENOSPC
    assert str(directory.path) in error.value.filename
