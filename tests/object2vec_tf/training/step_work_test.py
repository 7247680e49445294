import pytest
import tensorflow as tf

from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.training.step_work import (
    mean_lengths,
    small_step_message,
    step_work,
)

SMALL = {
    "enc0_vocab_size": 1000,
    "enc0_max_seq_len": 9,
    "enc_dim": 8,
    "mlp_layers": 1,
    "mlp_dim": 10,
    "num_classes": 2,
    "mini_batch_size": 4,
    "optimizer": "adam",
}
POOLED = SMALL | {"enc0_network": "pooled_embedding"}
# hadamard, concat and abs_diff of encodings of 8 values, to 10, to 2.
COMPARATOR = 32 * 10 + 10 * 2


def test_pooled_model_by_hand():
    work = step_work(Hyperparameters(**POOLED), (3, 5))

    # Forward, and backward by inputs and weights, 2 operations per weight and pair.
    assert work.flops == 3 * 2 * 4 * COMPARATOR
    # Weights, two moments and a gradient are read and written; tables are dense. Each
    # of 12 + 20 tokens reads a vector and writes its gradient.
    values = 8 * COMPARATOR + 8 * 2 * 1000 * 8 + 2 * (12 + 20) * 8
    assert work.bytes == 4 * values


def test_rows_of_tied_tables_are_counted_once():
    settings = POOLED | {
        "token_embedding_storage_type": "row_sparse",
        "tied_token_embedding_weight": True,
        "enc0_vocab_size": 20,
        "optimizer": "sgd",
    }
    work = step_work(Hyperparameters(**settings), (3, 5))

    # 12 rows of in0; in1 can use 8 further ones.
    assert work.bytes == 4 * (4 * COMPARATOR + 4 * 20 * 8 + 2 * (12 + 20) * 8)


def test_row_wise_adagrad_keeps_no_value_for_a_weight_of_a_table():
    settings = POOLED | {"optimizer": "rowwise_adagrad"}
    work = step_work(Hyperparameters(**settings), (3, 5))

    assert work.bytes == 4 * (6 * COMPARATOR + 4 * 2 * 1000 * 8 + 2 * (12 + 20) * 8)


@pytest.mark.parametrize(
    ("more", "rows"),
    [
        # 8 n-grams of two lengths for each word.
        ({}, 12 + 12 * 8 + 20 + 20 * 8),
        ({"tied_token_embedding_weight": True}, 32 + 32 * 8),
        # At most one row for each bucket.
        (
            {"tied_token_embedding_weight": True, "enc0_subword_buckets": 100},
            32 + 100,
        ),
        ({"token_embedding_storage_type": "dense"}, 2 * (1000 + 5000)),
    ],
)
def test_rows_of_ngrams_are_counted(more, rows):
    settings = POOLED | {
        "token_embedding_storage_type": "row_sparse",
        "optimizer": "sgd",
        "enc0_tokenizer": "whitespace",
        "enc0_vocab_file": "words.json",
        "enc1_vocab_file": "words.json",
        "enc0_subword_ngrams": "3..4",
        "enc0_subword_buckets": 5000,
    }
    work = step_work(Hyperparameters(**settings | more), (3, 5))

    assert work.bytes == 4 * (4 * COMPARATOR + 4 * rows * 8 + 2 * (12 + 20) * 8)


def test_negatives_and_the_in_batch_softmax_add_products():
    settings = POOLED | {"negative_sampling_rate": 2, "objective": "in_batch_softmax"}
    work = step_work(Hyperparameters(**settings), (3, 5))

    assert work.flops == 3 * 2 * (4 * 3 * COMPARATOR + 4 * 4 * 8)


@pytest.mark.parametrize(
    ("network", "weights"),
    [
        # Filters of 3 steps: 6 to 4 channels, then 4 to 4.
        ("hcnn", 3 * 6 * 4 + 3 * 4 * 4),
        # Two directions of 4 units with 4 gates each: inputs of 6, then of 8.
        ("bilstm", 2 * 16 * (6 + 4) + 2 * 16 * (8 + 4)),
    ],
)
def test_encoders_multiply_each_token_by_their_weights(network, weights):
    settings = SMALL | {
        "enc0_network": network,
        "enc0_layers": 2,
        "enc0_token_embedding_dim": 6,
    }
    work = step_work(Hyperparameters(**settings), (3, 5))

    assert work.flops == 3 * 2 * (4 * COMPARATOR + 4 * (3 + 5) * weights)


def test_default_hcnn_is_not_small_and_the_example_of_movielens_is():
    # 0.48 TFLOP, by the hand calculation of the encoders alone.
    large = Hyperparameters(
        enc0_vocab_size=20000, enc0_max_seq_len=82, mini_batch_size=256
    )
    small = Hyperparameters(**POOLED | {"enc_dim": 64, "mini_batch_size": 64})

    work = step_work(large, (15, 15))

    filters = 3 * 300 * 1024 + 3 * 3 * 1024 * 1024
    assert work.flops == pytest.approx(6 * 256 * 30 * filters, rel=0.05)
    assert not work.is_small
    assert step_work(small, (1, 1)).is_small


def test_a_hint_where_a_gpu_trains_a_small_model(tmp_path, monkeypatch):
    path = tmp_path / "train.jsonl"
    path.write_text('{"in0": [1], "in1": [2, 3], "label": 1}\n' * 2)
    pairs = read_pairs(path, Hyperparameters(**POOLED))

    assert mean_lengths(pairs) == (1, 2)
    assert small_step_message(pairs) is None
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["GPU:0"])
    assert "--device=cpu" in small_step_message(pairs)
    large = Hyperparameters(**POOLED | {"enc0_vocab_size": 1000000})
    assert small_step_message(read_pairs(path, large)) is None
