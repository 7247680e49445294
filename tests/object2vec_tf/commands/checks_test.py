"""Tests of object2vec_tf/commands/checks.py, with the flags of neighbors."""

import pytest
from absl import flags
from absl.testing import flagsaver

from object2vec_tf import neighbors
from object2vec_tf.errors import UserError


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
    with flagsaver.flagsaver():
        flags.FLAGS(["neighbors", flag])
        with pytest.raises(UserError) as error:
            neighbors.main(verb)
    assert str(error.value) == message


def test_flags_of_the_verb_are_accepted():
    with flagsaver.flagsaver():
        flags.FLAGS(["neighbors", "--labels=names.tsv", "--metric=cosine"])
        with pytest.raises(UserError, match="--input is required"):
            neighbors.main("build")
