"""Tests of object2vec_tf/tuning/optuna_study.py: the storage and its connections."""

import functools
import sqlite3

import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.tuning.optuna_study import create_storage, open_study


@pytest.fixture
def open_connections(monkeypatch):
    """The SQLite connections that are open."""
    connections = set()

    class Connection(sqlite3.Connection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            connections.add(self)

        def close(self):
            super().close()
            connections.discard(self)

    connect = functools.partial(sqlite3.connect, factory=Connection)
    monkeypatch.setattr(sqlite3, "connect", connect)
    return connections


def test_a_storage_keeps_the_first_trial_and_is_closed(tmp_path, open_connections):
    path = tmp_path / "study.db"
    create_storage(path, "maximize", {"dropout": 0.25})
    assert not open_connections
    with open_study(path, "median") as study:
        assert open_connections
        assert study.direction.name == "MAXIMIZE"
        trial = study.ask()
        assert trial.suggest_float("dropout", 0, 1) == 0.25
    assert not open_connections


@pytest.mark.parametrize("damage", [b"", b"SQLite format 3\0", b"no database"])
def test_a_damaged_storage_is_rejected_and_closed(tmp_path, damage, open_connections):
    path = tmp_path / "study.db"
    create_storage(path, "minimize", {})
    path.write_bytes(damage + path.read_bytes()[len(damage) : 3000] * bool(damage))
    with (
        pytest.raises(UserError, match=r"study.db: the study's storage cannot be"),
        open_study(path, "none"),
    ):
        pass
    assert not open_connections


def test_a_full_disk_is_a_user_error(tmp_path, open_connections):
    path = tmp_path / "study.db"
    create_storage(path, "minimize", {})

    def fill():
        with open_study(path, "none") as study:
            for connection in open_connections:
                pages = connection.execute("PRAGMA page_count").fetchone()[0]
                connection.execute(f"PRAGMA max_page_count={pages}")
            trial = study.ask()
            for number in range(1000):
                trial.set_user_attr(f"a{number}", "x" * 1000)

    message = r"study\.db: cannot be written: .*disk is full.* Free disk space"
    with pytest.raises(UserError, match=message):
        fill()
    assert not open_connections


def test_damage_within_the_pages_is_found(tmp_path, open_connections):
    path = tmp_path / "study.db"
    create_storage(path, "minimize", {})
    data = bytearray(path.read_bytes())
    data[4096 : 2 * 4096] = bytes(4096)
    path.write_bytes(data)
    with (
        pytest.raises(UserError, match=r"study\.db: the study's storage cannot be"),
        open_study(path, "none"),
    ):
        pass
    path.unlink()
    with (
        pytest.raises(UserError, match=r"study\.db: .* unable to open database"),
        open_study(path, "none"),
    ):
        pass
    assert not path.exists()
