"""Tests of object2vec_tf/files/mirror.py: remote directories that follow local ones."""

import contextlib
import itertools
import shutil
import threading
from typing import ClassVar

import pytest

from object2vec_tf.errors import Interrupted, RunDirectoryError, UserError
from object2vec_tf.files import mirror as module
from object2vec_tf.files.mirror import MARKER, Mirror
from object2vec_tf.files.staging import staging_directory
from object2vec_tf.runs.opened_run import RUN_LAYOUT

fsspec = pytest.importorskip("fsspec")
URL = "faulty://bucket/run"


class FaultyFileSystem(fsspec.filesystem("memory").__class__):
    """The memory file system, which fails from a chosen write or deletion on."""

    protocol = "faulty"
    cachable = False
    remaining = None  # writes until the failure; None never fails
    error = PermissionError("Access Denied")
    names: ClassVar = []  # what was written and deleted, in order

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("faulty://", "memory://"))

    def _count(self, path, sign):
        cls = type(self)
        if cls.remaining is not None:
            if not cls.remaining:
                raise cls.error
            cls.remaining -= 1
        cls.names.append(sign + path.removeprefix("/bucket/run/"))

    def put_file(self, local, path, **kwargs):
        self._count(path, "+")
        super().put_file(local, path, **kwargs)

    def pipe_file(self, path, value, **kwargs):
        self._count(path, "+")
        super().pipe_file(path, value, **kwargs)

    def rm_file(self, path):
        self._count(path, "-")
        super().rm_file(path)


@pytest.fixture(autouse=True)
def faulty(remote, monkeypatch):
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    monkeypatch.setattr("object2vec_tf.files.remote.PAUSES", ())
    monkeypatch.setattr(module, "FINAL_PAUSES", ())
    monkeypatch.setattr(FaultyFileSystem, "names", [])
    monkeypatch.setattr(FaultyFileSystem, "remaining", None)
    return FaultyFileSystem


def new_mirror():
    return Mirror(URL, "model_dir", RUN_LAYOUT)


def new_machine():
    shutil.rmtree(staging_directory())


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text)
    temporary.replace(path)


def write_checkpoint(root, epoch):
    """Writes what a run writes after an epoch, and deletes what it deletes."""
    write(root / "model.keras", f"model {epoch}")
    checkpoint = root / f"checkpoints/epoch-{epoch:04d}"
    for name in ("variables.data", "variables.index", "state.json"):
        write(checkpoint / name, f"{name} {epoch}")
    for old in sorted(root.glob("checkpoints/epoch-*"))[:-2]:
        shutil.rmtree(old)


def run(epochs=4):
    """Writes the files of a run as a trainer does; returns the first epoch."""
    with new_mirror() as mirror:
        mirror.open()
        root = mirror.path
        states = sorted(root.glob("checkpoints/epoch-*/state.json"))
        first = int(states[-1].read_text().split()[1]) if states else 0
        write(root / "checkpoints/run.json", "identity")
        mirror.claim()
        for epoch in range(first + 1, epochs + 1):
            write_checkpoint(root, epoch)
            mirror.push(wait=True)
        write(root / "export/1/saved_model.pb", "graph")
        write(root / "export/1/variables/variables.index", "weights")
        write(root / "metrics.json", "metrics")
    return first


def is_finished():
    """Returns whether a run ended without an error; others are those of the writes."""
    error = None
    try:
        run()
    except UserError as problem:
        error = problem
    assert error is None or "Access Denied" in str(error)
    return error is None


def remote_files(remote):
    prefix = "/bucket/run/"
    return {
        name.removeprefix(prefix): remote.cat(name).decode()
        for name in remote.find("/bucket/run")
        if not name.endswith(MARKER)
    }


FINISHED = {
    "checkpoints/run.json": "identity",
    "model.keras": "model 4",
    "checkpoints/epoch-0003/variables.data": "variables.data 3",
    "checkpoints/epoch-0003/variables.index": "variables.index 3",
    "checkpoints/epoch-0003/state.json": "state.json 3",
    "checkpoints/epoch-0004/variables.data": "variables.data 4",
    "checkpoints/epoch-0004/variables.index": "variables.index 4",
    "checkpoints/epoch-0004/state.json": "state.json 4",
    "export/1/saved_model.pb": "graph",
    "export/1/variables/variables.index": "weights",
    "metrics.json": "metrics",
}


