"""Ctrl-C while a command imports its modules."""

import functools
import signal
import subprocess
import sys
import time

import pytest

from object2vec_tf.commands.early_interrupts import exit_on_interrupt, raise_again


@pytest.mark.parametrize("module", ["object2vec_tf.fit", "export.gateway"])
def test_an_interrupt_while_tensorflow_is_imported_prints_one_word(module):
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", module, "--model=x"],
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets its background jobs ignore SIGINT.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stderr:
        if line.rpartition("|")[2].strip() == "object2vec_tf.terminal":
            break
    time.sleep(0.5)  # TensorFlow's import takes seconds
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.endswith("\ninterrupted\n")
    assert "Traceback" not in errors


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN])
def handler(request):
    before = signal.signal(signal.SIGINT, request.param)
    yield request.param
    signal.signal(signal.SIGINT, before)


def test_afterwards_the_handler_is_that_of_before(handler):
    exit_on_interrupt()
    during = signal.getsignal(signal.SIGINT)
    raise_again()
    assert (during is handler) == (handler is signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) is handler


def test_programs_of_users_keep_their_handler(tmp_path):
    program = tmp_path / "object2vec_training.py"
    program.write_text(
        "import signal\nimport object2vec_tf\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    )
    command = [sys.executable, str(program)]
    restored = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    subprocess.run(command, check=True, preexec_fn=restored)
