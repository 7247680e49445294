"""Start and end of a command: flags, error messages and exit status."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import re
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import NoReturn, TextIO

import tensorflow as tf
from absl import app, flags, logging

from object2vec_tf.commands.checks import check_numbers
from object2vec_tf.commands.early_interrupts import INTERRUPTED, raise_again
from object2vec_tf.commands.flag_uses import (
    FlagUses,
    check_complete,
    describe_uses,
    hide_unused_flags,
    reject_unused_flags,
)
from object2vec_tf.commands.full_help import full_help
from object2vec_tf.commands.help_screens import FULL, SHORT, is_asked, screen, show
from object2vec_tf.commands.messages import escape_unprintable, legible
from object2vec_tf.errors import Interrupted, UserError
from object2vec_tf.files.leftovers import scratch_directory
from object2vec_tf.files.staging import with_urls
from object2vec_tf.files.tensorflow_paths import use_encodable_temporary_directory
from object2vec_tf.progress import command, other_output, send_to_stderr

USER_ERROR = 2
# TensorFlow's message about a full disk has the file's name and then this text.
_DISK_FULL = "No space left on device"
_FREE_SPACE = "Free disk space and start again."
# The name of the operation, which may be before it.
_NODE = re.compile(r"^\{\{.*?\}\}\s*")
_ADVICE = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EFBIG: "Raise the limit of the size of files (ulimit -f) and start again.",
}
# TensorFlow's message where another process uses all memory of a GPU, for instance.
_GPU_DOES_NOT_START = "initialization on GPU"
# absl's message for --flag=value, where the flag is a boolean.
_NOT_BOOLEAN = "('Non-boolean argument to boolean flag'"
_NONE: FlagUses = MappingProxyType({})


def run(main: Callable[..., None], verbs: FlagUses = _NONE) -> None:
    """Parses the flags, runs a command's ``main`` and exits.

    Exit status: 0: success, or stopped by SIGTERM and resumable. 1: internal error,
    with a traceback. 2: user error, with one message on stderr and a traceback only
    with --verbosity=1. 130: interrupted from the keyboard.

    Args:
        main: Function of the command. It takes the verb if there are verbs.
        verbs: Words of which the command line must have exactly one, with the flags
            that each of them uses.
    """
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):
        escape_unprintable(stream)
    use_encodable_temporary_directory()
    tf.get_logger().setLevel("WARNING")

    def guarded(argv: Sequence[str]) -> None:
        arguments = _check_arguments(argv[1:], verbs)
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)
        try:
            raise_again()
            if verbs:
                reject_unused_flags(arguments[0], verbs)
            check_numbers()
            send_to_stderr()
            with (
                command(_command_name(argv[0], arguments)),
                _temporary_directory(),
            ):
                main(*arguments)
        except Interrupted as error:
            print(with_urls(str(error)), flush=True)
        except BrokenPipeError:
            _exit_without_reader()
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            sys.exit(INTERRUPTED)
        except Exception as error:
            message = _user_message(error)
            if message is None:
                raise
            if logging.get_verbosity() >= logging.DEBUG:
                traceback.print_exc()
            _fail(message)

    app.run(guarded, flags_parser=_parse)


def run_cli(
    main: Callable[..., None],
    verbs: FlagUses = _NONE,
    *,
    modes: FlagUses = _NONE,
    flag_modules: Sequence[ModuleType] = (),
) -> None:
    """Runs a command module's ``main`` as a program, and exits.

    ``--help`` shows the text of the command, or of the verb, in
    `object2vec_tf.commands.help_screens`. ``--helpfull`` shows the docstring of the
    module that defines ``main`` and all its flags; after a verb, only those that the
    verb uses.

    Args:
        main: Function of the command's module.
        verbs: See `run`.
        modes: The flags that each mode uses, for ``--helpfull``. ``main`` has to call
            `reject_unused_flags` itself.
        flag_modules: Other modules whose flags the command's ``--helpfull`` shows.

    Raises:
        ValueError: A flag of the command is not among those of ``verbs`` or ``modes``.
    """
    module = sys.modules[main.__module__]
    for name in (module.__name__, *(other.__name__ for other in flag_modules)):
        for flag in flags.FLAGS.get_key_flags_for_module(name):
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    arguments = sys.argv[1:]
    if uses := verbs or modes:
        check_complete(uses, flags.FLAGS.get_key_flags_for_module(sys.argv[0]))
        describe_uses(uses)
    if is_asked(arguments, SHORT):
        sys.exit(show(screen(_command_name(module.__file__ or "", []), arguments)))
    if is_asked(arguments, FULL):
        app.define_help_flags()
        hide_unused_flags(arguments, verbs)
        shown = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
        sys.exit(show(full_help(module.__doc__ or "", shown)))
    run(main, verbs)


@contextlib.contextmanager
def _temporary_directory() -> Iterator[None]:
    """Gives this process a directory for all of its temporary files.

    TensorFlow's AutoGraph, for one, writes files that stay when the process is killed.
    `object2vec_tf.files.leftovers` removes the directory then.
    """
    before = tempfile.tempdir
    with contextlib.suppress(OSError):  # there is none that can be written
        stack = contextlib.ExitStack()
        directory = stack.enter_context(scratch_directory("command"))
        # AutoGraph removes its files at exit, but registered that later: it is first.
        atexit.register(stack.close)
        tempfile.tempdir = str(directory)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _command_name(program: str, arguments: Sequence[str]) -> str:
    """Returns the name of a command and its verb.

    Example:
        >>> _command_name("/usr/lib/object2vec_tf/neighbors.py", ["build"])
        'neighbors build'
        >>> _command_name("export/__main__.py", [])
        'export'
        >>> _command_name("/usr/bin/object2vec-fit", [])
        'fit'
    """
    path = Path(program)
    name = path.parent.name if path.stem == "__main__" else path.stem
    return " ".join([name.removeprefix("object2vec-"), *arguments])


def _check_arguments(arguments: Sequence[str], verbs: FlagUses) -> Sequence[str]:
    """Returns the arguments that are not flags: the verb, if the command has verbs."""
    if verbs and (not arguments or arguments[0] not in verbs):
        got = " ".join(arguments) or "nothing"
        _fail(f"expected one of {', '.join(verbs)}, got {got}. See --help.")
    if len(arguments) > (1 if verbs else 0):
        _fail(f"unexpected argument {arguments[-1]!r}. Flags start with --.")
    return arguments


def _user_message(error: Exception) -> str | None:
    """Returns the message of an error that the user can resolve; None for others."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):  # full disk, missing permission, ...
        message = f"{error.filename or 'file system'}: {error.strerror or error}"
        advice = _ADVICE.get(error.errno or 0)
        return f"{message}. {advice}" if advice else message
    # TensorFlow raises the same class when memory is exhausted.
    if (
        isinstance(error, tf.errors.ResourceExhaustedError)
        and _DISK_FULL in error.message
    ):
        file = _NODE.sub("", error.message.partition(_DISK_FULL)[0]).rstrip(" ;:")
        return f"{file or 'file system'}: {_DISK_FULL}. {_FREE_SPACE}"
    if (
        isinstance(error, tf.errors.InternalError)
        and _GPU_DOES_NOT_START in error.message
    ):
        return (
            f"device: TensorFlow cannot start the GPU: {error.message.strip(' .')}. "
            "See nvidia-smi for other processes that use it, or give --device=cpu."
        )
    return None


