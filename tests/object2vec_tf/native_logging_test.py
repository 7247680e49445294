import os

import pytest

from object2vec_tf.native_logging import silence_native_stderr, silenced_text


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
