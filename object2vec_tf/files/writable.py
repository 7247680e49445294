"""Error messages for directories that cannot be written."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from object2vec_tf.errors import UserError

# What helps besides another directory, by the number of the error.
_FIXES = {
    errno.EACCES: "Make it writable",
    errno.EPERM: "Make it writable",
    errno.EROFS: "Make it writable",
    errno.ENOSPC: "Free disk space",
    errno.EDQUOT: "Free disk space",
    errno.EFBIG: "Raise the limit of the size of files (ulimit -f)",
    errno.EEXIST: "Remove the file",
    errno.ENOTDIR: "Remove the file",
}


@contextmanager
def report_unwritable(
    directory: Path, setting: str, error_type: type[UserError] = UserError
) -> Iterator[None]:
    """Turns an OSError in the context into an error that names directory and setting.

    Args:
        directory: The directory that the context writes to.
        setting: The flag that gives the directory, such as ``model_dir``.
        error_type: The type of error to raise.

    Raises:
        UserError: The context raised an OSError; of type ``error_type``.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.filename is not None and str(error.filename) != str(directory):
            reason = f"{error.filename}: {reason}"
        fix = _FIXES.get(error.errno or 0)
        advice = f"{fix}, or choose another" if fix else "Choose another"
        raise error_type(
            f"{directory}: {setting} cannot be written: {reason}. {advice} --{setting}."
        ) from error


def check_writable(directory: Path, setting: str) -> None:
    """Creates a directory where it is missing, and a temporary file in it.

    Args:
        directory: The directory.
        setting: The flag that gives the directory, such as ``export_dir``.

    Raises:
        UserError: The directory cannot be created or written.
    """
    with report_unwritable(directory, setting):
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
