"""Tests of object2vec_tf/data/pairs.py: datasets of the pairs of a channel."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters

SETTINGS: dict[str, Any] = {
    "enc0_max_seq_len": 4,
    "enc0_vocab_size": 100,
    "enc1_network": "hcnn",
    "enc1_max_seq_len": 2,
    "enc1_vocab_size": 100,
    "mini_batch_size": 4,
}
SOFTMAX = Hyperparameters(**SETTINGS)
REGRESSION = Hyperparameters(**SETTINGS, output_layer="mean_squared_error")

Row = tuple[float, list[int], list[int]]

# Row i is (label, [i, ...], [i, ...]): the first token of its in1 identifies it.
ROWS: list[Row] = [(i % 2, [i] * (i % 5), [i] * (1 + i // 2 % 2)) for i in range(10)]


def write(path: Path, rows: list[Row]) -> Path:
    path.write_text(
        "".join(
            json.dumps({"label": label, "in0": in0, "in1": in1}) + "\n"
            for label, in0, in1 in rows
        )
    )
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    return read_pairs(write(tmp_path / "x.jsonl", ROWS), SOFTMAX)


def batches(dataset: tf.data.Dataset) -> list[list[Row]]:
    """The rows of each batch of one iteration."""
    return [
        list(
            zip(
                labels.numpy().tolist(),
                features["in0"].to_list(),
                features["in1"].to_list(),
                strict=True,
            )
        )
        for features, labels in dataset
    ]


def ids(dataset: tf.data.Dataset) -> list[list[int]]:
    """The numbers of the rows of each batch of one iteration."""
    return [[in1[0] for _, _, in1 in batch] for batch in batches(dataset)]


def test_without_shuffle_rows_keep_the_order_of_the_file(pairs: Pairs):
    assert len(pairs) == 10
    assert set(pairs.columns) == {"in0", "in1"}
    expected = [ROWS[0:4], ROWS[4:8], ROWS[8:10]]
    assert batches(pairs.dataset()) == expected
    assert batches(pairs.dataset(epoch=3, seed=5)) == expected


@pytest.mark.parametrize(
    ("batch_size", "count"), [(None, 3), (1, 10), (5, 2), (9, 2), (10, 1), (99, 1)]
)
def test_the_length_of_a_dataset_is_its_number_of_batches(
    pairs: Pairs, batch_size: int | None, count: int
):
    for shuffle in (False, True):
        dataset = pairs.dataset(batch_size, shuffle=shuffle)
        assert len(dataset) == count
        assert len(ids(dataset)) == count


@pytest.mark.parametrize(
    ("hyperparameters", "dtype"), [(SOFTMAX, tf.int64), (REGRESSION, tf.float32)]
)
def test_a_batch_has_ragged_ids_and_labels(
    tmp_path: Path, hyperparameters: Hyperparameters, dtype: tf.DType
):
    path = write(tmp_path / "x.jsonl", ROWS)
    dataset = read_pairs(path, hyperparameters).dataset()
    ragged = tf.RaggedTensorSpec([None, None], tf.int32, 1, tf.int64)
    features, labels = dataset.element_spec
    assert features == {"in0": ragged, "in1": ragged}
    assert labels == tf.TensorSpec([None], dtype)
    assert batches(dataset)[0] == ROWS[:4]


def test_labels_of_a_regression_are_those_of_the_file(tmp_path: Path):
    rows: list[Row] = [(0.5, [1], [1]), (-3.25, [2], [2]), (4.0, [3], [3])]
    path = write(tmp_path / "x.jsonl", rows)
    assert batches(read_pairs(path, REGRESSION).dataset()) == [rows]


def test_the_shards_of_a_batch_add_up_to_it(pairs: Pairs):
    arguments: dict[str, Any] = {"shuffle": True, "seed": 3, "epoch": 1}
    whole = list(pairs.dataset(4, **arguments))
    shards = [list(pairs.dataset(4, **arguments, shard=(i, 3))) for i in range(3)]
    assert [len(shard) for shard in shards] == [len(whole)] * 3
    for (inputs, labels), *parts in zip(whole, *shards, strict=True):
        counts = [int(part["shard"][1]) for part, _ in parts]
        assert [int(part["shard"][2]) for part, _ in parts] == [len(labels)] * 3
        joined = tf.concat([p[1][:n] for p, n in zip(parts, counts, strict=True)], 0)
        np.testing.assert_array_equal(joined, labels)
        for side in ("in0", "in1"):
            rows = [
                row
                for (part, _), count in zip(parts, counts, strict=True)
                for row in part[side].to_list()[:count]
            ]
            assert rows == inputs[side].to_list()


def test_shuffled_rows_are_the_rows_of_the_file_each_once(pairs: Pairs):
    got = list(itertools.chain(*batches(pairs.dataset(shuffle=True, seed=1))))
    assert got != ROWS
    assert sorted(got, key=lambda row: row[2]) == ROWS


def test_every_iteration_is_a_new_epoch_from_0(pairs: Pairs):
    counted = pairs.dataset(shuffle=True, seed=1)
    passes = [ids(counted) for _ in range(3)]
    fixed = [ids(pairs.dataset(shuffle=True, seed=1, epoch=e)) for e in range(3)]
    assert passes == fixed
    assert len({str(one) for one in passes}) == 3


def test_a_fixed_epoch_has_the_same_order_each_time(pairs: Pairs):
    dataset = pairs.dataset(shuffle=True, seed=1, epoch=7)
    assert ids(dataset) == ids(dataset)
    assert ids(dataset) != ids(pairs.dataset(shuffle=True, seed=2, epoch=7))


def test_autotuning_is_off_as_the_end_of_a_dataset_would_wait_for_it(pairs: Pairs):
    """TensorFlow's tuning thread sleeps for longer and longer, past the end."""
    assert pairs.dataset(shuffle=True).options().autotune.enabled is False