def test_the_remote_directory_has_the_files_of_the_run(remote):
    assert run() == 0
    assert remote_files(remote) == FINISHED


def test_files_that_name_others_come_after_them(faulty):
    run(epochs=3)
    position = faulty.names.index
    assert faulty.names[-1] == "+metrics.json"
    assert position("+checkpoints/run.json") < position("+model.keras")
    assert faulty.names[-2:] == ["+export/1/saved_model.pb", "+metrics.json"]
    for epoch in (1, 2, 3):
        state = position(f"+checkpoints/epoch-000{epoch}/state.json")
        assert state > position(f"+checkpoints/epoch-000{epoch}/variables.data")
        assert state > position(f"+checkpoints/epoch-000{epoch}/variables.index")
    # The checkpoint of epoch 1 is deleted after that of epoch 3, its state first.
    deleted = [name for name in faulty.names if name.startswith("-checkpoints")]
    assert deleted[0] == "-checkpoints/epoch-0001/state.json"
    assert position(deleted[0]) > position("+checkpoints/epoch-0003/state.json")


@pytest.mark.parametrize(
    ("same_machine", "step"),
    [
        (True, 13),
        (False, 13),
        pytest.param(True, 1, marks=pytest.mark.long),
        pytest.param(False, 1, marks=pytest.mark.long),
    ],
)
def test_a_run_that_loses_its_connection_at_any_write_can_be_resumed(
    remote, faulty, same_machine, step
):
    for writes in itertools.count(step=step):
        remote.store.clear()
        if staging_directory().exists():
            new_machine()
        faulty.remaining = writes
        if is_finished():
            break
        faulty.remaining = None
        files = remote_files(remote)
        for name in files:  # a checkpoint with a state is complete
            if name.endswith("state.json"):
                directory, epoch = name.removesuffix("state.json"), files[name][-1]
                assert files[f"{directory}variables.data"] == f"variables.data {epoch}"
                assert files[f"{directory}variables.index"].endswith(epoch)
        if "metrics.json" in files:
            assert files == FINISHED
        if not same_machine:
            new_machine()
        run()
        files = remote_files(remote)
        # As locally, an older checkpoint remains if the run had nothing left to do.
        old = {name for name in files if name.startswith("checkpoints/epoch-0002/")}
        assert len(old) in (0, 3)
        assert {name: files[name] for name in files.keys() - old} == FINISHED
    assert writes > 20


def test_a_failed_last_upload_names_the_local_files_and_is_repeated(remote, faulty):
    faulty.remaining = 12
    with pytest.raises(UserError, match="No file is lost: they are in") as error:
        run()
    home = str(error.value).partition("they are in ")[2].partition(",")[0]
    assert (staging_directory() / home / "run/checkpoints").is_dir()
    faulty.remaining = None
    assert run() > 0
    assert remote_files(remote) == FINISHED


def test_an_upload_that_fails_in_between_only_warns(remote, faulty):
    with new_mirror() as mirror:
        mirror.open()
        mirror.claim()
        faulty.remaining = 0
        write(mirror.path / "model.keras", "model")
        mirror.push()
        with mirror._lock:
            mirror._lock.wait_for(lambda: not mirror._is_busy)
        with pytest.warns(UserWarning, match="Access Denied.*Training continues"):
            mirror.push()
        with mirror._lock:
            mirror._lock.wait_for(lambda: not mirror._is_busy)
        faulty.remaining = None
    assert remote_files(remote) == {"model.keras": "model"}


def test_files_may_change_while_they_are_uploaded(remote, monkeypatch):
    uploading, changed = threading.Event(), threading.Event()
    upload = module.upload_file

    def slow_upload(local, url):
        uploading.set()
        assert changed.wait(10)
        upload(local, url)

    monkeypatch.setattr(module, "upload_file", slow_upload)
    with new_mirror() as mirror:
        mirror.open()
        mirror.claim()
        write(mirror.path / "model.keras", "first")
        mirror.push()
        assert uploading.wait(10)
        write(mirror.path / "model.keras", "second")
        (mirror.path / "model.keras").unlink()
        changed.set()
        with mirror._lock:
            mirror._lock.wait_for(lambda: not mirror._is_busy)
        assert remote_files(remote) == {"model.keras": "first"}
    assert remote_files(remote) == {}


