"""Tests of object2vec_tf/bulk/file_jobs.py: which output file an input file gets."""

import os

import pytest

from object2vec_tf.bulk.file_jobs import find_file_jobs
from object2vec_tf.bulk.output_writers import JsonLinesWriter, ParquetWriter
from object2vec_tf.errors import UserError


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.jsonl.gz", "in/a.jsonl", "in/deep/a.jsonl", "in/c.parquet"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("in", ["a.jsonl", "b.jsonl.gz", "c.parquet", "deep/a.jsonl"]),
        ("in/*.jsonl*", ["a.jsonl", "b.jsonl.gz"]),
        ("in/**/*.jsonl", ["a.jsonl", "deep/a.jsonl"]),
        ("i*/deep/a.jsonl", ["in/deep/a.jsonl"]),
        ("in/c.parquet, in/a.jsonl", ["c.parquet", "a.jsonl"]),
        ("in/deep,in/b.jsonl.gz,in/deep/*", ["a.jsonl", "b.jsonl.gz"]),
    ],
)
def test_output_files_keep_names_and_subdirectories(files, source, names):
    jobs = find_file_jobs(source, files / "out", None)
    outputs = [job.output.relative_to(files / "out").as_posix() for job in jobs]
    suffixes = [".out.parquet" if n.endswith("parquet") else ".out" for n in names]
    assert outputs == [n + suffix for n, suffix in zip(names, suffixes, strict=True)]


def test_the_format_is_that_of_the_input_unless_given(files):
    jobs = find_file_jobs("in/a.jsonl,in/c.parquet", files, None)
    assert [job.writer for job in jobs] == [JsonLinesWriter, ParquetWriter]
    (job,) = find_file_jobs("in/a.jsonl", files, "parquet")
    assert (job.output.name, job.writer) == ("a.jsonl.out.parquet", ParquetWriter)


def test_two_inputs_with_one_output_are_rejected(files):
    with pytest.raises(
        UserError, match=r"a.jsonl and in.a.jsonl: both have the output"
    ):
        find_file_jobs("in/a.jsonl,in/deep/a.jsonl", files / "out", None)


def test_an_output_directory_inside_the_input_is_rejected(files):
    with pytest.raises(UserError, match=r"out: is inside the input in: the next"):
        find_file_jobs("in", files / "in/out", None)


def test_an_input_without_files_is_rejected(files):
    with pytest.raises(UserError, match=r"input: in/x\*: no file matches"):
        find_file_jobs("in/x*", files / "out", None)


def test_a_job_is_done_if_its_output_is_not_older(files):
    (job,) = find_file_jobs("in/a.jsonl", files, None)
    assert not job.is_done
    job.output.touch()
    os.utime(job.path, (100, 100))
    os.utime(job.output, (100, 100))
    assert job.is_done
    os.utime(job.output, (99, 99))
    assert not job.is_done
