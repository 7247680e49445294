"""The directory of an index: its files, and their atomic replacement.

The index directory contains:

manifest.json       metric, kind of search, number of items, model and checksums
index.faiss         the embeddings, as faiss writes them
items.jsonl         the lines of the items, as they are in their file
labels.txt          the labels of the items, if given
*.starts.npy        the starts of the lines, so that lines are read only when needed
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import tensorflow as tf
import xxhash

from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import exchange, sync
from object2vec_tf.files.digests import digest_of_file
from object2vec_tf.files.downloads import list_files, stage_directory
from object2vec_tf.files.leftovers import temporary_directory
from object2vec_tf.files.locks import is_locked, locked
from object2vec_tf.files.remote import (
    PathLike,
    RemoteError,
    is_remote,
    join_url,
    local_path,
)
from object2vec_tf.files.special_files import target_of
from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.files.uploads import (
    check_remote_writable,
    delete_file,
    output_directory,
    upload_bytes,
    upload_directory,
)
from object2vec_tf.inference.exported_files import verify_saved_model, weight_files
from object2vec_tf.inference.model_store import find_exported
from object2vec_tf.inference.predictor import DAMAGE_ERRORS
from object2vec_tf.search.faiss_index import read_vectors
from object2vec_tf.search.index_manifest import (
    FIX,
    MANIFEST,
    read_manifest,
    verify_index,
)
from object2vec_tf.search.stored_lines import StoredLines, starts_path
from object2vec_tf.tables.outside_tables import TABLES

VECTORS: Final = "index.faiss"
ITEMS, LABELS = "items.jsonl", "labels.txt"
# A file of a remote index that is being replaced, or whose writer was killed.
_INCOMPLETE: Final = ".incomplete"
# The start of the names of the weights in an export, see `export.signatures`.
_WEIGHTS: Final = "_model_variables"
_MAX_ATTEMPTS: Final = 10
_PAUSE_SECONDS: Final = 0.05
# The start of the name of the directory of an index that is being replaced where the
# file system cannot exchange two directories.
_OLD: Final = ".{}.old-"
_OLD_INDEX: Final = "index"
_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, RuntimeError)
# A writer locks its temporary directory right after it creates it.
_MIN_LEFTOVER_SECONDS: Final = 60

_Content = TypeVar("_Content")


@dataclasses.dataclass(frozen=True)
class IndexFiles:
    """The files of an index, opened.

    Attributes:
        manifest: The manifest.
        vectors: The faiss index.
        items: The lines of the items.
        labels: The labels; None without labels.
        inode: The inode of the file of the items. While they are memory-mapped, no
            other file has it.
    """

    manifest: dict[str, Any]
    vectors: Any
    items: StoredLines
    labels: StoredLines | None
    inode: int

    @staticmethod
    def read(directory: Path) -> IndexFiles:
        """Opens the files of an index.

        Raises:
            UserError: The directory does not contain an index, or it is damaged.
        """
        return read_consistently(directory, IndexFiles._read)

    @staticmethod
    def _read(directory: Path) -> IndexFiles:
        manifest = read_manifest(directory)
        verify_index(directory, manifest)
        count = manifest["items"]
        return IndexFiles(
            manifest,
            read_vectors(directory / VECTORS, manifest),
            StoredLines(directory / ITEMS, count),
            StoredLines(directory / LABELS, count) if manifest["labels"] else None,
            (directory / ITEMS).stat().st_ino,
        )


def read_consistently(directory: Path, read: Callable[[Path], _Content]) -> _Content:
    """Returns the content of an index, none of which is of its replacement.

    Args:
        directory: The index directory.
        read: Reads the files, and keeps those open that it needs later.

    Raises:
        UserError: The directory does not contain an index, or the index is damaged.
    """
    for _ in range(_MAX_ATTEMPTS):
        try:
            with _opened(directory) as descriptor:
                failure: Exception | None = None
                try:
                    content = read(directory)
                except _UNREADABLE as error:
                    failure = error
                is_replaced = not _is_directory(directory, descriptor)
        except OSError as error:
            is_missing = isinstance(error, FileNotFoundError)
            if is_missing and (directory.exists() or _moved_index(directory)):
                time.sleep(_PAUSE_SECONDS)
                continue
            raise _unreadable(directory, error) from error
        if is_replaced:
            continue
        if failure is None:
            return content
        if isinstance(failure, UserError):
            raise failure
        raise _unreadable(directory, failure) from failure
    if not directory.exists() and (old := _moved_index(directory)):
        raise UserError(
            f"{directory}: is missing, since its writer was killed while it replaced "
            f"it. Move {old} to {directory}, or build the index again."
        )
    raise UserError(f"{directory}: was replaced while it was read. Start again.")


def _moved_index(directory: Path) -> Path | None:
    """Returns where a writer has put an index that it is about to replace."""
    pattern = _OLD.format(glob.escape(directory.name))
    return next(directory.parent.glob(f"{pattern}*/{_OLD_INDEX}"), None)


def _unreadable(directory: Path, reason: Exception) -> UserError:
    return UserError(
        f"{directory}: contains no index that can be read: {reason}. {FIX}"
    )


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """Yields a file descriptor; while it is open, no other file gets the inode."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_directory(directory: Path, descriptor: int) -> bool:
    """Returns whether a path is still that of an open directory."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), directory.stat())
    return False


@contextlib.contextmanager
def locked_index(directory: Path) -> Iterator[None]:
    """Locks an index against other writers, which replace its directory.

    Raises:
        OSError: The directory does not exist.
    """
    while True:
        with locked(directory) as descriptor:
            if os.fstat(descriptor).st_ino == directory.stat().st_ino:
                yield
                return


def staged_index(directory: PathLike) -> Path:
    """Returns a local directory as it is, and the local copy of a remote index.

    Raises:
        UserError: The remote directory has no index, or cannot be read.
    """
    if not is_remote(directory):
        return local_path(directory)
    url = os.fspath(directory)
    files = [file for file in list_files(url) if not file.name.startswith(".")]
    if not any(file.name == MANIFEST for file in files):
        raise UserError(
            f"{url}: contains no index that can be read: no {MANIFEST}. Build it with "
            "python -m object2vec_tf.neighbors build."
        )
    return stage_directory(url, files)


@contextlib.contextmanager
def replace_index(directory: PathLike, *, is_locked: bool = False) -> Iterator[Path]:
    """Yields a temporary directory, which replaces the index at the end.

    While a remote index is replaced, it has no manifest, so that no reader mixes the
    files of two indexes. If the process is killed then, the index has to be built
    again.

    Args:
        directory: The index directory or its URL.
        is_locked: Whether the caller has locked it, or its local copy.

    Raises:
        UserError: The directory contains files that are not of an index, or a remote
            one cannot be written.
    """
    if not is_remote(directory):
        path = local_path(directory)
        with replace_directory(path, is_locked=is_locked) as temporary:
            yield temporary
        return
    url = os.fspath(directory)
    names = {file.name for file in list_files(url)}
    old = {name for name in names if not name.startswith(".")}
    if name := _foreign_name(old, _INCOMPLETE in names):
        raise _not_an_index(url, name)
    check_remote_writable(url, "index")
    with output_directory(url) as local:
        yield local
        new = {path.name for path in local.iterdir()}
        upload_bytes(b"", join_url(url, _INCOMPLETE))
        for name in sorted(old, key=lambda name: name != MANIFEST):
            if name == MANIFEST or name not in new:
                delete_file(join_url(url, name))
        upload_directory(local, url, (MANIFEST,))
        with contextlib.suppress(RemoteError):  # it does no harm next to a manifest
            delete_file(join_url(url, _INCOMPLETE))


@contextlib.contextmanager
def replace_directory(directory: Path, *, is_locked: bool = False) -> Iterator[Path]:
    """Yields a temporary directory, which replaces the index directory at the end.

    Args:
        directory: The index directory.
        is_locked: Whether the caller has locked it.

    Raises:
        UserError: The directory contains files that are not of an index.
    """
    if directory.exists() and (name := _foreign_file(directory)):
        raise _not_an_index(f"{directory}", name)
    directory = target_of(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with temporary_directory(directory) as temporary:
        _remove_leftovers(directory)
        yield temporary
        if directory.exists():
            temporary.chmod(stat.S_IMODE(directory.stat().st_mode))
        for entry in [*temporary.iterdir(), temporary]:
            sync(entry)
        if _is_new(temporary, directory):
            pass
        elif is_locked:
            _swap(temporary, directory)
        else:
            with locked_index(directory):
                _swap(temporary, directory)
        sync(directory.parent)


def _is_new(temporary: Path, directory: Path) -> bool:
    """Renames a temporary directory if there is no index; returns whether it did."""
    if directory.exists():
        return False
    try:
        temporary.rename(directory)
    except OSError:
        if directory.exists():  # another process was faster
            return False
        raise
    return True


def _remove_leftovers(directory: Path) -> None:
    """Removes the temporary directories of writers that were killed."""
    for path in directory.parent.glob(f".{glob.escape(directory.name)}.new-*"):
        with contextlib.suppress(OSError):
            age = time.time() - path.stat().st_mtime
            if age > _MIN_LEFTOVER_SECONDS and not is_locked(path):
                shutil.rmtree(path, ignore_errors=True)


def _swap(temporary: Path, directory: Path) -> None:
    """Puts a temporary directory in the place of an index directory.

    File systems that cannot exchange two directories have no index for a moment.
    """
    if exchange(temporary, directory):
        return
    old = Path(tempfile.mkdtemp("", _OLD.format(directory.name), directory.parent))
    directory.rename(old / _OLD_INDEX)
    temporary.rename(directory)
    shutil.rmtree(old)


def _foreign_file(directory: Path) -> str | None:
    """Returns the name of a file that no index has; None if there is none."""
    if not directory.is_dir():
        return directory.name
    return _foreign_name({entry.name for entry in directory.iterdir()})


def _not_an_index(directory: str, name: str) -> UserError:
    return UserError(
        f"{directory}: expected an index or a new directory, got one with {name}. Give "
        "another --index."
    )


def _foreign_name(names: set[str], is_incomplete: bool = False) -> str | None:
    """Returns one of the names of files that no index has; None if there is none.

    Args:
        names: The names of the files in a directory.
        is_incomplete: Whether they may be a part of the files of an index.
    """
    lines = [Path(name) for name in (ITEMS, LABELS)]
    own = {MANIFEST, VECTORS}
    own |= {path.name for file in lines for path in (file, starts_path(file))}
    is_complete = names >= {MANIFEST, VECTORS}
    if names and not (is_complete or is_incomplete):  # a manifest of something else
        return min(names)
    return min(names - own, default=None)


def model_digest(model: str | os.PathLike[str]) -> str:
    """Returns a digest of the weights of an exported model.

    The items that a model was exported with are not part of it: two exports of a run,
    with items and without, have the same digest.

    Args:
        model: A run, an exported model or a directory of versions.

    Raises:
        UserError: There is no such model, or it cannot be read.
    """
    exported = find_exported(model)
    verify_saved_model(exported, weight_files(exported))
    digest = xxhash.xxh3_128()
    try:
        with tensorflow_path(exported / "variables" / "variables") as prefix:
            checkpoint = tf.train.load_checkpoint(prefix)
            for name in sorted(checkpoint.get_variable_to_shape_map()):
                if name.startswith(_WEIGHTS):
                    values = np.ascontiguousarray(checkpoint.get_tensor(name))
                    buffer: Any = values.reshape(-1).view(np.uint8)
                    digest.update(name.encode())
                    digest.update(buffer)
        for path in sorted((exported / TABLES).glob("*/*.parquet")):
            digest.update(digest_of_file(path)["xxh3_128"].encode())
    except DAMAGE_ERRORS as error:
        raise UserError(
            f"{exported}: cannot be loaded: {error}. Export the model again."
        ) from error
    return digest.hexdigest()
