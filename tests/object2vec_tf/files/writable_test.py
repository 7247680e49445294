"""Tests of object2vec_tf/files/writable.py."""

import errno
from pathlib import Path

import pytest

from object2vec_tf.errors import RunDirectoryError, UserError
from object2vec_tf.files.writable import check_writable, report_unwritable


def test_check_writable_creates_the_directory_and_leaves_it_empty(tmp_path: Path):
    directory = tmp_path / "a" / "b"
    check_writable(directory, "export_dir")
    assert list(directory.iterdir()) == []


def test_check_writable_names_directory_setting_and_reason(tmp_path: Path):
    (tmp_path / "file").write_text("")
    directory = tmp_path / "file" / "b"
    with pytest.raises(UserError) as raised:
        check_writable(directory, "export_dir")
    message = str(raised.value)
    assert message.startswith(f"{directory}: export_dir cannot be written: ")
    assert message.endswith(
        "Not a directory. Remove the file, or choose another --export_dir."
    )


def test_a_file_below_the_directory_is_named(tmp_path: Path):
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "lock"))
    with (
        pytest.raises(RunDirectoryError) as raised,
        report_unwritable(tmp_path, "model_dir", RunDirectoryError),
    ):
        raise error
    start = f"{tmp_path}: model_dir cannot be written: {tmp_path / 'lock'}: Permission"
    assert str(raised.value).startswith(start)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "Make it writable, or choose another --cache_dir."),
        (errno.ENOSPC, "Free disk space, or choose another --cache_dir."),
        (errno.EEXIST, "Remove the file, or choose another --cache_dir."),
        (errno.EIO, "Choose another --cache_dir."),
    ],
)
def test_the_advice_fits_the_error(tmp_path: Path, number: int, advice: str):
    with (
        pytest.raises(UserError) as raised,
        report_unwritable(tmp_path, "cache_dir"),
    ):
        raise OSError(number, "reason")
    assert str(raised.value).endswith(f": reason. {advice}")


def test_other_errors_pass(tmp_path: Path):
    with pytest.raises(ValueError, match=r"^x$"), report_unwritable(tmp_path, "s"):
        raise ValueError("x")
