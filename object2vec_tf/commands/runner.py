"""How a command starts and ends: flags, messages and exit status."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NoReturn, TextIO

import tensorflow as tf
from absl import app, flags, logging

from object2vec_tf.errors import Interrupted, UserError

USER_ERROR = 2
# What TensorFlow says of a full disk, behind the file's name.
_FULL = "No space left on device"
INTERRUPTED = 130


def run(main: Callable[..., None], verbs: Sequence[str] = ()) -> None:
    """Runs a command's ``main`` and exits.

    Args:
        main: Takes the verb, where there are verbs.
        verbs: The words of which the command takes one.

    Exit status: 0 done; 2 the user can mend it (one plain message on stderr, and a
    traceback only with --verbosity=1); 1 our fault, with a traceback.
    """
    warnings.showwarning = _show_warning
    tf.get_logger().setLevel("WARNING")

    def guarded(argv: Sequence[str]) -> None:
        given = list(argv[1:])
        if verbs and given[:1] not in [[verb] for verb in verbs]:
            _fail(f"expected {' or '.join(verbs)}, got {' '.join(given) or 'nothing'}")
        if given[len(verbs) > 0 :]:
            _fail(f"unexpected argument {given[-1]!r}; flags start with --")
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)
        try:
            main(*given)
        except UserError as error:
            if logging.get_verbosity() >= logging.DEBUG:
                traceback.print_exc()
            _fail(str(error))
        except Interrupted as error:
            print(error, flush=True)
        except BrokenPipeError:
            _end_unread()
        except OSError as error:  # the disk is full, a file may not be read, ...
            if logging.get_verbosity() >= logging.DEBUG:
                traceback.print_exc()
            advice = "; make room, and start again" * (error.errno == errno.ENOSPC)
            where = error.filename or "file system"
            _fail(f"{where}: {error.strerror or error}{advice}")
        except tf.errors.ResourceExhaustedError as error:
            if _FULL not in error.message:  # memory
                raise
            if logging.get_verbosity() >= logging.DEBUG:
                traceback.print_exc()
            told = error.message.partition(_FULL)[0] + _FULL
            _fail(f"{told}; make room, and start again")
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            sys.exit(INTERRUPTED)

    app.run(guarded, flags_parser=_parse)


def run_cli(
    main: Callable[..., None],
    verbs: Sequence[str] = (),
    *,
    flag_modules: Sequence[ModuleType] = (),
) -> None:
    """Runs a command module's ``main`` as a program, and exits.

    ``--help`` shows the docstring of ``__main__`` and the flags that it defines. Under
    a console script ``__main__`` is the script, not the command's module, so that both
    are copied from the module that defines ``main``.

    Args:
        main: Function of the command's module.
        verbs: See `run`.
        flag_modules: Other modules whose flags the command's ``--help`` shows.
    """
    module = sys.modules[main.__module__]
    for name in (module.__name__, *(other.__name__ for other in flag_modules)):
        for flag in flags.FLAGS.get_key_flags_for_module(name):
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    sys.modules["__main__"].__doc__ = module.__doc__
    run(main, verbs)


def _end_unread() -> NoReturn:
    """Ends where the reader of our output has gone, as with ``| head``."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        return list(flags.FLAGS(argv))
    except BrokenPipeError:  # of --help
        _end_unread()
    except flags.CantOpenFlagFileError as error:
        _fail(f"--flagfile: {_flagfile_problem(error.__context__)}")
    except UnicodeDecodeError:
        _fail("--flagfile: holds bytes that are not text; give a file of flags")
    except flags.Error as error:
        _fail(str(error))
    except SystemExit:  # absl ends --help with status 1
        sys.exit(0)


def _flagfile_problem(cause: BaseException | None) -> str:
    if isinstance(cause, FileNotFoundError):
        return f"{cause.filename}: no such file"
    if isinstance(cause, OSError):
        return f"{cause.filename}: cannot be read: {cause.strerror}"
    return f"cannot be read: {cause}"


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(USER_ERROR)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"warning: {message}", file=file or sys.stderr)
