"""The short help of each command: texts that fit a terminal of 24 lines.

One line is left for the prompt.

``--help`` prints one of the texts in ``commands/help``. `answer_before_imports` does so
when the package is imported, before TensorFlow is, which takes seconds. ``--helpfull``,
in `object2vec_tf.commands.full_help`, lists all flags.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from object2vec_tf.commands.early_interrupts import exit_on_interrupt

FOLDER = Path(__file__).with_name("help")
OVERVIEW = "object2vec_tf"
# The modules that are commands, and the names of their texts.
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        OVERVIEW: OVERVIEW,
        "object2vec_tf.fit": "fit",
        "object2vec_tf.tune": "tune",
        "object2vec_tf.vocabulary": "vocabulary",
        "object2vec_tf.neighbors": "neighbors",
        "object2vec_tf.transform": "transform",
        "export": "export",
        "export.gateway": "gateway",
        "object2vec_tf.sagemaker": "sagemaker",
    }
)
SHORT = ("--help", "-help", "--helpshort", "-helpshort", "--h", "-h", "-?", "--?")
FULL = ("--helpfull", "-helpfull")
VERSION = ("--version", "-version")
_SCRIPT_PREFIX = "object2vec-"
_USER_ERROR = 2


def answer_before_imports(version: str) -> None:
    """Prints the help or version that the command was asked for, if any, and exits.

    Ctrl-C ends a command from here on, until it runs.

    Args:
        version: The version of the package.
    """
    command = _starting_command()
    if command:  # not a user's program with a similar name
        exit_on_interrupt()
    if command == OVERVIEW:
        sys.exit(show_overview(sys.argv[1:], version))
    if command and is_asked(sys.argv[1:], SHORT):
        text = screen(command, sys.argv[1:])
        is_script = Path(sys.argv[0]).name.startswith(_SCRIPT_PREFIX)
        sys.exit(show(_with_scripts(text) if is_script else text))
    if command and is_asked(sys.argv[1:2], VERSION):
        sys.exit(show(f"{OVERVIEW} {version}\n"))


def _with_scripts(text: str) -> str:
    """Returns a text with the scripts of the commands in place of their modules.

    Example:
        >>> _with_scripts("python -m export.gateway, python -m export")
        'object2vec-gateway, object2vec-export'
    """
    return re.sub(
        r"python -m ([\w.]*\w)",
        lambda match: (
            f"{_SCRIPT_PREFIX}{COMMANDS[match[1]]}"
            if match[1] in COMMANDS
            else match[0]
        ),
        text,
    )


def is_asked(arguments: Sequence[str], names: Sequence[str]) -> bool:
    """Returns whether the arguments have one of the flags that ask for help.

    Args:
        arguments: The command line, without the program.
        names: `SHORT` or `FULL`.

    Example:
        >>> is_asked(["build", "--help"], SHORT), is_asked(["--", "--help"], SHORT)
        (True, False)
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return any(argument in names for argument in arguments[:end])


def screen(command: str, arguments: Sequence[str] = ()) -> str:
    """Returns the short help of a command, or of the verb in its arguments.

    Args:
        command: The name of the command, such as ``neighbors``.
        arguments: The command line, without the program.

    Example:
        >>> print(screen("neighbors", ["build", "--help"]).splitlines()[0])
        Embeds items and writes an index of them.
    """
    verb = next((argument for argument in arguments if argument in verbs(command)), "")
    name = f"{command}_{verb}" if verb else command
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def verbs(command: str) -> list[str]:
    """Returns the verbs of a command that have a help of their own.

    Example:
        >>> verbs("sagemaker"), verbs("fit")
        (['serve', 'train'], [])
    """
    names = (path.stem for path in FOLDER.glob(f"{command}_*.txt"))
    return sorted(name.removeprefix(f"{command}_") for name in names)


def show_overview(arguments: Sequence[str], version: str) -> int:
    """Prints the commands of the package, its version, or the help of a command.

    Args:
        arguments: The command line, without the program.
        version: The version of the package.

    Returns:
        The exit status: 2 if an argument is unknown.
    """
    if len(arguments) == 1 and is_asked(arguments, VERSION):
        return show(f"{OVERVIEW} {version}\n")
    if not arguments or is_asked(arguments[:1], (*SHORT, *FULL)):
        return show(screen(OVERVIEW).replace("{version}", version))
    command = COMMANDS.get(arguments[0], arguments[0])
    is_command = command in COMMANDS.values() and command != OVERVIEW
    if is_command and is_asked(arguments, SHORT):
        return show(screen(command, arguments[1:]))
    print(f"error: {_unexpected(arguments[0])}", file=sys.stderr)
    return _USER_ERROR


def show(text: str) -> int:
    """Prints a text and returns the exit status.

    It is 1 if the reader of stdout is gone, and 2 if stdout cannot be written.
    """
    try:
        print(text, end="", flush=True)
    except OSError as error:
        # What is left in the buffer would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 1
        print(f"error: stdout: {error.strerror}", file=sys.stderr)
        return _USER_ERROR
    return 0


def _unexpected(argument: str) -> str:
    """Returns the message about an argument, with the closest command or flag.

    Example:
        >>> _unexpected("expor")
        "unexpected argument 'expor'. Did you mean python -m export?"
        >>> _unexpected("x")
        "unexpected argument 'x'. python -m object2vec_tf lists the commands."
    """
    commands = [module for module in COMMANDS if module != OVERVIEW]
    meant = {COMMANDS[module]: f"python -m {module}" for module in commands}
    meant |= {module: f"python -m {module}" for module in commands}
    flags = ("--help", "--version")
    meant |= {flag: f"python -m {OVERVIEW} {flag}" for flag in flags}
    closest = difflib.get_close_matches(argument, meant, n=1)
    problem = f"unexpected argument {argument!r}."
    if closest:
        return f"{problem} Did you mean {meant[closest[0]]}?"
    return f"{problem} python -m {OVERVIEW} lists the commands."


def _starting_command() -> str | None:
    """Returns the name of the command that this process starts; None for others.

    While ``python -m`` imports a package, ``sys.argv`` has "-m" in place of the module.
    """
    program, *arguments = sys.argv
    if program == "-m":
        given = sys.orig_argv[: len(sys.orig_argv) - len(arguments)]
        is_module = len(given) > 1 and re.fullmatch(r"-[A-Za-z]*m", given[-2])
        return COMMANDS.get(given[-1]) if is_module else None
    script = Path(program).name
    name = script.removeprefix(_SCRIPT_PREFIX)
    return name if name != script and name in COMMANDS.values() else None
