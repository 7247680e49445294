import json
import shlex

import object2vec_tf as o2v
from export.serving.introduction import introduction

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 5,
    "enc0_max_seq_len": 2,
    "enc_dim": 4,
}
URL = "http://127.0.0.1:8080"


def request(text):
    """The body of the curl command in the lines."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if "curl" in line)
    words = shlex.split("\n".join(lines[start : start + 3]))
    assert words[:2] == ["curl", f"{URL}/invocations"]
    return json.loads(words[words.index("-d") + 1])


def test_a_request_to_try_is_shown():
    text = introduction(URL, o2v.Hyperparameters(**SETTINGS), 3)
    assert text.splitlines()[1] == (
        "model version 3: in0 or in1 -> embedding of 4 numbers; both -> 2 scores"
    )
    assert request(text) == {"instances": [{"in0": [1]}, {"in0": [1], "in1": [1]}]}
    assert max(map(len, text.splitlines())) <= 80


def test_text_is_shown_where_the_model_reads_text():
    text_settings = {"enc0_tokenizer": "whitespace", "enc0_vocab_file": "v.json"}
    hyperparameters = o2v.Hyperparameters(
        **SETTINGS, **text_settings, output_layer="mean_squared_error"
    )
    text = introduction(URL, hyperparameters, None)
    assert text.splitlines()[1].endswith("both -> score")
    assert request(text)["instances"][0] == {"in0": "some words"}


def test_a_model_that_was_not_reached_has_no_request():
    assert introduction(URL, None, None) == "\nCtrl-C stops it."
