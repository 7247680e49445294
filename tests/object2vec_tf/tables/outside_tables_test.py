"""Tests of object2vec_tf/tables/outside_tables.py."""

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.errors import UserError
from object2vec_tf.tables.outside_tables import (
    are_outside,
    open_tables,
    outside_tables,
    tables_by_side,
)
from object2vec_tf.tables.parquet_writer import write_parquet_table
from object2vec_tf.tables.table_reader import ArrayReader

HCNN = {"enc0_network": "hcnn", "enc0_token_embedding_dim": 6}
OTHER = {"enc1_vocab_size": 30, "enc1_max_seq_len": 2}


def hyperparameters(**more):
    settings = {
        "enc0_network": "pooled_embedding",
        "enc0_vocab_size": 50,
        "enc0_max_seq_len": 3,
        "enc_dim": 4,
    }
    return o2v.Hyperparameters(**settings | more)


TIED = {"tied_token_embedding_weight": True}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (TIED, [("enc0", (0, 1), 50, 4)]),
        ({"pooling": "weighted"} | TIED, [("enc0", (0, 1), 50, 5)]),
        (
            {"tied_token_embedding_weight": False},
            [("enc0", (0,), 50, 4), ("enc1", (1,), 50, 4)],
        ),
        (
            HCNN | OTHER | {"enc1_network": "pooled_embedding", "pooling": "weighted"},
            [("enc0", (0,), 50, 6), ("enc1", (1,), 30, 5)],
        ),
    ],
)
def test_each_table_has_the_rows_and_columns_of_its_layers(settings, expected):
    tables = outside_tables(hyperparameters(**settings))
    assert [(x.name, x.sides, x.rows, x.width) for x in tables] == expected


def test_tables_above_the_limit_are_outside():
    tied = hyperparameters(**TIED)  # 50 rows of 4 numbers: 800 bytes
    assert are_outside(tied, 0)
    assert are_outside(tied, 7.99e-7)
    assert not are_outside(tied, 8e-7)


SUBWORDS = {
    "enc0_tokenizer": "whitespace",
    "enc0_vocab_file": "words",
    "enc0_subword_ngrams": "3..4",
    "enc0_subword_buckets": 5,
}


def test_subwords_are_never_outside():
    with_subwords = hyperparameters(**SUBWORDS)
    assert not are_outside(with_subwords, 8.0)
    with pytest.raises(UserError, match=r"table_limit: expected at least 0\.01 GB for"):
        are_outside(with_subwords, 0)


def test_the_limit_in_the_message_is_sufficient():
    # 1,000,001 rows of 4 numbers: 16.000016 MB
    settings = SUBWORDS | {**TIED, "enc0_vocab_size": 1_000_001}
    with_subwords = hyperparameters(**settings)
    with pytest.raises(UserError, match=r"at least 0\.02 GB .* got 0\.016\. Raise"):
        are_outside(with_subwords, 0.016)
    assert not are_outside(with_subwords, 0.02)


def test_tables_of_another_model_are_rejected(tmp_path):
    write_parquet_table(ArrayReader(np.zeros([50, 3])), tmp_path / "enc0")
    with pytest.raises(UserError, match=r"enc0: expected 50 rows of 4 numbers, .* 3\."):
        open_tables(hyperparameters(**TIED), tmp_path)


def test_both_sides_share_a_tied_table():
    table = ArrayReader(np.zeros([50, 4]))
    assert tables_by_side(hyperparameters(**TIED), {"enc0": table}) == {
        0: table,
        1: table,
    }
