"""Checksums of files, which are written with them and verified before they are used.

A directory has one file, ``digests.json``, with the size and the XXH3 (128 bits) of the
files in it. Directories that older versions wrote have none. A single JSON file has its
checksum in itself: see `object2vec_tf.files.sealed_json`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

import xxhash

from object2vec_tf.errors import UserError
from object2vec_tf.files.sealed_json import read_sealed, sealed_text

DIGESTS = "digests.json"
# The key of the files in digests.json, and in JSON files that describe other files.
FILES = "files"
COPY_AGAIN = "Copy the directory again from where it is intact, or write it again."
_BLOCK = 1 << 22
_HEX = re.compile("[0-9a-f]{32}")


class FileDigest(TypedDict):
    """The size of a file in bytes, and its checksum in 32 hexadecimal digits."""

    size: int
    xxh3_128: str


def digest_of_bytes(data: bytes) -> FileDigest:
    """Returns the digest of the content of a file."""
    return {"size": len(data), "xxh3_128": xxhash.xxh3_128_hexdigest(data)}


def digest_of_file(path: Path) -> FileDigest:
    """Returns the digest of a file of any size, which is read in blocks.

    Raises:
        OSError: It cannot be read.

    Example:
        >>> import pathlib
        >>> from object2vec_tf.files.digests import digest_of_file
        >>> _ = pathlib.Path("empty").write_bytes(b"")
        >>> digest_of_file(pathlib.Path("empty"))
        {'size': 0, 'xxh3_128': '99aa06d3014798d86001c324468d497f'}
    """
    digest, size = xxhash.xxh3_128(), 0
    block = memoryview(bytearray(_BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(block[:count])
            size += count
    return {"size": size, "xxh3_128": digest.hexdigest()}


def digests_of_files(directory: Path, names: Iterable[str]) -> dict[str, FileDigest]:
    """Returns the digests of files by name.

    Args:
        directory: The directory.
        names: The names of the files, relative to the directory, with slashes.
    """
    return {name: digest_of_file(directory / name) for name in sorted(names)}


def write_digests(
    directory: Path, names: Iterable[str] | None = None, file: str = DIGESTS
) -> None:
    """Writes the digests of the files in a directory, as the last of its files.

    The directory becomes visible later, by an atomic rename: see
    `object2vec_tf.files.atomic.atomic_directory`.

    Args:
        directory: The directory.
        names: The files that are described; None for all, those in subdirectories too.
        file: The name of the file of the digests.

    Example:
        >>> import pathlib
        >>> from object2vec_tf.files.digests import verify_digests, write_digests
        >>> directory = pathlib.Path("index")
        >>> directory.mkdir()
        >>> _ = (directory / "vectors").write_bytes(b"1234")
        >>> write_digests(directory)
        >>> verify_digests(directory)
        True
        >>> _ = (directory / "vectors").write_bytes(b"12")
        >>> verify_digests(directory)
        Traceback (most recent call last):
            ...
        object2vec_tf.errors.UserError: index/vectors: is damaged: half copied, 2 of 4 \
bytes. Copy the directory again from where it is intact, or write it again.
    """
    if names is None:
        found = (path for path in directory.rglob("*") if path.is_file())
        names = {path.relative_to(directory).as_posix() for path in found} - {file}
    files = digests_of_files(directory, names)
    (directory / file).write_text(sealed_text({FILES: files}), encoding="utf-8")


def verify_digests(
    directory: Path,
    fix: str = COPY_AGAIN,
    *,
    names: Collection[str] | None = None,
    file: str = DIGESTS,
) -> bool:
    """Checks the files of a directory that its ``digests.json`` describes.

    Files that it does not describe are ignored.

    Args:
        directory: The directory.
        fix: The sentence that says what to do if a file is damaged.
        names: The files to check; None for all that are described.
        file: The name of the file of the digests.

    Returns:
        Whether there are digests. Older versions wrote none.

    Raises:
        UserError: A file, or the file of the digests, is missing or damaged.
    """
    path = directory / file
    if not path.exists():
        return False
    files = typed_digests(read_sealed(path, fix, is_sealed=True), path, fix)
    if names is not None:
        files = {name: files[name] for name in names if name in files}
    verify_files(directory, files, fix)
    return True


def typed_digests(
    record: Mapping[str, Any],
    path: Path,
    fix: str,
    *,
    error_class: type[UserError] = UserError,
) -> dict[str, FileDigest]:
    """Returns the digests of files that a JSON object contains.

    Args:
        record: The object; its entry `FILES` describes the files.
        path: The object's file, for messages.
        fix: The sentence that says what to do if the object is invalid.
        error_class: The class of the errors.

    Raises:
        UserError: There are no digests, or they have another form.
    """
    files = record.get(FILES)
    if not isinstance(files, dict) or not all(map(_is_entry, files.items())):
        raise error_class(
            f"{path}: is damaged: expected {FILES} with sizes and checksums, got "
            f"{files!r:.80}. {fix}"
        )
    return files


def _is_entry(item: tuple[str, Any]) -> bool:
    name, digest = item
    parts = PurePosixPath(name).parts
    return (
        bool(parts)
        and parts[0] != "/"
        and ".." not in parts
        and isinstance(digest, dict)
        and type(digest.get("size")) is int
        and isinstance(digest.get("xxh3_128"), str)
        and _HEX.fullmatch(digest["xxh3_128"]) is not None
    )


def verify_files(directory: Path, files: Mapping[str, FileDigest], fix: str) -> None:
    """Checks files against their digests: first the sizes of all, then the content.

    Args:
        directory: The directory of the files.
        files: The digests by name.
        fix: The sentence that says what to do if a file is damaged.

    Raises:
        UserError: A file is missing, unreadable or damaged.
    """
    path = directory
    try:
        for name, expected in files.items():
            path = directory / name
            if problem := _problem_of_size(path.stat().st_size, expected):
                raise UserError(f"{path}: is damaged: {problem}. {fix}")
        for name, expected in files.items():
            path = directory / name
            if problem := _problem(digest_of_file(path), expected):
                raise UserError(f"{path}: is damaged: {problem}. {fix}")
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: is missing: the directory is half copied. {fix}"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}. {fix}") from error


def verify_bytes(
    path: Path,
    data: bytes,
    expected: FileDigest,
    fix: str,
    *,
    error_class: type[UserError] = UserError,
) -> None:
    """Checks the content of a file that is already read.

    Args:
        path: The file, for messages.
        data: Its content.
        expected: Its digest.
        fix: The sentence that says what to do if it is damaged.
        error_class: The class of the errors.

    Raises:
        UserError: It is damaged.
    """
    if problem := _problem(digest_of_bytes(data), expected):
        raise error_class(f"{path}: is damaged: {problem}. {fix}")


def _problem(digest: FileDigest, expected: FileDigest) -> str:
    """Returns what is wrong with the content of a file; nothing if it is intact."""
    if problem := _problem_of_size(digest["size"], expected):
        return problem
    if digest["xxh3_128"] != expected["xxh3_128"]:
        return "its checksum differs from the one that was written with it"
    return ""


def _problem_of_size(size: int, expected: FileDigest) -> str:
    """Returns what is wrong with the size of a file; nothing if it is right."""
    if size < expected["size"]:
        return f"half copied, {size:,} of {expected['size']:,} bytes"
    if size > expected["size"]:
        return f"expected {expected['size']:,} bytes, got {size:,}"
    return ""
