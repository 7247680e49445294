"""Tests of object2vec_tf/bulk/remote_outputs.py, and of file jobs with URLs."""

import time

import pytest

from object2vec_tf.bulk.file_jobs import find_file_jobs
from object2vec_tf.bulk.remote_outputs import remote_outputs
from object2vec_tf.errors import UserError


@pytest.fixture
def inputs(remote):
    for name in ("a.jsonl", "sub/b.jsonl", "_SUCCESS"):
        remote.pipe(f"/b/in/{name}", b"{}")
    return remote


def test_output_files_have_the_names_of_their_inputs(inputs):
    with remote_outputs("memory://b/out") as outputs:
        jobs = find_file_jobs("memory://b/in", outputs.directory, None)
        assert [f"{job.output}" for job in jobs] == [
            "memory://b/out/a.jsonl.out",
            "memory://b/out/sub/b.jsonl.out",
        ]
        assert [f"{job.path}" for job in jobs] == [
            "memory://b/in/a.jsonl",
            "memory://b/in/sub/b.jsonl",
        ]
        for job in jobs:
            assert not outputs.is_done(job)
            job.output.parent.mkdir(exist_ok=True)
            job.output.write_text("answers")
            outputs.upload(job.output)
            assert not job.output.exists()
    assert inputs.cat("/b/out/sub/b.jsonl.out") == b"answers"


def test_complete_output_files_are_done_until_their_input_changes(inputs):
    inputs.pipe("/b/out/a.jsonl.out", b"answers")
    inputs.pipe("/b/out/.transform.json", b"{}")
    with remote_outputs("memory://b/out") as outputs:
        first, second = find_file_jobs("memory://b/in", outputs.directory, None)
        assert outputs.is_done(first)
        assert not outputs.is_done(second)
        assert (outputs.directory / ".transform.json").read_text() == "{}"
    time.sleep(0.01)
    inputs.pipe("/b/in/a.jsonl", b"{} ")
    with remote_outputs("memory://b/out") as outputs:
        first, _ = find_file_jobs("memory://b/in", outputs.directory, None)
        assert not outputs.is_done(first)


def test_an_output_directory_inside_the_input_is_an_error(inputs):
    with (
        remote_outputs("memory://b/in/out") as outputs,
        pytest.raises(UserError, match="memory://b/in/out: is inside the input"),
    ):
        find_file_jobs("memory://b/in", outputs.directory, None)
