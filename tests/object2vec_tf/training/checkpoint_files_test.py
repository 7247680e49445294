"""Tests of object2vec_tf/training/checkpoint_files.py."""

import json

import pytest

import object2vec_tf as o2v
from object2vec_tf.training.checkpoint_files import (
    check_complete,
    read_state,
    verify_content,
    write_state,
)

EPOCH = {"epoch": 0, "train": {"loss": 0.5}}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "epoch-0001"
    path.mkdir()
    (path / "variables.index").write_bytes(b"index")
    (path / "variables.data-00000-of-00001").write_bytes(b"data")
    write_state(path, {"history": [EPOCH]})
    return path


def test_a_file_that_ends_early_is_incomplete(checkpoint):
    check_complete(checkpoint)
    (checkpoint / "variables.index").write_bytes(b"ind")
    with pytest.raises(OSError, match=r"variables\.index has only 3 of 5 bytes"):
        check_complete(checkpoint)
    (checkpoint / "variables.index").unlink()
    with pytest.raises(OSError, match=r"variables\.index is missing"):
        check_complete(checkpoint)


def test_changed_content_is_damage(checkpoint):
    state = read_state(checkpoint)
    verify_content(checkpoint, state)
    (checkpoint / "variables.index").write_bytes(b"indey")
    check_complete(checkpoint)
    with pytest.raises(
        o2v.UserError, match=r"variables\.index: is damaged: its checks"
    ):
        verify_content(checkpoint, state)


@pytest.mark.parametrize(
    "change",
    [
        *({"history": 3}, {"history": [3]}, {"history": [EPOCH | {"epoch": 1}]}),
        *({"history": [EPOCH | {"train": {"loss": "0"}}]}, {"seconds": "1"}),
        *({"history": [EPOCH | {"train": {}}]}, {"elapsed": None}, {"elapsed": -1}),
        *({"history": [EPOCH | {"train": {"loss": float("nan")}}]},),
        *({"best_epoch": 1}, {"best_epoch": "0"}, {"batches": 1.5}, {"batches": 2}),
        *({"batches": 2, "metrics": ["x"]}, {"negatives": {"asked": 1}}),
    ],
)
def test_the_state_of_an_older_version_is_typed(tmp_path, change):
    state = {"history": [EPOCH], "seconds": 1.0, "elapsed": 2.0}
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert read_state(tmp_path, lambda record: record["train"]["loss"]) == state
    (tmp_path / "state.json").write_text(json.dumps(state | change))
    with pytest.raises(o2v.UserError, match=r"state\.json: is damaged: "):
        read_state(tmp_path, lambda record: record["train"]["loss"])
