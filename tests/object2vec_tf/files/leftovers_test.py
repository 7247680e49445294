import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from object2vec_tf.files import leftovers
from object2vec_tf.files.atomic import atomic_directory, atomic_file

FOREIGN = {
    ".model.abcdefgh.keras",
    "model.o2v-abcdefgh.keras",
    ".o2v-abcdefghi",
    ".model.o2v-ABCDEFGH.keras",
    "notes.txt",
}


@pytest.fixture(autouse=True)
def _new_process(monkeypatch):
    monkeypatch.setattr(leftovers, "_cleaned", set())


def _names(directory):
    return {path.name for path in directory.iterdir()}


def test_the_next_process_removes_what_a_killed_one_left(tmp_path):
    program = (
        "import os, pathlib, signal, sys, types\n"
        "errors = types.SimpleNamespace(UserError=ValueError)\n"
        "sys.modules.update({'object2vec_tf': None, 'object2vec_tf.errors': errors})\n"
        "import locks\n"
        "sys.modules['object2vec_tf.files.locks'] = locks\n"
        "import leftovers\n"
        "with leftovers.temporary_file(pathlib.Path('model.keras')) as file:\n"
        "    with leftovers.temporary_directory(pathlib.Path('1')) as directory:\n"
        "        (directory / 'variables').mkdir()\n"
        "        (directory / 'variables/data').write_text('1')\n"
        "        print(file.name, directory.name, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # The module without its package, which imports TensorFlow.
    environment = {**os.environ, "PYTHONPATH": str(Path(leftovers.__file__).parent)}
    killed = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    left = killed.stdout.split()
    assert len(left) == 2
    assert _names(tmp_path) == set(left)
    for name in FOREIGN:
        (tmp_path / name).touch()
    with atomic_file(tmp_path / "other.json") as file:
        file.write_text("{}")
    assert _names(tmp_path) == {*FOREIGN, "other.json"}


def test_files_of_living_writers_stay(tmp_path):
    with (
        atomic_file(tmp_path / "model.keras") as file,
        atomic_directory(tmp_path / "1") as directory,
    ):
        file.write_text("model")
        (directory / "saved_model.pb").write_text("graph")
        leftovers.remove_leftovers(tmp_path)
    assert _names(tmp_path) == {"model.keras", "1"}
    assert (tmp_path / "model.keras").read_text() == "model"
    assert _names(tmp_path / "1") == {"saved_model.pb"}


def test_links_and_files_of_others_stay(tmp_path, monkeypatch):
    (tmp_path / "target").mkdir()
    (tmp_path / ".link.o2v-abcdefgh").symlink_to(tmp_path / "target")
    (tmp_path / ".file.o2v-abcdefgh").touch()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    leftovers.remove_leftovers(tmp_path)
    assert (tmp_path / ".file.o2v-abcdefgh").exists()
    monkeypatch.undo()
    leftovers.remove_leftovers(tmp_path)
    assert _names(tmp_path) == {"target", ".link.o2v-abcdefgh"}


def test_nothing_is_removed_where_files_cannot_be_locked(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", fail)
    (tmp_path / ".file.o2v-abcdefgh").touch()
    with atomic_file(tmp_path / "file") as file:
        file.write_text("content")
    assert _names(tmp_path) == {".file.o2v-abcdefgh", "file"}


@pytest.mark.parametrize("name", ["run[1].jsonl", "n" * 250, "a." + "s" * 200, "\\.x"])
def test_temporary_names_are_short_and_no_patterns(tmp_path, name):
    with atomic_file(tmp_path / name) as file:
        assert not set("[]\\*?") & set(file.name)
        file.write_text("content")
    assert (tmp_path / name).read_text() == "content"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("is_library", [False, True])
def test_errors_of_full_disks_name_the_path(tmp_path, number, is_library):
    reason = os.strerror(number)
    error = RuntimeError(f"faiss: {reason}") if is_library else OSError(number, reason)
    for write in (atomic_file, atomic_directory):
        with pytest.raises(OSError, match=reason) as caught, write(tmp_path / "out"):
            raise error
        assert caught.value.filename == f"{tmp_path / 'out'}"
        assert caught.value.errno == number
        assert list(tmp_path.iterdir()) == []


def test_the_innermost_path_that_the_user_knows_is_named(tmp_path):
    scratch, output = tmp_path / "scratch", tmp_path / "out.jsonl"
    for inner, named in ((None, output), ("report.json", scratch)):
        with (
            pytest.raises(OSError, match="No space") as caught,
            atomic_directory(scratch) as directory,
            atomic_file(directory / inner if inner else output),
        ):
            raise OSError(errno.ENOSPC, "No space left on device")
        assert caught.value.filename == f"{named}"
