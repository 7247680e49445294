"""Checks of flags that several commands share."""

from __future__ import annotations

from absl import flags

from object2vec_tf.errors import UserError


def required_value(flag: flags.FlagHolder[str | None]) -> str:
    """Returns the value of a flag that must be given.

    Raises:
        UserError: It is missing or empty.
    """
    if not flag.value:
        raise UserError(f"--{flag.name} is required. See --help.")
    return flag.value