def test_an_interrupted_run_is_uploaded(remote):
    def interrupted():
        with new_mirror() as mirror:
            mirror.open()
            mirror.claim()
            write_checkpoint(mirror.path, 1)
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        interrupted()
    assert "checkpoints/epoch-0001/state.json" in remote_files(remote)


def test_two_runs_on_one_machine_are_an_error():
    with new_mirror() as mirror:
        mirror.open()
        with pytest.raises(RunDirectoryError, match="another run is using"):
            new_mirror().open()


def test_a_run_on_another_machine_takes_over(remote, monkeypatch, tmp_path):
    with new_mirror() as first:
        first.open()
        write(first.path / "checkpoints/run.json", "identity")
        first.claim()
        with monkeypatch.context() as other_machine:
            other_machine.setenv("OBJECT2VEC_TF_STAGING", str(tmp_path / "other"))
            assert run() == 0
        write_checkpoint(first.path, 1)
        with pytest.raises(RunDirectoryError, match="has taken over this model_dir"):
            first.push(wait=True)
        with pytest.raises(RunDirectoryError, match="has taken over"):
            first.push()
        first._is_claimed = False
    assert remote_files(remote) == FINISHED
    assert run() == 4  # the first machine continues with the files of the second


def test_a_run_with_other_settings_leaves_the_marker(remote, monkeypatch, tmp_path):
    with new_mirror() as first:
        first.open()
        first.claim()
        marker = remote.cat(f"/bucket/run/{MARKER}")
        with monkeypatch.context() as other_machine:
            other_machine.setenv("OBJECT2VEC_TF_STAGING", str(tmp_path / "other"))
            with contextlib.suppress(RunDirectoryError), new_mirror() as second:
                second.open()
                raise RunDirectoryError("contains another run")
        assert remote.cat(f"/bucket/run/{MARKER}") == marker


def test_a_deleted_remote_directory_starts_a_new_run(remote):
    run()
    remote.rm("/bucket/run", recursive=True)
    assert run(epochs=1) == 0


def test_a_remote_directory_deleted_during_a_run_is_uploaded_again(remote):
    with new_mirror() as mirror:
        mirror.open()
        mirror.claim()
        write_checkpoint(mirror.path, 1)
        mirror.push(wait=True)
        remote.rm("/bucket/run", recursive=True)
    assert "checkpoints/epoch-0001/variables.data" in remote_files(remote)


def test_an_unwritable_directory_is_found_when_it_is_opened(faulty):
    faulty.remaining = 0
    with pytest.raises(UserError, match=r"model_dir.*Or choose another --model_dir"):
        new_mirror().open()


@pytest.mark.parametrize(
    "name", ["lock", "snapshots", "state.json", "state.json.new", 300 * "n", "a//b"]
)
def test_any_name_of_a_remote_directory_can_be_used(remote, name):
    url = f"faulty://bucket/{name}"
    for number in range(2):
        with Mirror(url, "model_dir", RUN_LAYOUT) as mirror:
            mirror.open()
            assert f"{mirror.path / 'x'}" == f"{url}/x"
            assert (mirror.path / "model.keras").exists() == bool(number)
            write(mirror.path / "model.keras", f"model {number}")
            mirror.claim()
        assert remote.cat(f"/bucket/{name}/model.keras").decode() == f"model {number}"
        new_machine()


def test_a_file_is_no_directory(remote):
    remote.pipe("/bucket/run", b"a file")
    with pytest.raises(UserError, match=f"{URL}: expected a directory, got a file"):
        new_mirror().open()


def test_the_directory_of_a_worker_does_not_remain(remote):
    with new_mirror() as mirror:
        mirror.use_without_remote()
        write(mirror.path / "cache/columns.arrow", "data")
    assert not any(staging_directory().rglob("*.arrow"))
    assert remote.find("/bucket") == []
