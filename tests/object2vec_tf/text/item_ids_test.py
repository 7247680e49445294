"""Tests of ids of any kind; the oracle is a dictionary of decimal and literal texts."""

import itertools
import json
import random

import pytest
import tensorflow as tf

from object2vec_tf.text.item_ids import item_ids
from object2vec_tf.text.tokenized_rows import token_ids
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer

BIG = 2**64 + 3
WORDS = ["3", "sku 9/A", "SKU 9/A", str(BIG), "-7", "0042", "日本 é", "a\tb\nc", " x "]
ITEMS = [3, "3", BIG, str(BIG), -7, "-7", 42, "0042", "sku 9/A", "日本 é", "a\tb\nc"]
ITEMS += ["Sku 9/A", "x", " x ", "", -BIG, 0, "+3", "3.0", "\0"]


def make(words, buckets=0):
    ids = {word: i for i, word in enumerate(words)}
    tokenization = Tokenization("id", num_oov_buckets=buckets)
    return Tokenizer(tokenization, json.dumps(ids).encode())


def rows_of(column):
    splits = column.row_splits.tolist()
    return [column.values[a:b].tolist() for a, b in itertools.pairwise(splits)]


def random_rows():
    choice = random.Random(5)
    rows = [choice.choices(ITEMS, k=n % 5) for n in range(200)]
    return [*rows, *ITEMS, [], [""]]


@pytest.mark.parametrize("unknown", [[], ["[UNK]"]])
@pytest.mark.parametrize("buckets", [0, 4])
def test_ids_are_looked_up_by_their_text(unknown, buckets):
    words = [*unknown, *WORDS]
    tokenizer = make(words, buckets)
    known = {word: i for i, word in enumerate(words)}

    def expected(item):
        if buckets:
            # FarmHash by TensorFlow's op, which the served model has too.
            bucket = tf.strings.to_hash_bucket_fast([str(item)], buckets)
            return known.get(str(item), len(words) + int(bucket[0]))
        return known.get(str(item), 0 if unknown else None)

    rows = random_rows()
    lists = [row if isinstance(row, list) else [row] for row in rows]
    column, count = item_ids(tokenizer, rows)
    ids = [[expected(item) for item in row if item != ""] for row in lists]
    assert rows_of(column) == [[i for i in row if i is not None] for row in ids]
    flat = [str(item) for row in lists for item in row if item != ""]
    assert count == sum(item not in known for item in flat) > 50


@pytest.mark.parametrize("buckets", [0, 4])
def test_the_ops_of_the_served_model_return_the_same(buckets):
    tokenizer = make(["[UNK]", *WORDS], buckets)
    rows = random_rows()
    column, count = token_ids(tokenizer, rows)
    texts = [
        [str(i) for i in row] if isinstance(row, list) else [str(row)] for row in rows
    ]
    items = tf.ragged.constant(texts, dtype=tf.string, ragged_rank=1)
    ids, unknown = tokenizer.of_lists(items)
    assert ids.to_list() == rows_of(column)
    assert int(tf.reduce_sum(unknown)) == count
    single = [str(item) for item in ITEMS]
    ids, _ = tokenizer.of_texts(tf.constant(single))
    assert ids.to_list() == rows_of(column)[200 : 200 + len(ITEMS)]


def test_a_vocabulary_without_unknown_token_drops_unknown_ids():
    column, count = item_ids(make(["a", "5"]), [["a", 4, 5, "b"], 6, []])
    assert rows_of(column) == [[0, 1], [], []]
    assert (count, column.values.dtype) == (3, "int32")
