"""Checks of flags that several commands share."""

from __future__ import annotations

from collections.abc import Collection, Mapping

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


def reject_unused_flags(verb: str, verbs_of: Mapping[str, Collection[str]]) -> None:
    """Checks that the flags that were given are those of the verb.

    Args:
        verb: The verb of the command line.
        verbs_of: The verbs that use each flag, by its name.

    Raises:
        UserError: The verb does not use a flag.
    """
    for name, verbs in verbs_of.items():
        if flags.FLAGS[name].present and verb not in verbs:
            raise UserError(
                f"--{name}: expected a flag that {verb} uses, got one of "
                f"{' and '.join(verbs)}. Remove it."
            )
