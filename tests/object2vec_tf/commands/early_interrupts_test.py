"""Ctrl-C while a command imports its modules."""

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


def test_afterwards_an_interrupt_raises_again():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    exit_on_interrupt()
    try:
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    finally:
        raise_again()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_another_handler_stays():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        exit_on_interrupt()
        raise_again()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
