"""Checks of flags that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from absl import flags

from object2vec_tf.errors import UserError
from object2vec_tf.files.special_files import is_stdout


def required_value(flag: flags.FlagHolder[str | None]) -> str:
    """Returns the value of a flag that must be given.

    Raises:
        UserError: It is missing or empty.
    """
    if not flag.value:
        raise UserError(f"--{flag.name} is required. See --help.")
    return flag.value


def summary_stream(output: Path) -> TextIO:
    """Returns where a command prints its summary: stderr if stdout has the output."""
    return sys.stderr if is_stdout(output) else sys.stdout