def test_repeat_reshuffles(pairs: Pairs):
    twice = ids(pairs.dataset(shuffle=True, seed=1).repeat(2))
    assert twice[:3] == ids(pairs.dataset(shuffle=True, seed=1, epoch=0))
    assert twice[3:] == ids(pairs.dataset(shuffle=True, seed=1, epoch=1))


def test_buckets_contain_rows_of_similar_lengths_of_both_inputs(pairs: Pairs):
    # in0 is 0 1 2 3 4 0 1 2 3 4 long, in1 1 1 2 2 1 1 2 2 1 1: width 2 puts in0's
    # 0-1, 2-3, 4 together, and in1's 1 apart from its 2.
    expected = [[0, 1, 5], [6], [8], [2, 3, 7], [4, 9]]
    dataset = pairs.dataset(bucket_width=2)
    assert ids(dataset) == expected
    assert len(dataset) == 5
    shuffled = pairs.dataset(shuffle=True, bucket_width=2)
    assert len(shuffled) == 5
    assert sorted(sorted(batch) for batch in ids(shuffled)) == sorted(expected)


def test_the_hyperparameters_bucket_width_applies_to_shuffled_data(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", ROWS)
    bucketed = read_pairs(path, Hyperparameters(**SETTINGS, bucket_width=2))
    assert ids(bucketed.dataset()) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(bucketed.dataset(shuffle=True)) == 5
    assert len(bucketed.dataset(shuffle=True, bucket_width=0)) == 3


def weighted(path: Path, *weights: Any, **more: Any) -> Pairs:
    """Pairs with the given weights; None leaves a weight out."""
    lines = [
        {"label": i % 2, "in0": [i], "in1": [i]}
        | ({} if weight is None else {"weight": weight})
        for i, weight in enumerate(weights)
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return read_pairs(path, SOFTMAX, **more)


@pytest.mark.parametrize("weights", [(2, 0, 0.5), (2, None, 0.5), (None, None, 3)])
def test_a_line_may_have_a_weight(tmp_path: Path, weights: tuple[float | None, ...]):
    pairs = weighted(tmp_path / "x.jsonl", *weights)
    expected = [1.0 if weight is None else weight for weight in weights]
    [(features, labels, batch_weights)] = pairs.dataset()
    assert labels.numpy().tolist() == [0, 1, 0]
    assert batch_weights.dtype == tf.float32
    assert batch_weights.numpy().tolist() == expected
    assert set(features) == {"in0", "in1"}


def test_weights_stay_with_their_rows(tmp_path: Path):
    pairs = weighted(tmp_path / "x.jsonl", *range(1, 12))
    weight_by_id = [
        (in0[0], weight)
        for features, _, weights in pairs.dataset(4, shuffle=True, seed=3)
        for in0, weight in zip(features["in0"].to_list(), weights.numpy(), strict=True)
    ]
    assert sorted(weight_by_id) == [(i, i + 1) for i in range(11)]
    [(_, _, weights)] = pairs.dataset(11, shard=(1, 2))
    assert weights.numpy().tolist() == [6, 7, 8, 9, 10, 11]
