"""Checksums of the ``.keras`` format, a zip archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

from object2vec_tf.errors import UserError

_BLOCK = 1 << 22


def verify_archive(path: Path, fix: str) -> None:
    """Reads all files in an archive once, and compares their checksums (CRC-32).

    Keras does not with Python 3.12 or later: where the weights do not match their
    checksum, it reads them again by seeking, and zipfile then ignores the checksum
    (keras/src/saving/saving_lib.py, `_load_model_from_fileobj`; CPython issue 88339).

    Args:
        path: The archive.
        fix: The sentence that says what to do if it is damaged.

    Raises:
        UserError: It is damaged, or not an archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    while file.read(_BLOCK):
                        pass
    except Exception as error:  # zipfile raises errors of many classes
        raise UserError(
            f"{path}: expected a Keras model, got a damaged or foreign file: {error}. "
            f"{fix}"
        ) from error


def archived_asset(path: Path, name: str) -> bytes | None:
    """Returns the content of a file that a model's ``save_assets`` wrote.

    Args:
        path: The archive, which is intact.
        name: The name of the file.

    Returns:
        None if there is no such file.
    """
    with zipfile.ZipFile(path) as archive:
        try:
            return archive.read(f"assets/{name}")
        except KeyError:
            return None
