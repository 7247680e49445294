"""Tests of object2vec_tf/text/conversion.py, and of the lines that it rejects."""

import json

import pytest

from object2vec_tf.errors import DataError
from object2vec_tf.text.conversion import decode, encode
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer
from object2vec_tf.text.vocabulary_builder import build_vocabulary

WHITESPACE = Tokenization("whitespace")


def test_encoded_lines_keep_other_fields_and_decode_to_the_words(corpus, tmp_path):
    path = corpus.path
    words = build_vocabulary(path, ["in0", "in1"], WHITESPACE, max_size=60).words
    ids = {word: i for i, word in enumerate([*words, "[UNK]"])}
    tokenizer = Tokenizer(WHITESPACE, json.dumps(ids).encode())
    encoded, decoded = tmp_path / "ids.jsonl", tmp_path / "words.jsonl"
    lines, unknown = encode(path, encoded, {"in0": tokenizer, "in1": tokenizer})
    texts = [json.loads(line) for line in path.read_text().splitlines() if line]
    sides = [
        [row[s].split() if isinstance(row[s], str) else row[s] for s in ("in0", "in1")]
        for row in texts
    ]
    flat = [word for row in sides for side in row for word in side]
    assert (lines, unknown) == (600, sum(word not in ids for word in flat))
    assert [json.loads(line) for line in encoded.read_text().splitlines()] == [
        {
            "in0": [ids.get(word, 60) for word in in0],
            "in1": [ids.get(word, 60) for word in in1],
            "label": row["label"],
        }
        for (in0, in1), row in zip(sides, texts, strict=True)
    ]
    assert decode(encoded, decoded, {"in0": ids}) == 600
    for line, (in0, _) in zip(decoded.read_text().splitlines(), sides, strict=True):
        known = [word if word in ids else "[UNK]" for word in in0]
        assert json.loads(line)["in0"] == known


def line_of(field):
    return json.dumps({"in0": "a", "in1": [1]} | field) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (line_of({}) + "\nx\n", ":3: is not JSON: "),
        (line_of({}) + "[1]\n", ":2: expected one object per line such as "),
        (
            "\n" + line_of({"in0": 3}),
            ":2: in0: expected a string or a list of strings, got 3",
        ),
        (
            line_of({}) * 2 + line_of({"in0": ["a", 1]}),
            ':3: in0: expected a string or a list of strings, got ["a",1]. ',
        ),
        (
            line_of({}) + '{"in1": [1]}\n',
            ":2: in0: expected a string or a list of strings, got no s",
        ),
        (line_of({}) + '{"in0": "\xff"}\n', ":2: is not UTF-8: got byte 0xff"),
    ],
)
def test_an_invalid_line_is_rejected_and_nothing_is_written(tmp_path, text, message):
    path, out = tmp_path / "in.jsonl", tmp_path / "out"
    path.write_bytes(text.encode("latin-1"))
    tokenizer = Tokenizer(WHITESPACE, b"a")
    for run in (
        lambda: build_vocabulary(path, ["in0"], WHITESPACE),
        lambda: encode(path, out, {"in0": tokenizer}),
    ):
        with pytest.raises(DataError) as error:
            run()
        assert f"in.jsonl{message}" in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0, 7], "in0[1]: expected a token id of the vocabulary, got 7. Give the v"),
        ([True], "in0[0]: expected a token id of the vocabulary, got true"),
        ("a", 'in0: expected a list of token ids, got "a". '),
    ],
)
def test_invalid_ids_are_rejected(tmp_path, ids, message):
    path = tmp_path / "ids.jsonl"
    path.write_text(line_of({"in0": []}) + line_of({"in0": ids}))
    with pytest.raises(DataError) as error:
        decode(path, tmp_path / "out", {"in0": {"a": 0}})
    assert f"ids.jsonl:2: {message}" in str(error.value)
