"""``--helpfull``: all flags of a command, in groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from absl import flags

from object2vec_tf.hyperparameters import specifications

_COMMON_MODULES = ("absl.app", "absl.logging")
_SPECIAL = (
    "--flagfile: file with one flag per line, which are inserted here",
    "--undefok: comma-separated names of flags that may be unknown",
)


def full_help(
    description: str,
    command_flags: Iterable[flags.Flag[Any]],
    values: flags.FlagValues = flags.FLAGS,
) -> str:
    """Returns the description of a command and all its flags.

    Args:
        description: What the command does.
        command_flags: The flags that the command defines or declares.
        values: All flags.
    """
    parts = [description.strip()]
    for title, group in _groups({flag.name: flag for flag in command_flags}):
        parts.append("\n".join([f"{title}:", *map(_flag_text, group)]))
    modules = values.flags_by_module_dict()
    common = [flag for module in _COMMON_MODULES for flag in modules.get(module, ())]
    texts = [*map(_wrapped, _SPECIAL), *map(_flag_text, _sorted(common))]
    parts.append("\n".join(["Flags of all commands:", *texts]))
    return "\n\n".join(parts) + "\n"


def _groups(
    by_name: dict[str, flags.Flag[Any]],
) -> Iterable[tuple[str, Sequence[flags.Flag[Any]]]]:
    """Yields the title and the flags of each group."""
    settings = by_name.keys() & specifications().keys()
    if "enc_dim" not in settings:  # vocabulary has some of those of encoders
        yield "Flags", _sorted(by_name.values())
        return
    yield "Flags", _sorted(f for name, f in by_name.items() if name not in settings)
    for side in (0, 1):
        names = [name for name in settings if name.startswith(f"enc{side}_")]
        title = f"Hyperparameters of enc{side}, the encoder of in{side}"
        yield title, _sorted(by_name[name] for name in names)
    others = [name for name in settings if not name.startswith(("enc0_", "enc1_"))]
    yield "Other hyperparameters", _sorted(by_name[name] for name in others)


def _sorted(given: Iterable[flags.Flag[Any]]) -> list[flags.Flag[Any]]:
    return sorted(given, key=lambda flag: flag.name)


def _flag_text(flag: flags.Flag[Any]) -> str:
    """Returns the help of a flag, with its default and its valid values."""
    short = f"-{flag.short_name}," if flag.short_name else ""
    name = f"[no]{flag.name}" if flag.boolean else flag.name
    lines = [_wrapped(f"{short}--{name}: {flag.help or ''}")]
    for note in (
        f"default: {flag.default_as_str}" if flag.default_as_str else "",
        flag.parser.syntactic_help,
    ):
        if note:
            lines.append(flags.text_wrap(f"({note})", indent="    "))
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return flags.text_wrap(text, indent="    ", firstline_indent="  ")
