"""Tests of object2vec_tf/files/mirror_state.py: the state of a staging directory."""

import os
import time

from object2vec_tf.files.locks import locked
from object2vec_tf.files.mirror_state import (
    MirrorState,
    parse_marker,
    remove_unused,
)
from tests.bit_flips import flipped


def test_a_state_is_read_as_it_was_written(tmp_path):
    state = MirrorState(claimed=True, uploaded={"a/b": (3, 17)})
    state.save(tmp_path)
    assert MirrorState.read(tmp_path) == state
    assert MirrorState().writer != state.writer


def test_a_damaged_state_is_none(tmp_path):
    assert MirrorState.read(tmp_path) is None
    for text in ("", "[]", "{}", '{"uploaded": {"a": 1}}', '{"uploaded": {}, "x": 1}'):
        (tmp_path / "state.json").write_text(text)
        assert MirrorState.read(tmp_path) is None
    MirrorState(claimed=True, uploaded={"a/b": (3, 17)}).save(tmp_path)
    data = (tmp_path / "state.json").read_bytes()
    for bit in range(data.index(b"17") * 8, data.index(b"17") * 8 + 16):
        (tmp_path / "state.json").write_bytes(flipped(data, bit))
        assert MirrorState.read(tmp_path) is None


def test_a_marker_that_is_nested_too_deeply_is_of_another_writer():
    assert parse_marker(b"[" * 9_999) == {"writer": ""}


def test_only_old_directories_that_are_uploaded_are_removed(tmp_path):
    week_ago = time.time() - 8 * 24 * 3600
    for name, clean in {"used": True, "old": True, "dirty": False, "own": True}.items():
        (tmp_path / name).mkdir()
        MirrorState(clean=clean).save(tmp_path / name)
        if name != "used":
            os.utime(tmp_path / name / "state.json", (week_ago, week_ago))
    (tmp_path / "locked").mkdir()
    MirrorState(clean=True).save(tmp_path / "locked")
    os.utime(tmp_path / "locked/state.json", (week_ago, week_ago))
    with locked(tmp_path / "locked/lock"):
        remove_unused(tmp_path, tmp_path / "own")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"used", "dirty", "own", "locked"}


def test_directories_above_the_limit_are_removed_after_a_day(tmp_path, monkeypatch):
    monkeypatch.setenv("OBJECT2VEC_TF_STAGING_GB", "2.5e-6")  # 2,500 bytes
    hours = {"own": 0, "recent": 2, "day": 30, "days": 50}
    for name, age in hours.items():
        (tmp_path / name).mkdir()
        MirrorState(clean=True).save(tmp_path / name)
        (tmp_path / name / "columns.arrow").write_bytes(bytes(600))
        state = tmp_path / name / "state.json"
        os.utime(state, (time.time() - 3600 * age,) * 2)
    remove_unused(tmp_path, tmp_path / "own")
    assert {path.name for path in tmp_path.iterdir()} == {"own", "recent", "day"}
