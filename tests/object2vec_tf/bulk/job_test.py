"""Tests of object2vec_tf/bulk/job.py: records, changed inputs, jobs that are done."""

import shutil

import pytest

from object2vec_tf.bulk.file_jobs import FileJob
from object2vec_tf.bulk.job import (
    atomic_output,
    predict_file,
    record_model,
    split_done,
)
from object2vec_tf.bulk.output_writers import JsonLinesWriter
from object2vec_tf.bulk.row_counts import RowCounts
from object2vec_tf.errors import DataError, UserError


def write_job(path, text='{"in0": [1]}\n'):
    path.write_text(text)
    return FileJob(path, path.with_name(path.name + ".out"), JsonLinesWriter)


def test_an_output_directory_belongs_to_one_model(exported, tmp_path):
    out, other = tmp_path / "deep/out", tmp_path / "other"
    record_model(out, exported / "1")
    shutil.copytree(exported / "1", other)
    record_model(out, other)  # the same bytes
    (weights,) = other.glob("variables/*.data*")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(
        UserError, match=r"out: contains predictions of another model, .*/1\."
    ):
        record_model(out, other)
    for damaged in ("", "[]", '{"digest": 3}', "[" * 9_999):
        (out / ".transform.json").write_text(damaged)
        with pytest.raises(UserError, match=r"json: expected the model of these"):
            record_model(out, other)


def test_finished_jobs_are_separated(loaded, tmp_path):
    jobs = [write_job(tmp_path / name) for name in ("a", "b")]
    assert predict_file(loaded, jobs[0]) == RowCounts(rows=1)
    assert split_done(jobs) == ([jobs[1]], [jobs[0]])


def test_an_input_file_that_changes_meanwhile_is_an_error(tmp_path):
    job = write_job(tmp_path / "a")

    def predict():
        with atomic_output(job) as temporary:
            temporary.write_text("predictions")
            job.path.write_text("longer than before")

    with pytest.raises(DataError, match=r"a: changed while it was read"):
        predict()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_input_file_is_never_overwritten(tmp_path):
    path = write_job(tmp_path / "a").path
    with (
        pytest.raises(UserError, match="is also an input"),
        atomic_output(FileJob(path, path, JsonLinesWriter)),
    ):
        pass
