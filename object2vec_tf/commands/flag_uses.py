"""Which flags each verb or mode of a command uses; others that are given are errors.

A command with verbs, such as ``neighbors build|query``, or with modes, such as
``transform --runner=local|ray``, has one table with the flags of each. Its
``--helpfull`` and its checks are made from the table. `check_complete` fails at the
start of the command if a flag is not in the table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from absl import flags

from object2vec_tf.errors import UserError

# The flags that each verb or mode uses.
FlagUses = Mapping[str, Collection[flags.FlagHolder[Any]]]


def reject_unused_flags(mode: str, uses: FlagUses) -> None:
    """Checks that the verb or mode uses all flags that were given.

    Flags in a flagfile count as given.

    Args:
        mode: A verb, such as build, or a mode, such as ``--runner=ray``.
        uses: The flags that each of them uses.

    Raises:
        UserError: It does not use one of the flags.
    """
    used = {flag.name for flag in uses[mode]}
    for name, modes in _modes_by_flag(uses).items():
        if name not in used and flags.FLAGS[name].present:
            raise UserError(
                f"--{name}: expected a flag of {mode}, got a flag of "
                f"{' and '.join(modes)}. Remove it."
            )


def check_complete(uses: FlagUses, key_flags: Sequence[flags.Flag[Any]]) -> None:
    """Checks that the table has all flags of a command.

    Args:
        uses: The flags that each verb or mode uses.
        key_flags: The flags that the command's ``--helpfull`` shows.

    Raises:
        ValueError: It lacks a flag, which is an error in the source of the command.
    """
    known = _modes_by_flag(uses)
    missing = sorted({flag.name for flag in key_flags if flag.name not in known})
    if missing:
        raise ValueError(
            f"{', '.join(missing)}: expected flags with a verb or mode that uses them, "
            "got none. Add them to the table of the command."
        )


def describe_uses(uses: FlagUses) -> None:
    """Adds the verbs or modes to the help of each flag that not all of them use."""
    for name, modes in _modes_by_flag(uses).items():
        if len(modes) == len(uses) or f"--{name}" in modes:
            continue
        flag = flags.FLAGS[name]
        with_ = "with " if modes[0].startswith("--") else ""
        flag.help = f"{with_}{', '.join(modes)}: {flag.help}"


def hide_unused_flags(arguments: Sequence[str], uses: FlagUses) -> None:
    """Removes the flags that the verb of the command line does not use.

    Args:
        arguments: The command line. Without a verb, nothing is removed.
        uses: The flags that each verb uses.
    """
    verb = next((argument for argument in arguments if argument in uses), None)
    if verb is None:
        return
    used = {flag.name for flag in uses[verb]}
    for name in _modes_by_flag(uses):
        if name not in used:
            delattr(flags.FLAGS, name)


def _modes_by_flag(uses: FlagUses) -> dict[str, list[str]]:
    """Returns the verbs or modes that use each flag, by its name."""
    modes_by_flag: dict[str, list[str]] = {}
    for mode, used in uses.items():
        for flag in used:
            modes_by_flag.setdefault(flag.name, []).append(mode)
    return modes_by_flag
