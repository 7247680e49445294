"""The commands that users need after a run."""

from __future__ import annotations

import os
import shlex
from typing import NamedTuple


class Step(NamedTuple):
    """A command, and what it is for."""

    title: str
    command: str


def next_steps(
    run: str | os.PathLike[str],
    export_dir: str | os.PathLike[str] | None = None,
    items: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
) -> list[Step]:
    """Returns the commands that serve, search and apply the model of a run.

    Example:
        >>> for step in next_steps("my run"):
        ...     print(step.command)
        python -m export.gateway --model='my run/export' --port=8080
        python -m object2vec_tf.neighbors build --model='my run' --input=items.jsonl --index=index
        python -m object2vec_tf.transform --model='my run' --input=pairs.jsonl --output=scores.jsonl

    Args:
        run: The run directory.
        export_dir: Where the SavedModel is; the run's own directory by default.
        items: A file of objects that the run was given, if any.
        labels: The file of their names.
    """  # noqa: E501
    exported = export_dir or f"{os.fspath(run).rstrip('/')}/export"
    named = f" --labels={_quoted(labels)}" if items and labels else ""
    model = f"--model={_quoted(run)}"
    return [
        Step(
            "Serve the model over HTTP",
            f"python -m export.gateway --model={_quoted(exported)} --port=8080",
        ),
        Step(
            "Index objects, to find the nearest ones",
            f"python -m object2vec_tf.neighbors build {model} "
            f"--input={_quoted(items or 'items.jsonl')}{named} --index=index",
        ),
        Step(
            "Embed or score a file of objects or pairs",
            f"python -m object2vec_tf.transform {model} --input=pairs.jsonl "
            "--output=scores.jsonl",
        ),
    ]


def printable(text: str) -> str:
    """Returns a text that UTF-8 can encode; names of files need not be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _quoted(path: str | os.PathLike[str]) -> str:
    return printable(shlex.quote(os.fspath(path)))
