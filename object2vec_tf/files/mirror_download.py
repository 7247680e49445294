"""Makes the local directory of a mirror current when the mirror is opened."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from object2vec_tf.errors import UserError
from object2vec_tf.files.downloads import RemoteFile, download, list_files
from object2vec_tf.files.mirror_state import (
    MARKER,
    MirrorState,
    parse_marker,
    size_and_time,
)
from object2vec_tf.files.remote import join_url
from object2vec_tf.files.uploads import read_bytes

_PARALLEL = 8


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the files of a mirrored directory mean.

    Attributes:
        order: Returns the position of a file among those that are uploaded, by its
            name relative to the directory; None for files that are neither uploaded nor
            downloaded.
        incomplete: Returns those of the names of remote files that belong to something
            that was not uploaded to its end. They are not downloaded, but deleted.
        is_shared: Returns whether other programs add a file of this name to the remote
            directory. It is downloaded if it is missing.
    """

    order: Callable[[str], int | None]
    incomplete: Callable[[Collection[str]], Collection[str]] = lambda names: ()
    is_shared: Callable[[str], bool] = lambda name: False


def synchronize(url: str, home: Path, layout: Layout, directory: Path) -> MirrorState:
    """Makes a local directory current, and returns its state.

    Args:
        url: The remote directory.
        home: The directory of the state.
        layout: What the files mean.
        directory: The local directory.

    Raises:
        UserError: The remote directory cannot be read, or is a file.
    """
    state = MirrorState.read(home)
    marker = parse_marker(read_bytes(join_url(url, MARKER)))
    files = list_files(url)
    if [file.name for file in files] == [""]:
        raise UserError(f"{url}: expected a directory, got a file. Give another URL.")
    remote = {
        file.name: file
        for file in files
        if file.name != MARKER and layout.order(file.name) is not None
    }
    if state is not None and directory.is_dir():
        is_ours = marker.get("writer") == state.writer
        # Nothing is there although all was uploaded: someone deleted it.
        is_deleted = state.claimed and state.clean
        if is_ours or not (marker or remote or is_deleted):
            _forget_missing(state, remote)
            _adopt(state, remote, layout, directory)
            return state
    # Without a state, a download that is killed starts again.
    MirrorState.remove(home)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    ignored = layout.incomplete(remote)
    state = MirrorState(uploaded=dict.fromkeys(ignored, (-1, -1)))
    _download(state, [remote[n] for n in remote if n not in ignored], directory)
    state.save(home)
    return state


def _forget_missing(state: MirrorState, remote: Mapping[str, RemoteFile]) -> None:
    """Forgets copies that are no longer there."""
    state.uploaded = {
        name: signature
        for name, signature in state.uploaded.items()
        if name in remote and remote[name].size in (None, signature[0])
    }


def _adopt(
    state: MirrorState,
    remote: Mapping[str, RemoteFile],
    layout: Layout,
    directory: Path,
) -> None:
    """Downloads what other programs have added."""
    names = {
        name
        for name in remote
        if layout.is_shared(name)
        and name not in state.uploaded
        and not (directory / name).exists()
    }
    names -= set(layout.incomplete(remote))
    _download(state, [remote[name] for name in sorted(names)], directory)


def _download(
    state: MirrorState, files: Collection[RemoteFile], directory: Path
) -> None:
    targets = [directory / file.name for file in files]
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        for _ in pool.map(download, files, targets):
            pass
    for file, target in zip(files, targets, strict=True):
        state.uploaded[file.name] = size_and_time(target)
