"""Lists of paths that flags give, separated by commas, and patterns of paths."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

# Linux allows paths of this number of bytes.
_MAX_PATH = 4096
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def split_paths(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> list[str]:
    """Returns the paths of a list, whose items may be separated by commas.

    A name that exists is never split, nor are names that a comma is a part of, if they
    exist or match a pattern. White space around names is dropped, unless they exist
    with it.

    Args:
        source: Paths, globs or URLs. `pathlib.Path` is never split.

    Example:
        >>> split_paths("a.jsonl, b.jsonl")
        ['a.jsonl', 'b.jsonl']
        >>> _ = Path("a,b.jsonl").write_text("")
        >>> split_paths("a,b.jsonl,c.jsonl")
        ['a,b.jsonl', 'c.jsonl']
    """
    parts: list[str] = []
    for item in [source] if isinstance(source, str | os.PathLike) else source:
        text = os.fspath(item)
        if not isinstance(item, str) or exists(text):
            parts.append(text)
        else:
            parts += _split(text)
    return [part for part in parts if part]


def exists(path: str) -> bool:
    """Returns whether there is such a file, also if the name is too long for one."""
    return "\0" not in path and os.access(path, os.F_OK)


def is_visible(name: str) -> bool:
    """Returns whether a directory's file of a name is read.

    Spark, Finder and editors leave others next to data.
    """
    return not name.startswith((".", "_"))


def _split(text: str) -> Iterable[str]:
    pieces = text.split(",")
    start = 0
    while start < len(pieces):
        stop = start + 1
        if not _is_complete(pieces[start]):
            stop = _end_of_name(pieces, start)
        part = ",".join(pieces[start:stop])
        yield part if exists(part) else part.strip()
        start = stop


def _is_complete(piece: str) -> bool:
    return not piece.strip() or _means_files(piece)


def _means_files(name: str) -> bool:
    """Returns whether there is a file of a name, or one that a pattern matches."""
    names = {name, name.strip()}
    return any(exists(n) or (glob.has_magic(n) and match_paths(n)) for n in names)


def _end_of_name(pieces: Sequence[str], start: int) -> int:
    """Returns the end of the pieces from a start that are an existing name together."""
    length = 0
    for stop in range(start + 1, len(pieces) + 1):
        length += len(pieces[stop - 1]) + 1
        if length > _MAX_PATH:
            break
        name = ",".join(pieces[start:stop])
        if _means_files(name):
            return stop
    return start + 1


def match_paths(pattern: str) -> list[Path]:
    """Returns the files and directories that a pattern matches, sorted.

    The directories at its start that exist are taken as they are: ``run[1]/*.jsonl``
    finds the files of ``run[1]``, if there is one.

    Args:
        pattern: As for `glob.glob`; ``**`` matches any number of directories.
    """
    literal, rest = literal_start(pattern)
    found = glob.glob(
        str(Path(glob.escape(str(literal)), rest)) if rest else glob.escape(pattern),
        recursive=True,
    )
    return [Path(path) for path in sorted(found)]


def literal_start(pattern: str) -> tuple[Path, str]:
    """Returns the directories at the start of a pattern that exist, and the rest.

    Example:
        >>> literal_start("/tmp/*/a.jsonl")
        (PosixPath('/tmp'), '*/a.jsonl')
    """
    names = Path(pattern).parts
    literal = Path()
    for number, name in enumerate(names):
        if not exists(str(literal / name)):
            return literal, str(Path(*names[number:]))
        literal /= name
    return literal, ""


def hint(path: str) -> str:
    """Returns why a path may be missing, as a sentence; empty if nothing is known.

    Example:
        >>> hint("~root/data")
        ' Only a shell replaces ~. Write /root/data.'
        >>> hint("data/train.jsonl")
        ''
    """
    if (home := _expanded_home(path)) != path:
        return f" Only a shell replaces ~. Write {home}."
    expanded = _VARIABLE.sub(_variable, path)
    if expanded != path:
        return f" Only a shell replaces variables. Write {expanded}."
    if exists(unquote(path)):
        return f" Names are not percent-encoded. Write {unquote(path)}."
    return ""


def _expanded_home(path: str) -> str:
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:  # there is no such user
        return path


def _variable(match: re.Match[str]) -> str:
    return os.environ.get(match[1] or match[2], match[0])