def _exit_without_reader() -> NoReturn:
    """Exits when the reader of stdout has closed it, as ``| head`` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        return list(flags.FLAGS(argv))
    except BrokenPipeError:  # the output of --help
        _exit_without_reader()
    except flags.CantOpenFlagFileError as error:
        _fail(f"--flagfile: {_flagfile_problem(error.__context__)}")
    except UnicodeDecodeError:
        _fail("--flagfile: expected text, got other bytes. Give a file of flags.")
    except flags.Error as error:
        message, is_boolean, _ = str(error).partition(_NOT_BOOLEAN)
        _fail(f"{message}expected true or false." if is_boolean else message)
    except SystemExit:  # absl ends --help with status 1
        sys.exit(0)


def _flagfile_problem(cause: BaseException | None) -> str:
    if isinstance(cause, FileNotFoundError):
        return f"{cause.filename}: no such file"
    if isinstance(cause, OSError):
        return f"{cause.filename}: cannot be read: {cause.strerror}"
    return f"cannot be read: {cause}"


def _fail(message: str) -> NoReturn:
    print(f"error: {legible(with_urls(message))}", file=sys.stderr)
    sys.exit(USER_ERROR)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    text = legible(with_urls(str(message)))
    with other_output():
        print(f"warning: {text}", file=file or sys.stderr)
