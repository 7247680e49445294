"""Files and directories that are there whole, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from object2vec_tf.errors import UserError


def write_atomic(path: Path, text: str) -> None:
    """Writes a text file so that a reader, or a crash, sees the old one or the new."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def reject_input_paths(output: Path, inputs: Iterable[Path]) -> None:
    """Tells of an output that is one of the inputs.

    Raises:
        UserError: It is.
    """
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise UserError(f"{output}: is the input too; give another --output")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a name to write to; what is written there becomes ``path`` at the end.

    The temporary name has the same suffix and stands in the same directory.

    Raises:
        OSError: It cannot be written; tells of a file, ``path`` where nothing else.
    """
    handle, name = tempfile.mkstemp(path.suffix, f".{path.stem}.", path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yields a directory to fill; it becomes ``path``, mode 755, at the end.

    Raises:
        OSError: ``path`` is there already and not empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp("", f".{path.name}.", path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        for entry in [*temporary.rglob("*"), temporary]:
            sync(entry)
        temporary.rename(path)
        sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sync(path: Path) -> None:
    """Waits until a file's or directory's content is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
