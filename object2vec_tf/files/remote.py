"""Remote paths: URLs of fsspec's file systems, and their errors as user errors."""

from __future__ import annotations

import errno
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from object2vec_tf.errors import UserError
from object2vec_tf.extras import import_extra
from object2vec_tf.files.path_lists import exists, hint

PathLike = str | os.PathLike[str]
_T = TypeVar("_T")

_LOCAL_SCHEMES = ("file", "local")
# A scheme has at least two characters, unlike the drive of a Windows path.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):/")
# Seconds between the attempts of a request that fails for a reason that may pass.
PAUSES: Final = (0.5, 2.0, 8.0)
# No attempt starts later than this. Some file systems repeat requests themselves.
_MAX_SECONDS = 20.0
# Errors that another attempt does not resolve; and parts of the names of others.
_PERMANENT = (
    FileNotFoundError,
    PermissionError,
    NotImplementedError,
    IsADirectoryError,
    NotADirectoryError,
    ImportError,
    TypeError,
    ValueError,
)
_PERMANENT_NAMES = ("Credential", "Forbidden", "Unauthorized", "ParamValidation")
# Statuses of HTTP: there is no such file; a client's error that another attempt may
# resolve.
_MISSING_STATUSES = (404, 410)
_TRANSIENT_STATUSES = (408, 425, 429)
_MAX_REASON = 300
# Names that are parts of no local path: they mean other directories.
RELATIVE_NAMES: Final = frozenset((".", ".."))
# Schemes of stores of objects in buckets. Directories exist there as parts of names.
_BUCKETS = {"s3", "s3a", "gs", "gcs", "abfs", "az", "oss", "oci"}
_LOGGERS = ("fsspec", "gcsfs", "s3fs")


class RemoteError(UserError):
    """A remote file cannot be read or written.

    Attributes:
        is_missing: Whether there is no such file or bucket.
        is_permanent: Whether another attempt would fail too.
    """

    is_missing = False
    is_permanent = False


def is_remote(path: PathLike) -> bool:
    """Returns whether a path is a URL of a file system other than the local one.

    Raises:
        UserError: It looks like a URL, but is none, or it is no path.

    Example:
        >>> is_remote("s3://bucket/train.jsonl"), is_remote("data/train.jsonl")
        (True, False)
        >>> is_remote("file:///data/train.jsonl")
        False
    """
    _check_kind(path)
    text = os.fspath(path)
    match = _SCHEME.match(text)
    if match is None:
        if "://" in text and not exists(text):
            raise UserError(
                f"{text}: expected a path or a URL such as s3://bucket/name, got "
                "neither. Check the path."
            )
        return False
    if match[1].lower() in _LOCAL_SCHEMES:
        return False
    if text.startswith("/", match.end()):
        _check_names(text, text[match.end() :].split("/"))
        return True
    if exists(text) or exists(match[0]):  # a directory named "s3:"
        return False
    raise UserError(
        f"{text}: expected {match[1]}://..., got a single slash. Give the URL as a "
        "string: pathlib.Path drops a slash."
    )


def _check_names(url: str, names: Sequence[str]) -> None:
    """Checks that the local copy of a URL can have its name."""
    if not any(names):
        raise UserError(
            f"{url}: expected a URL such as s3://bucket/name, got one without a name. "
            "Give the bucket or the host."
        )
    if RELATIVE_NAMES & set(names):
        raise UserError(
            f"{url}: expected a URL without the names . and .., which object stores do "
            "not resolve. Write the path in full."
        )


def _check_kind(path: object, setting: str = "") -> None:
    """Rejects what is no path, such as numbers, None and bytes."""
    if not isinstance(path, str | os.PathLike):
        place = f"{setting}: " if setting else ""
        raise UserError(
            f"{place}expected a path, got {path!r:.60}. Give a string or a Path."
        )


def local_path(path: PathLike, setting: str = "") -> Path:
    """Returns a local path, without the scheme ``file://``.

    Args:
        path: The path.
        setting: The flag that gives it, for messages.

    Raises:
        UserError: The path is remote, starts with ~ or a variable, or is no path.

    Example:
        >>> local_path("file:///data/train.jsonl")
        PosixPath('/data/train.jsonl')
    """
    if isinstance(path, Path) and not _SCHEME.match(str(path)):
        return path  # also one of a subclass
    _check_kind(path, setting)
    if is_remote(path):
        place = f"{setting}: " if setting else ""
        raise UserError(
            f"{place}expected a local path, got the URL {path}. Give a local directory."
        )
    text = os.fspath(path)
    match = _SCHEME.match(text)
    if match is None or match[1].lower() not in _LOCAL_SCHEMES:
        _check_expanded(text, setting)
        return Path(text)
    rest = text[match.end() :]
    if not rest.startswith("/"):
        return Path(f"/{rest}")
    host = "/localhost" if rest.startswith("/localhost/") else "/"
    return Path(rest.removeprefix(host))


def _check_expanded(path: str, setting: str) -> None:
    """Checks that a path does not start with what a shell should have replaced."""
    name = path.partition("/")[0]
    if name.startswith(("~", "$")) and not exists(name) and (reason := hint(path)):
        place = f"{setting}: " if setting else ""
        raise UserError(f"{place}{path}:{reason} Or write ./{path}.")


