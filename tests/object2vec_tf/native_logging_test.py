import logging
import os

import pytest

from object2vec_tf.native_logging import (
    silence_native_stderr,
    silenced_text,
    tensorflow_warnings_only,
)


def test_what_native_code_writes_is_kept_out_of_stderr(capfd, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with silence_native_stderr(True):
        os.write(2, b"cannot find a driver\n")
    os.write(2, b"after\n")

    assert capfd.readouterr().err == "after\n"
    assert silenced_text().endswith("cannot find a driver\n")


def test_stderr_is_restored_after_an_exception(capfd, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with pytest.raises(ImportError), silence_native_stderr(True):
        raise ImportError
    os.write(2, b"after\n")

    assert capfd.readouterr().err == "after\n"


def test_where_no_file_can_be_written_the_text_is_lost(capfd, monkeypatch):
    def fail():
        raise FileNotFoundError

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    before = silenced_text()
    with silence_native_stderr(True):
        os.write(2, b"lost\n")

    assert (capfd.readouterr().err, silenced_text()) == ("", before)


def test_nothing_changes_unless_quiet(capfd):
    with silence_native_stderr(False):
        os.write(2, b"seen\n")

    assert capfd.readouterr().err == "seen\n"


@pytest.fixture
def tensorflow_logger(monkeypatch):
    logger = logging.getLogger("tensorflow")
    monkeypatch.setattr(logger, "propagate", True)
    level = logger.level
    yield logger
    logger.setLevel(level)


def test_tensorflow_logs_warnings_only_inside(caplog, tensorflow_logger):
    tensorflow_logger.setLevel("INFO")
    with tensorflow_warnings_only():
        tensorflow_logger.info("Assets written")
        tensorflow_logger.warning("careful")
    tensorflow_logger.info("after")

    assert caplog.messages == ["careful", "after"]


def test_a_higher_level_of_tensorflow_stays(tensorflow_logger):
    tensorflow_logger.setLevel("ERROR")
    with tensorflow_warnings_only():
        assert tensorflow_logger.level == logging.ERROR
