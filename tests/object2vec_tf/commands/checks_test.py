"""Tests of object2vec_tf/commands/checks.py, with the flags of neighbors."""

import subprocess

import pytest

from tests.command_server import python_m


@pytest.mark.parametrize(
    ("flag", "verb", "verbs"),
    [
        ("--labels=names.tsv", "query", "build and add"),
        ("--metric=cosine", "evaluate", "build"),  # the default, but given
        ("-k=3", "add", "query"),
        ("--rescore", "build", "query"),
        ("--exclude=train.jsonl", "build", "query and evaluate"),
        ("--index=index", "evaluate", "build and add and query"),
    ],
)
def test_a_flag_of_other_verbs_is_an_error(flag, verb, verbs):
    name = flag.partition("=")[0].strip("-")
    message = (
        f"--{name}: expected a flag that {verb} uses, got one of {verbs}. Remove it."
    )
    done = subprocess.run(
        [*python_m("object2vec_tf.neighbors"), verb, flag],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, f"error: {message}\n")


def test_flags_of_the_verb_are_accepted():
    flags = ["--labels=names.tsv", "--metric=cosine"]
    done = subprocess.run(
        [*python_m("object2vec_tf.neighbors"), "build", *flags],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--input is required" in done.stderr
