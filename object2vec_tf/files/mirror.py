"""A remote directory that follows a local one, which a program writes.

The program works in a directory below the staging directory, `Mirror.path`. `push`
uploads what changed, in a background thread, from hard links, so that the program may
replace and delete files meanwhile. Files that name others are uploaded after these.

Which of the two directories counts when a program starts: each staging directory has a
random name, its writer, which `claim` writes to a marker file in the remote directory.
As long as the marker names this staging directory, no other machine has written there,
and the local files are at least as new. Otherwise the remote files replace them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from object2vec_tf.errors import Interrupted, RunDirectoryError, UserError
from object2vec_tf.files.locks import locked
from object2vec_tf.files.mirror_download import Layout, synchronize
from object2vec_tf.files.mirror_state import (
    MARKER,
    MirrorState,
    parse_marker,
    remove_unused,
    size_and_time,
)
from object2vec_tf.files.remote import RemoteError, join_url, open_filesystem
from object2vec_tf.files.staging import (
    StagedPath,
    clean,
    digest,
    make_directory,
    register,
    touch,
)
from object2vec_tf.files.uploads import (
    check_remote_writable,
    delete_file,
    read_bytes,
    upload_bytes,
    upload_file,
)

_RUNS = "runs"
_WORKERS = "workers"
# The name of the local directory, whatever the URL: other files are next to it.
_FILES = "run"
# Seconds before the last upload is tried again, after errors that may pass.
FINAL_PAUSES = (5.0, 20.0)


class Mirror:
    """A local directory, and the remote one that follows it.

    Args:
        url: The remote directory.
        setting: The flag that gives it, for messages.
        layout: What the files mean.
        finishing: Returns the context of the last upload.

    Attributes:
        path: The local directory.
    """

    def __init__(
        self,
        url: str,
        setting: str,
        layout: Layout,
        finishing: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        self.url = url.rstrip("/")
        self._setting = setting
        self._layout = layout
        self._finishing = finishing
        self._home = Path()
        self.path = StagedPath()
        self._stack = contextlib.ExitStack()
        self._state = MirrorState()
        self._is_open = self._is_claimed = False
        self._lock = threading.Condition()
        self._queued: Path | None = None
        self._is_busy = False
        self._error: RemoteError | None = None
        self._new_owner = ""
        self._snapshots = 0

    @property
    def home(self) -> Path:
        """The directory in the staging directory that has all files of the mirror."""
        return self._home

    def open(self) -> None:
        """Makes the local directory current.

        Raises:
            RunDirectoryError: Another process of this machine uses the directory.
            UserError: The remote directory cannot be read or written.
        """
        if self._is_open:
            return
        open_filesystem(self.url)  # reports a scheme that cannot be used
        self._home = make_directory(_RUNS, digest(self.url))
        try:
            self._stack.enter_context(locked(self._home / "lock", timeout=0))
        except BlockingIOError as error:
            raise RunDirectoryError(
                f"{self.url}: another run is using this {self._setting}. Wait for it "
                f"to end, or choose another --{self._setting}."
            ) from error
        touch(self._home)
        self.path = register(self._home / _FILES, self.url)
        shutil.rmtree(self._snapshot_directory, ignore_errors=True)
        self._state = synchronize(self.url, self._home, self._layout, self.path)
        check_remote_writable(self.url, self._setting, deletes=True)
        self._is_open = True
        remove_unused(self._home.parent, self._home)

    def use_without_remote(self) -> None:
        """Makes a local directory that is not uploaded and does not remain."""
        parent = make_directory(_WORKERS)
        clean(parent)
        self._home = make_directory(_WORKERS, f"{digest(self.url)}-{os.getpid()}")
        self._stack.callback(shutil.rmtree, self._home, ignore_errors=True)
        self.path = register(self._home / _FILES, self.url)
        self.path.mkdir(exist_ok=True)

    @property
    def _snapshot_directory(self) -> Path:
        return self._home / "snapshots"

    def claim(self) -> None:
        """Makes the remote directory that of this one; call it after `open`.

        Files that are no longer in this directory are deleted first, so that an earlier
        run is not mixed with a new one. A run of another machine ends when it notices.

        Raises:
            RemoteError: The remote directory cannot be written.
        """
        self._write_marker()
        self._is_claimed = True
        names = {path.relative_to(self.path).as_posix() for path in self._files()}
        self._delete([name for name in self._state.uploaded if name not in names])
        self.push(wait=True)

    def _write_marker(self) -> None:
        self._state.clean = False
        self._save_state()
        content = {"writer": self._state.writer, "host": socket.gethostname()}
        upload_bytes(json.dumps(content).encode(), join_url(self.url, MARKER))
        self._state.claimed = True
        self._save_state()

    def _save_state(self) -> None:
        self._state.save(self._home)

    def push(self, *, wait: bool = False) -> None:
        """Uploads what changed, in the background.

        Only the newest state is uploaded if an earlier upload is still running.

        Args:
            wait: Whether to wait for the end of the upload.

        Warns:
            UserWarning: The last upload failed. The next one repeats it.

        Raises:
            RunDirectoryError: Another machine has taken over the remote directory.
            RemoteError: The upload failed, with ``wait``.
        """
        if not self._is_open:
            return
        with self._lock:
            self._raise_if_lost()
            if self._error and not wait:
                warnings.warn(
                    f"{self._error} Training continues; the files are in {self._home}.",
                    stacklevel=2,
                )
            self._error = None
            if self._queued:
                shutil.rmtree(self._queued, ignore_errors=True)
            self._queued = self._take_snapshot()
            if not self._is_busy:
                self._is_busy = True
                threading.Thread(target=self._upload_queued, daemon=True).start()
            if wait:
                self._lock.wait_for(lambda: not self._is_busy)
                self._raise_if_lost()
                if self._error:
                    raise self._error

    def _raise_if_lost(self) -> None:
        if self._new_owner:
            raise RunDirectoryError(
                f"{self.url}: another run, on {self._new_owner}, has taken over this "
                f"{self._setting}. This one ends, and its later files remain in "
                f"{self._home}."
            )

    def _take_snapshot(self) -> Path:
        """Returns a directory with hard links to the present files."""
        self._snapshots += 1
        snapshot = self._snapshot_directory / str(self._snapshots)
        snapshot.mkdir(parents=True)
        for path in self._files():
            target = snapshot / path.relative_to(self.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                try:
                    os.link(path, target)
                except OSError:  # the file system has no hard links
                    shutil.copy2(path, target)
        return snapshot

    def _files(self) -> list[Path]:
        return [
            path
            for path in self.path.rglob("*")
            if self._layout.order(path.relative_to(self.path).as_posix()) is not None
            and path.is_file()
        ]

    def _upload_queued(self) -> None:
        """Uploads snapshots until none is queued; the function of the thread."""
        while True:
            with self._lock:
                snapshot, self._queued = self._queued, None
                if snapshot is None:
                    self._is_busy = False
                    self._lock.notify_all()
                    return
            error: RemoteError | None = None
            try:
                self._upload(snapshot)
            except RemoteError as problem:
                error = problem
            except Exception as problem:
                error = RemoteError(f"{self.url}: cannot be written: {problem}.")
            shutil.rmtree(snapshot, ignore_errors=True)
            with self._lock:
                self._error = error

    def _upload(self, snapshot: Path) -> None:
        """Uploads the changed files of a snapshot, then deletes those that it lacks."""
        if not self._owns_remote():
            return
        files = {
            path.relative_to(snapshot).as_posix(): path
            for path in snapshot.rglob("*")
            if path.is_file()
        }
        uploaded = self._state.uploaded
        changed = [n for n in files if uploaded.get(n) != size_and_time(files[n])]
        for name in sorted(changed, key=self._position):
            signature = size_and_time(files[name])
            upload_file(files[name], join_url(self.url, name))
            uploaded[name] = signature
            self._save_state()
        self._delete([name for name in uploaded if name not in files])
        self._state.clean = True
        self._save_state()

    def _position(self, name: str) -> tuple[int, str]:
        return self._layout.order(name) or 0, name

    def _delete(self, names: list[str]) -> None:
        """Deletes remote files, first those that name others."""
        for name in sorted(names, key=self._position, reverse=True):
            delete_file(join_url(self.url, name))
            del self._state.uploaded[name]
        if names:
            self._save_state()

    def _owns_remote(self) -> bool:
        """Returns whether the marker is still that of this directory."""
        marker = parse_marker(read_bytes(join_url(self.url, MARKER)))
        if not marker:  # someone deleted the directory
            self._state.uploaded.clear()
            self._write_marker()
        elif marker.get("writer") != self._state.writer:
            self._new_owner = str(marker.get("host", "another machine"))
            return False
        self._state.clean = False
        return True

    def __enter__(self) -> Self:
        """Returns the mirror."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Uploads everything, after expected errors too, and unlocks the directory.

        Raises:
            UserError: Files cannot be uploaded, and no other error is on its way.
        """
        with self._stack:
            if self._is_open and self._must_upload(error):
                with self._finishing():
                    self._push_finally(error)
        self._is_open = self._is_claimed = False

    def _must_upload(self, error: BaseException | None) -> bool:
        """Returns whether an ending run has files to upload, after an error or none."""
        if not self._is_claimed:  # a run that was interrupted early has metrics.json
            return isinstance(error, Interrupted)
        return error is None or isinstance(error, Exception)

    def _push_finally(self, error: BaseException | None) -> None:
        for pause in (*FINAL_PAUSES, None):
            try:
                self.push(wait=True)
                return
            except RunDirectoryError:
                if error is None:
                    raise
                return
            except RemoteError as problem:
                if pause is not None and not problem.is_permanent:
                    time.sleep(pause)
                    continue
                message = (
                    f"{problem} No file is lost: they are in {self._home}, and the "
                    "same command on this machine uploads them."
                )
                if error is None or isinstance(error, Interrupted | RemoteError):
                    raise UserError(message) from problem
                warnings.warn(message, stacklevel=2)
                return