def has_buckets(filesystem: Any) -> bool:
    """Returns whether a file system stores objects in buckets."""
    protocols = filesystem.protocol
    names = {protocols} if isinstance(protocols, str) else set(protocols)
    return bool(names & _BUCKETS)


def absolute(path: PathLike) -> str:
    """Returns a URL as it is, and a local path as an absolute path."""
    return os.fspath(path) if is_remote(path) else str(local_path(path).resolve())


def join_url(url: str, *names: str) -> str:
    """Returns the URL of a file below a URL.

    Example:
        >>> join_url("s3://bucket/run/", "export", "1")
        's3://bucket/run/export/1'
    """
    return "/".join([url.rstrip("/"), *names])


def open_filesystem(url: str) -> tuple[Any, str]:
    """Returns fsspec's file system of a URL, and the path of the URL in it.

    Raises:
        UserError: The scheme is unknown, or a package that it needs is missing. The
            message has the pip command.
    """
    fsspec: Any = import_extra("fsspec", "remote", url)
    for name in _LOGGERS:  # they log tracebacks of errors that they raise too
        logging.getLogger(name).setLevel(logging.CRITICAL)
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else ""
    registry: Any = import_extra("fsspec.registry", "remote", url)
    known = registry.known_implementations.get(scheme)
    if known is None and scheme not in registry.registry:
        raise UserError(
            f"{url}: unknown scheme {scheme}. Expected one of fsspec's, such as s3, "
            "gs, hf or abfs, or a local path."
        )
    try:
        filesystem, path = fsspec.core.url_to_fs(scheme + url[len(scheme) :])
    except ImportError as error:
        package = _package(known)
        raise UserError(
            f"{url}: needs the package {package}: {_one_line(error)}. Run: pip install "
            f"{package}"
        ) from error
    except Exception as error:
        raise remote_error(url, "opened", error) from error
    return filesystem, path


def _package(known: dict[str, str] | None) -> str:
    """Returns the package that implements a scheme, for pip."""
    name = (known or {}).get("class", "").partition(".")[0]
    # fsspec's own class needs a package that only its message names.
    text = (known or {}).get("err", "")
    quoted = re.search(r'"([^"]+)"', text)
    return quoted[1] if name == "fsspec" and quoted else name


def attempt(action: Callable[[], _T], url: str, verb: str) -> _T:
    """Returns the result of a remote operation, repeated after errors that may pass.

    Args:
        action: The operation.
        url: The file or directory, for messages.
        verb: A participle, for messages: read, written, listed.

    Raises:
        RemoteError: It fails.
    """
    deadline = time.monotonic() + _MAX_SECONDS
    for pause in (*PAUSES, None):
        try:
            return action()
        except UserError:
            raise
        except Exception as raised:
            error = _actual_error(raised)
            is_late = time.monotonic() > deadline
            if pause is None or is_late or _is_permanent(error):
                raise remote_error(url, verb, error) from error
        time.sleep(pause)
    raise AssertionError("unreachable")


def _actual_error(error: Exception) -> Exception:
    """Returns the error of a connection or of a server that an error was made of.

    fsspec's file system of HTTP reports each of them as a missing file.
    """
    cause = error.__cause__
    is_http = type(cause).__module__.startswith("aiohttp")
    is_network = is_http or isinstance(cause, ConnectionError | TimeoutError)
    if not isinstance(error, FileNotFoundError) or not is_network:
        return error
    assert isinstance(cause, Exception)
    return error if getattr(cause, "status", None) in _MISSING_STATUSES else cause


def _is_permanent(error: Exception) -> bool:
    name = type(error).__name__
    status = getattr(error, "status", None)
    if isinstance(status, int) and 400 <= status < 500:
        return status not in _TRANSIENT_STATUSES
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return True
    return isinstance(error, _PERMANENT) or any(x in name for x in _PERMANENT_NAMES)


def remote_error(url: str, verb: str, error: Exception) -> RemoteError:
    """Returns the user error of a remote operation that failed."""
    error = _actual_error(error)
    result = RemoteError(
        f"{url}: cannot be {verb}: {_one_line(error)}. {_advice(error)}"
    )
    result.is_permanent = _is_permanent(error)
    result.is_missing = isinstance(error, FileNotFoundError)
    return result


def _one_line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, FileNotFoundError) and text == "No such file or directory":
        return "no such file or directory"
    return " ".join(str(text).split())[:_MAX_REASON].rstrip(" .")


def _advice(error: Exception) -> str:
    name, text = type(error).__name__, str(error).lower()
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return (
            "Free disk space, or set OBJECT2VEC_TF_STAGING to a directory of another "
            "disk."
        )
    if isinstance(error, FileNotFoundError):
        return "Check the bucket and the path."
    if isinstance(error, NotImplementedError):
        return "This scheme does not support it: choose another place."
    if "credential" in name.lower() or "credential" in text or "token" in text:
        return "Set the credentials of the service; see docs/remote.md."
    is_denied = any(word in text for word in ("denied", "forbidden", "unauthorized"))
    if isinstance(error, PermissionError) or is_denied:
        return "Check the credentials and their permissions."
    return "Check the network, the endpoint and the path."
