"""Tests of token counts: arithmetic, JSON, messages, and counts of a request."""

import warnings

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.inference.text_inputs import TextRequest
from object2vec_tf.inference.token_counts import (
    TokenCounts,
    add_counts,
    counts_from_json,
    counts_to_json,
    subtract_counts,
    warn_of_unknown_tokens,
)

COUNTS = {"in0": TokenCounts(10, 2, 5, 0), "in1": TokenCounts(1582, 232, 900, 200)}


def test_counts_are_added_subtracted_and_sent_as_json():
    total = add_counts(COUNTS, {"in1": TokenCounts(8, 1, 1, 1)})
    assert total == {"in0": COUNTS["in0"], "in1": TokenCounts(1590, 233, 901, 201)}
    assert subtract_counts(total, COUNTS)["in1"] == TokenCounts(8, 1, 1, 1)
    assert counts_from_json(counts_to_json(total)) == total


def test_one_line_per_input_names_unknown_tokens_and_objects():
    with pytest.warns(UserWarning) as caught:  # noqa: PT030
        warn_of_unknown_tokens(COUNTS)
    assert [str(warning.message) for warning in caught] == [
        "in0: 2 of 10 tokens are unknown",
        "in1: 232 of 1,582 tokens are unknown; 200 of 900 objects have no known token, "
        "so that their embeddings do not distinguish them",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_unknown_tokens({"in0": TokenCounts(10, 0, 5, 0)})


def test_the_line_names_the_buckets_of_unknown_tokens():
    hyperparameters = o2v.Hyperparameters(
        enc0_max_seq_len=1,
        enc0_vocab_size=9,
        enc0_tokenizer="id",
        enc0_vocab_file="v.json",
        enc0_num_oov_buckets=3,
    )
    with pytest.warns(UserWarning, match="in0: 2 of 10 tokens are unknown and share 3"):
        warn_of_unknown_tokens({"in0": COUNTS["in0"]}, hyperparameters)


@pytest.mark.parametrize("version", ["old", "new"])
def test_a_request_counts_the_outputs_of_the_signature(version):
    request = TextRequest({"in0": ["a b", "x", [3], ["y", "z"], ""]})
    texts, lists = request.batches
    none = np.array([-1, -1])
    rows = {
        # "a b", "x" and ""; then ["y", "z"]. Id 9 is that of unknown tokens.
        0: (np.array([[1, 2], [9, -1], none]), [0, 1, 0], [2, 1, 0], [2, 0, 0]),
        1: (np.array([[9, 9]]), [2], [2], [0]),
    }
    for number, batch in enumerate((texts, lists)):
        ids, unknown, tokens, known = map(np.array, rows[number])
        outputs = {"ids": ids, "unknown": unknown}
        if version == "new":
            outputs |= {"tokens": tokens, "known": known}
        request.store(batch, outputs)
    assert request.counts == {"in0": TokenCounts(5, 3, 4, 2)}
    assert request.unknown_tokens == 3
    assert request.rows == {"in0": [[1, 2], [9], [3], [9, 9], []]}
