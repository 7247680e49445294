"""Names under which TensorFlow's own file code finds files in any directory.

TensorFlow reads the name of a checkpoint, and of the variables of a SavedModel, as a
pattern: ``run[1]/variables`` is not found, and ``run*/variables`` finds those of
``run1`` too. It also expects names in UTF-8, which Linux does not.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

# Characters of TensorFlow's patterns and of those of other libraries, and of URLs.
_MAGIC = frozenset("*?[]{}\\:")
# The descriptors of this process as links to their files, on Linux.
_DESCRIPTORS = Path("/proc/self/fd")
_TEMPORARY = "/tmp"


@contextmanager
def tensorflow_path(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yields a name of a path that native libraries take literally, and in UTF-8.

    The name is that of the path itself where it has only ordinary characters. In other
    cases it starts with an open descriptor of the directory, ``/proc/self/fd/7``, or,
    on systems without these, with a symbolic link. It is valid in this process only,
    and until the context ends: code that reads or writes later, such as the writer of
    a log, has to keep the context open.

    Exceptions in the context show the path itself.

    Args:
        path: A file or directory, or the prefix of files. Its directory exists. If the
            last part of its name has other than ordinary characters, it exists too.

    Raises:
        FileNotFoundError: One of them is missing.

    Example:
        >>> import pathlib
        >>> import tensorflow as tf
        >>> from object2vec_tf.files.tensorflow_paths import tensorflow_path
        >>> run = pathlib.Path("run[1]")
        >>> run.mkdir()
        >>> checkpoint = tf.train.Checkpoint(step=tf.Variable(3))
        >>> with tensorflow_path(run / "variables") as prefix:
        ...     _ = checkpoint.write(prefix)
        ...     _ = checkpoint.read(prefix)
        >>> sorted(path.name for path in run.iterdir())
        ['variables.data-00000-of-00001', 'variables.index']
    """
    given = Path(path)
    text = str(given)
    if is_ordinary(text):
        yield text
        return
    if is_ordinary(given.name) and given.name not in ("", ".."):
        anchor, rest = given.parent, given.name
    else:
        anchor, rest = given, ""
    with _alias(anchor) as alias:
        try:
            yield f"{alias}/{rest}" if rest else alias
        except Exception as error:
            _show(error, alias, str(anchor))
            raise


def is_ordinary(text: str) -> bool:
    """Returns whether native libraries take a name as it is.

    Example:
        >>> [is_ordinary(name) for name in ("run 1/a", "été", "run[1]", "a?")]
        [True, True, False, False]
    """
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8, as surrogates
        return False
    return not _MAGIC.intersection(text) and (not text or text.isprintable())


def use_encodable_temporary_directory() -> None:
    """Uses /tmp in place of a TMPDIR that is not UTF-8, in this process and its own.

    TensorFlow writes the code of graphs to temporary files, and reads their names.
    """
    try:
        tempfile.gettempdir().encode()
    except UnicodeEncodeError:
        warnings.warn(
            "TMPDIR: expected a name in UTF-8, which TensorFlow needs. Temporary files "
            f"are in {_TEMPORARY}.",
            stacklevel=2,
        )
        os.environ["TMPDIR"] = tempfile.tempdir = _TEMPORARY


@contextmanager
def _alias(path: Path) -> Iterator[str]:
    """Yields another name of a file or directory, which exists."""
    with ExitStack() as stack:
        if _DESCRIPTORS.is_dir():
            descriptor = os.open(path, getattr(os, "O_PATH", os.O_RDONLY))
            stack.callback(os.close, descriptor)
            yield f"{_DESCRIPTORS}/{descriptor}"
            return
        link = Path(stack.enter_context(_ordinary_directory())) / "path"
        link.symlink_to(path.absolute())
        yield str(link)


def _ordinary_directory() -> tempfile.TemporaryDirectory[str]:
    """Returns a temporary directory whose name has only ordinary characters."""
    is_usable = is_ordinary(tempfile.gettempdir())
    return tempfile.TemporaryDirectory(dir=None if is_usable else _TEMPORARY)


def _show(error: BaseException, alias: str, path: str) -> None:
    """Replaces an alias in the messages of an exception and of its causes."""
    shown: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in shown:
        shown.add(id(current))
        current.args = tuple(
            argument.replace(alias, path) if isinstance(argument, str) else argument
            for argument in current.args
        )
        # The message of tf.errors.OpError, the name of the file in an OSError.
        for name in ("_message", "filename"):
            text = getattr(current, name, None)
            if isinstance(text, str):
                setattr(current, name, text.replace(alias, path))
        current = current.__cause__ or current.__context__
