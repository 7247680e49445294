"""Checks of flags that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from absl import flags

from object2vec_tf.errors import UserError
from object2vec_tf.files.special_files import is_stdout
from object2vec_tf.hyperparameters.arguments import MAX_INTEGER
from object2vec_tf.standard_streams import is_missing

# Of flags with fractions, such as seconds and gigabytes.
_MAX_NUMBER = 1e12


def required_value(flag: flags.FlagHolder[str | None]) -> str:
    """Returns the value of a flag that must be given.

    Raises:
        UserError: It is missing or empty.
    """
    if not flag.value:
        raise UserError(f"--{flag.name} is required. See --help.")
    return flag.value


def check_numbers(values: flags.FlagValues = flags.FLAGS) -> None:
    """Checks that the values of all flags are numbers that files and ops can hold.

    The flags' own bounds accept nan, infinity, and integers of any length.

    Raises:
        UserError: One is not.
    """
    for name in values:
        for value in _numbers(values[name].value):
            if isinstance(value, int) and abs(value) > MAX_INTEGER:
                raise UserError(
                    f"--{name}: expected an integer up to {MAX_INTEGER}, got a larger "
                    "one."
                )
            if isinstance(value, float) and not abs(value) <= _MAX_NUMBER:
                raise UserError(
                    f"--{name}: expected a number up to {_MAX_NUMBER:g}, got {value}."
                )


def _numbers(value: object) -> Iterable[object]:
    return value if isinstance(value, list | tuple) else (value,)


def check_stdout(fix: str) -> None:
    """Checks that a result can be printed.

    Args:
        fix: The sentence that says what to do if it cannot.

    Raises:
        UserError: The command was started with stdout closed.
    """
    if is_missing("stdout"):
        raise UserError(f"stdout: expected an open stream, got a closed one. {fix}")


def summary_stream(output: Path) -> TextIO:
    """Returns where a command prints its summary: stderr if stdout has the output."""
    return sys.stderr if is_stdout(output) else sys.stdout
