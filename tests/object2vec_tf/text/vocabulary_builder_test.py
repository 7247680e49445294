"""Tests of object2vec_tf/text/vocabulary_builder.py; the oracle is plain Python."""

import collections
import json

import numpy as np
import pytest

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer
from object2vec_tf.text.vocabulary_builder import build_vocabulary

WHITESPACE = Tokenization("whitespace")


@pytest.mark.parametrize("options", [{}, {"max_counters": 50}])
def test_words_are_sorted_by_count_in_memory_and_on_disk(corpus, tmp_path, options):
    path, words, ordered = corpus.path, corpus.words, corpus.words_by_count
    counts = collections.Counter(words)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def build(**settings):
        fields = ["in0", "in1"]
        return build_vocabulary(
            path, fields, WHITESPACE, scratch=scratch, **options, **settings
        )

    complete = build()
    assert complete.words == ordered
    assert (complete.tokens, complete.distinct) == (len(words), len(ordered))
    assert complete.covered == len(words)
    limited = build(max_size=30, reserved=["[UNK]", "cc"])
    others = [word for word in ordered if word != "cc"]
    assert limited.words == ["[UNK]", "cc", *others[:28]]
    assert limited.covered == sum(counts[word] for word in limited.words)
    frequent = build(min_count=9)
    assert frequent.words == [word for word in ordered if counts[word] >= 9]
    assert not list(scratch.iterdir())


def test_an_item_of_a_list_is_one_normalized_token(tmp_path):
    path = tmp_path / "tags.jsonl"
    path.write_text('{"in0": ["Red Wine", "", "x\\ty"]}\n{"in0": "red wine"}\n')
    tokenization = Tokenization("whitespace", lowercase=True)
    vocabulary = build_vocabulary(path, ["in0"], tokenization)
    assert vocabulary.words == ["red", "red wine", "wine", "x y"]


def test_an_object_of_several_pairs_can_be_counted_once(tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = ["a rare word", "a rare word", "a text", ["a", "x"], ["a", "x"], "a x", "ax"]
    path.write_text("".join(json.dumps({"in0": row}) + "\n" for row in rows))

    def build(**settings):
        return build_vocabulary(path, ["in0"], WHITESPACE, min_count=2, **settings)

    assert build().words == ["a", "x", "rare", "word"]
    once = build(distinct=True)  # counted once: "a rare word" and ["a", "x"]
    assert (once.words, once.tokens, once.covered) == (["a", "x"], 10, 6)


def test_wordpieces_compose_the_words_they_are_learned_from(tmp_path):
    words = ["walk", "walks", "walked", "talk", "talks", "talked"] * 30
    path = tmp_path / "words.jsonl"
    path.write_text("".join(json.dumps({"in0": word}) + "\n" for word in words))
    vocabulary = build_vocabulary(
        path, ["in0"], Tokenization("wordpiece"), max_size=25, reserved=["[UNK]"]
    )
    assert vocabulary.words[0] == "[UNK]"
    assert len(vocabulary.words) <= 25
    ids = {word: i for i, word in enumerate(vocabulary.words)}
    tokenizer = Tokenizer(Tokenization("wordpiece"), json.dumps(ids).encode())
    found, unknown = tokenizer.of_texts(np.array(words, object))
    assert not unknown.numpy().any()
    for word, pieces in zip(words, found.to_list(), strict=True):
        parts = [vocabulary.words[piece].removeprefix("##") for piece in pieces]
        assert "".join(parts) == word


def test_input_without_tokens_is_rejected(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"in0": ""}\n')
    with pytest.raises(DataError, match="in0: expected at least one token"):
        build_vocabulary(path, ["in0"], WHITESPACE)
    with pytest.raises(UserError, match="max_size: expected more than the 2 reserved"):
        build_vocabulary(path, ["in0"], WHITESPACE, max_size=2, reserved=["a", "b"])


@pytest.mark.parametrize("max_counters", [1, 1000])
def test_ids_of_any_kind_are_counted_by_their_text(tmp_path, max_counters):
    path = tmp_path / "ids.jsonl"
    rows = [[3, "3", 2**70], "a\tb\nc", ["\\n", "\\", "Red  Wine", ""], 3, [str(2**70)]]
    path.write_text("".join(json.dumps({"in0": row}) + "\n" for row in rows))
    vocabulary = build_vocabulary(
        path, ["in0"], Tokenization("id"), max_counters=max_counters, scratch=tmp_path
    )
    once = sorted(["a\tb\nc", "\\n", "\\", "Red  Wine"])
    assert vocabulary.words == ["3", str(2**70), *once]
    assert (vocabulary.tokens, vocabulary.distinct, vocabulary.covered) == (9, 6, 9)


@pytest.mark.parametrize(
    "value", ["1.5", "9007199254740993.0", "null", "true", "[1]", "{}"]
)
def test_what_is_not_an_id_is_rejected_with_its_place(tmp_path, value):
    path = tmp_path / "ids.jsonl"
    path.write_text(f'{{"in0": 1}}\n{{"in0": [1, "a", {value}]}}\n')
    message = r"ids.jsonl:2: in0\[2\]: expected an integer or a string as an id, got "
    with pytest.raises(DataError, match=message):
        build_vocabulary(path, ["in0"], Tokenization("id"))
