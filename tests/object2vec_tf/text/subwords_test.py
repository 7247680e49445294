"""Tests of object2vec_tf/text/subwords.py; expected values are from fastText itself."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.ragged.token_ids import SubwordIds
from object2vec_tf.text.item_ids import integer_ids
from object2vec_tf.text.subwords import (
    MAX_CHARACTERS,
    ngram_buckets,
    vocabulary_ngrams,
    with_ngrams,
)
from object2vec_tf.text.tokenized_rows import token_ids
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer
from tests.fasttext_ngrams import buckets_of

FASTTEXT = Path("tests/fixtures/fasttext_subwords.json")
SUBWORDS = SubwordIds(vocab_size=100, shortest=3, longest=4, buckets=1000)


@pytest.mark.parametrize("setting", ["3,6,2000000", "1,3,777", "5,6,200000"])
def test_n_grams_are_those_of_fasttext_for_924_words(setting):
    fixture = json.loads(FASTTEXT.read_text(encoding="utf-8"))
    shortest, longest, buckets = map(int, setting.split(","))
    subwords = SubwordIds(len(fixture["words"]), shortest, longest, buckets)
    words = {word: id_ for id_, word in enumerate(fixture["words"])}
    assert len(words) == 924
    column = vocabulary_ngrams(words, subwords)
    found = [
        zlib.crc32(" ".join(map(str, column.rows(i, i + 1).values)).encode())
        for i in range(len(words))
    ]
    assert found == fixture["crc32"][setting]


def test_n_grams_of_one_word_in_the_order_of_fasttext():
    # get_subwords("über") of fasttext-wheel 0.9.2, with minn=1, maxn=4, bucket=1000
    # and 11 words.
    ids = [399, 93, 280, 741, 939, 538, 538, 88, 243, 377, 67, 755, 457, 851, 992, 364]
    subwords = SubwordIds(11, shortest=1, longest=4, buckets=1000)
    found = ngram_buckets(tf.constant(["über"]), subwords)
    assert found.to_list() == [[id_ - 11 for id_ in ids]]


def test_no_words_words_without_n_grams_and_bytes_that_are_no_utf8():
    assert ngram_buckets(tf.constant([], tf.string), SUBWORDS).to_list() == []
    subwords = SubwordIds(9, shortest=4, longest=5, buckets=77)
    words = [b"a", b"\xff\x80b", b"\x80", b"ok"]
    found = ngram_buckets(tf.constant(words), subwords)
    assert found.to_list() == [buckets_of(word, subwords) for word in words]
    assert found.row_lengths().numpy().tolist() == [0, 1, 0, 1]


def test_n_grams_begin_in_the_first_characters_of_a_long_word():
    word = "é" * (MAX_CHARACTERS + 50)
    (found,) = ngram_buckets(tf.constant([word]), SUBWORDS).to_list()
    assert found == buckets_of(word.encode(), SUBWORDS)[: 2 * MAX_CHARACTERS]


def test_special_words_and_ids_without_a_word_have_no_n_grams():
    words = {"[UNK]": 0, "</s>": 1, "<unk>": 2, "<UNK>": 3, "cat": 5}
    subwords = SubwordIds(8, shortest=3, longest=3, buckets=1000)
    lengths = vocabulary_ngrams(words, subwords).lengths
    assert lengths.tolist() == [0, 0, 0, 0, 0, 3, 0, 0]


def tokenizer(kind, words, **options):
    tokenization = Tokenization(kind, subwords=SUBWORDS, **options)
    return Tokenizer(tokenization, json.dumps(words).encode())


def run_of(word):
    """The ids of a word that the vocabulary lacks."""
    first, *others = buckets_of(word.encode(), SUBWORDS)
    return [100 + first, *(1100 + bucket for bucket in others)]


@pytest.mark.parametrize(
    "in_graph", [False, pytest.param(True, marks=pytest.mark.long)]
)
def test_an_unknown_word_is_the_run_of_its_n_grams(in_graph):
    words = tokenizer("whitespace", {"[UNK]": 0, "the": 1, "cat": 2}, lowercase=True)
    convert = tf.function(words.of_texts) if in_graph else words.of_texts
    ids, unknown = convert(tf.constant(["The Über cat", "the", "", "猫 dogs"]))
    assert ids.to_list() == [
        [1, *run_of("über"), 2],
        [1],
        [],
        [*run_of("猫"), *run_of("dogs")],
    ]
    assert unknown.numpy().tolist() == [1, 0, 0, 2]
    lists, _ = words.of_lists(tf.ragged.constant([["the", "two words", ""], ["the"]]))
    assert lists.to_list() == [[1, *run_of("two words")], [1]]


@pytest.mark.parametrize(("unknown_id", "expected"), [(7, [3, 7, 7]), (None, [3])])
def test_a_word_without_n_grams_is_unknown_or_dropped(unknown_id, expected):
    subwords = SubwordIds(100, shortest=4, longest=6, buckets=10)
    words = tf.ragged.constant([["b", "a", "c"], []], dtype=tf.string)
    ids = tf.ragged.constant([[3, -1, -1], []], dtype=tf.int64)
    found = with_ngrams(words, ids, subwords, unknown_id)
    assert found.to_list() == [expected, []]


def test_integers_and_strings_as_ids_have_the_n_grams_of_their_text():
    items = tokenizer("id", {"17": 0, "sku-7": 1})
    column, unknown = token_ids(items, [[17, 1234567, "sku-8"], "sku-7", []])
    assert column.values.tolist() == [0, *run_of("1234567"), *run_of("sku-8"), 1]
    assert (column.lengths[1:].tolist(), unknown) == ([1, 0], 2)
    integers, _ = token_ids(items, [[17], [1234567]])
    values = np.array([17, 1234567], np.int32)
    found, unknown = integer_ids(items, type(integers)(values, np.array([0, 1, 2])))
    assert (
        found.values.tolist()
        == integers.values.tolist()
        == column.values.tolist()[: len(found.values)]
    )
    assert unknown == 1
