"""Loads a new version of an exported model when its directory appears."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from pathlib import Path

from export.serving.active_backend import ActiveBackend
from export.serving.backends import Backend
from object2vec_tf.inference.model_store import (
    SAVED_MODEL,
    exported_models,
    find_exported,
)

_LOGGER = logging.getLogger(__name__)

# The files of a version: paths, sizes and times of their last changes.
_Files = tuple[tuple[str, int, int], ...]


class Reloader:
    """Looks for new versions, and loads the highest one that can be loaded.

    A version is loaded when its files have not changed since the last look, so that
    one that is being copied is left alone. A version that cannot be loaded is reported
    once, and tried again only if its files change.

    Args:
        path: A version, a directory of versions, or a run directory.
        load: Returns a backend for the model in a directory, warmed up.
        model_file: The file that an exported model contains.
        seconds: The time between two looks.
    """

    def __init__(
        self,
        path: Path,
        load: Callable[[Path], Backend],
        *,
        model_file: str = SAVED_MODEL,
        seconds: float = 1.0,
    ) -> None:
        self._path = path
        self._load = load
        self._model_file = model_file
        self._seconds = seconds
        self._seen: dict[Path, _Files] = {}
        self._failed: dict[Path, _Files] = {}
        self._loaded: tuple[Path, _Files] | None = None

    def first(self) -> Backend:
        """Returns a backend for the model to start with.

        Raises:
            UserError: There is no model, or it cannot be loaded.
        """
        path = find_exported(self._path, self._model_file)
        files = _files(path)
        backend = self._load(path)
        self._loaded = path, files
        return backend

    async def run(self, active: ActiveBackend) -> None:
        """Replaces the backend whenever there is a new version, until canceled.

        Args:
            active: Holds the backend.
        """
        while True:
            await asyncio.sleep(self._seconds)
            backend = await asyncio.to_thread(self.look)
            if backend is None:
                continue
            await active.replace(backend)
            print(f"serving {self._loaded_path}", flush=True)
            del backend
            await asyncio.to_thread(_release_memory)

    def look(self) -> Backend | None:
        """Returns a backend for a new version; None if there is none to load."""
        for path in self._candidates():
            files = _files(path)
            if self._loaded == (path, files):
                return None
            if not files or self._failed.get(path) == files:
                continue
            if self._seen.get(path) != files:
                self._seen[path] = files
                continue
            try:
                backend = self._load(path)
            except Exception as error:
                self._failed[path] = files
                _LOGGER.warning(
                    "%s: this version cannot be served, and is ignored: %s",
                    path,
                    " ".join(str(error).removeprefix(f"{path}: ").split()),
                )
                continue
            self._loaded = path, files
            return backend
        return None

    def _candidates(self) -> list[Path]:
        try:
            return exported_models(self._path, self._model_file)
        except OSError:  # for example, the directory is being replaced
            return []

    @property
    def _loaded_path(self) -> Path | None:
        return self._loaded[0] if self._loaded else None


def _files(directory: Path) -> _Files:
    """Returns the state of all files; empty if they are being moved or deleted."""
    try:
        paths = sorted(path for path in directory.rglob("*") if path.is_file())
        states = [(str(path), path.stat()) for path in paths]
    except OSError:
        return ()
    return tuple((path, s.st_size, s.st_mtime_ns) for path, s in states)


def _release_memory() -> None:
    """Frees the replaced model, whose objects refer to each other.

    Objects that `gc.freeze` excluded from garbage collection are included again. The
    collection stops requests for about 0.2 s.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
