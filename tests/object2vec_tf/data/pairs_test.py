"""Tests of object2vec_tf/data/pairs.py: channels read, and datasets made of them."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.data.pairs import Pairs, read_pairs
from object2vec_tf.errors import DataError
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

# Row i is (label, [i, ...], [i, ...]): its in1's first token tells which row it is.
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
    """The rows of each batch of one pass."""
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
    """Which rows make each batch of one pass."""
    return [[in1[0] for _, _, in1 in batch] for batch in batches(dataset)]


def test_without_shuffle_rows_come_in_the_order_of_the_file(pairs: Pairs):
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
def test_a_batch_is_ragged_ids_and_labels(
    tmp_path: Path, hyperparameters: Hyperparameters, dtype: tf.DType
):
    path = write(tmp_path / "x.jsonl", ROWS)
    dataset = read_pairs(path, hyperparameters).dataset()
    ragged = tf.RaggedTensorSpec([None, None], tf.int32, 1, tf.int64)
    features, labels = dataset.element_spec
    assert features == {"in0": ragged, "in1": ragged}
    assert labels == tf.TensorSpec([None], dtype)
    assert batches(dataset)[0] == ROWS[:4]


def test_labels_of_a_regression_are_the_files(tmp_path: Path):
    rows: list[Row] = [(0.5, [1], [1]), (-3.25, [2], [2]), (4.0, [3], [3])]
    path = write(tmp_path / "x.jsonl", rows)
    assert batches(read_pairs(path, REGRESSION).dataset()) == [rows]


def test_the_shards_of_a_batch_add_up_to_it(pairs: Pairs):
    how: dict[str, Any] = {"shuffle": True, "seed": 3, "epoch": 1}
    whole = list(pairs.dataset(4, **how))
    shards = [list(pairs.dataset(4, **how, shard=(i, 3))) for i in range(3)]
    assert [len(each) for each in shards] == [len(whole)] * 3
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


def test_shuffled_rows_are_the_files_rows_each_once(pairs: Pairs):
    got = list(itertools.chain(*batches(pairs.dataset(shuffle=True, seed=1))))
    assert got != ROWS
    assert sorted(got, key=lambda row: row[2]) == ROWS


def test_every_pass_is_a_new_epoch_counted_from_0(pairs: Pairs):
    counted = pairs.dataset(shuffle=True, seed=1)
    passes = [ids(counted) for _ in range(3)]
    fixed = [ids(pairs.dataset(shuffle=True, seed=1, epoch=e)) for e in range(3)]
    assert passes == fixed
    assert len({str(one) for one in passes}) == 3


def test_a_fixed_epoch_comes_the_same_each_time(pairs: Pairs):
    dataset = pairs.dataset(shuffle=True, seed=1, epoch=7)
    assert ids(dataset) == ids(dataset)
    assert ids(dataset) != ids(pairs.dataset(shuffle=True, seed=2, epoch=7))


def test_nothing_tunes_a_dataset_whose_end_would_wait_for_it(pairs: Pairs):
    """TensorFlow's thread sleeps for longer and longer, also through the end."""
    assert pairs.dataset(shuffle=True).options().autotune.enabled is False


def test_repeat_reshuffles(pairs: Pairs):
    twice = ids(pairs.dataset(shuffle=True, seed=1).repeat(2))
    assert twice[:3] == ids(pairs.dataset(shuffle=True, seed=1, epoch=0))
    assert twice[3:] == ids(pairs.dataset(shuffle=True, seed=1, epoch=1))


def test_buckets_hold_rows_of_like_lengths_on_both_sides(pairs: Pairs):
    # in0 is 0 1 2 3 4 0 1 2 3 4 long, in1 1 1 2 2 1 1 2 2 1 1: width 2 puts in0's
    # 0-1, 2-3, 4 together, and in1's 1 apart from its 2.
    expected = [[0, 1, 5], [6], [8], [2, 3, 7], [4, 9]]
    dataset = pairs.dataset(bucket_width=2)
    assert ids(dataset) == expected
    assert len(dataset) == 5
    shuffled = pairs.dataset(shuffle=True, bucket_width=2)
    assert len(shuffled) == 5
    assert sorted(sorted(batch) for batch in ids(shuffled)) == sorted(expected)


def test_the_hyperparameters_buckets_are_for_shuffled_data(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", ROWS)
    bucketed = read_pairs(path, Hyperparameters(**SETTINGS, bucket_width=2))
    assert ids(bucketed.dataset()) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(bucketed.dataset(shuffle=True)) == 5
    assert len(bucketed.dataset(shuffle=True, bucket_width=0)) == 3


def test_long_rows_are_cut_and_counted_by_side_and_empty_ones_counted(tmp_path: Path):
    rows: list[Row] = [
        (0, [1, 2, 3, 4, 5], [1, 2]),
        (1, [1, 2, 3, 4], [1, 2, 3]),
        (1, [], [1, 2, 3, 4]),
        (0, [], []),
        (0, [9] * 50, [7, 8, 9]),
        (1, [4], [5]),
    ]
    pairs = read_pairs(write(tmp_path / "x.jsonl", rows), SOFTMAX)
    assert pairs.report.truncated == {"in0": 2, "in1": 3}
    assert pairs.report.empty == {"in0": 2, "in1": 1}
    assert batches(pairs.dataset(6)) == [
        [(label, in0[:4], in1[:2]) for label, in0, in1 in rows]
    ]


def test_an_id_beyond_the_length_that_is_read_is_still_checked(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", [(0, [1, 1, 1, 1, 1, 100], [1])])
    with pytest.raises(DataError, match=r"x.jsonl:1: in0\[5\] is 100, not below"):
        read_pairs(path, SOFTMAX)


def test_several_files_are_read_in_order(tmp_path: Path):
    first = write(tmp_path / "b.jsonl", ROWS[:3])
    second = write(tmp_path / "a.jsonl", ROWS[3:])
    pairs = read_pairs([first, second], SOFTMAX)
    assert pairs.report.files == (first, second)
    assert batches(pairs.dataset(10)) == [ROWS]


def test_a_bad_line_in_a_second_file_is_told_by_its_own_number(tmp_path: Path):
    first = write(tmp_path / "a.jsonl", ROWS)
    second = write(tmp_path / "b.jsonl", [*ROWS[:2], (2, [1], [1])])
    with pytest.raises(DataError) as raised:
        read_pairs(tmp_path, SOFTMAX)
    assert str(raised.value).startswith(f"{second}:3: label is 2, expected")
    assert str(first) not in str(raised.value)


def test_the_budget_of_bad_lines_is_the_channels(tmp_path: Path):
    bad: Row = (2, [1], [1])
    first = write(tmp_path / "a.jsonl", [ROWS[0], bad, ROWS[1]])
    second = write(tmp_path / "b.jsonl", [bad, ROWS[2]])
    pairs = read_pairs(tmp_path, SOFTMAX, max_bad_lines=2)
    assert batches(pairs.dataset()) == [ROWS[:3]]
    told = [message.split(": ")[0] for message in pairs.report.bad_lines]
    assert told == [f"{first}:2", f"{second}:1"]
    with pytest.raises(DataError, match=f"^{second}:1: .*bad line 2 of the channel"):
        read_pairs(tmp_path, SOFTMAX, max_bad_lines=1)


@pytest.mark.parametrize("content", [b"", b"\n", b"\n \r\n\n", b"\xef\xbb\xbf"])
def test_a_channel_without_pairs_is_an_error(tmp_path: Path, content: bytes):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"^test: .*x.jsonl: holds no pairs; expected"):
        read_pairs(path, SOFTMAX, channel="test")


def test_a_channel_of_tolerated_bad_lines_alone_is_an_error(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", [(2, [1], [1])])
    with pytest.raises(DataError, match="holds no pairs"):
        read_pairs(path, SOFTMAX, max_bad_lines=5)


def test_an_empty_file_beside_a_full_one_is_no_error(tmp_path: Path):
    write(tmp_path / "a.jsonl", [])
    write(tmp_path / "b.jsonl", ROWS)
    assert len(read_pairs(tmp_path, SOFTMAX)) == 10


def test_the_fingerprint_is_of_the_channels_bytes(tmp_path: Path):
    first = write(tmp_path / "a.jsonl", ROWS)
    same = write(tmp_path / "b.jsonl", ROWS)
    changed = write(tmp_path / "c.jsonl", [*ROWS[:-1], (0, *ROWS[-1][1:])])
    marks = [
        read_pairs(source, SOFTMAX).report.fingerprint
        for source in (first, same, changed, [first, changed], [changed, first])
    ]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 4


def test_labels_keep_their_dtype_in_memory(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", ROWS)
    assert read_pairs(path, SOFTMAX).labels.dtype == np.int64
    assert read_pairs(path, REGRESSION).labels.dtype == np.float32


def weighted(path: Path, *weights: Any, **more: Any) -> Pairs:
    """Pairs of which the i-th has the i-th weight; None leaves it out."""
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
    [(features, labels, told)] = pairs.dataset()
    assert labels.numpy().tolist() == [0, 1, 0]
    assert told.dtype == tf.float32
    assert told.numpy().tolist() == expected
    assert set(features) == {"in0", "in1"}


def test_weights_go_with_their_rows(tmp_path: Path):
    pairs = weighted(tmp_path / "x.jsonl", *range(1, 12))
    told = [
        (in0[0], weight)
        for features, _, weights in pairs.dataset(4, shuffle=True, seed=3)
        for in0, weight in zip(features["in0"].to_list(), weights.numpy(), strict=True)
    ]
    assert sorted(told) == [(i, i + 1) for i in range(11)]
    [(_, _, shared)] = pairs.dataset(11, shard=(1, 2))
    assert shared.numpy().tolist() == [6, 7, 8, 9, 10, 11]


def test_weights_of_one_file_of_several(tmp_path: Path):
    write(tmp_path / "a.jsonl", ROWS[:2])
    weighted(tmp_path / "b.jsonl", 3, 4)
    pairs = read_pairs(tmp_path, SOFTMAX)
    assert np.asarray(pairs.weights).tolist() == [1, 1, 3, 4]


def test_a_wrong_weight_is_told_by_its_line(tmp_path: Path):
    with pytest.raises(DataError, match=r"x\.jsonl:2: weight is -1, expected a number"):
        weighted(tmp_path / "x.jsonl", 1, -1, 1)
    assert len(weighted(tmp_path / "x.jsonl", 1, -1, 1, max_bad_lines=1)) == 2


@pytest.mark.parametrize("cache", [False, True])
def test_weights_that_are_all_0_are_an_error(tmp_path: Path, cache: bool):
    with pytest.raises(DataError, match=r"train: .*x\.jsonl: every weight is 0"):
        weighted(tmp_path / "x.jsonl", 0, 0, cache_dir=tmp_path if cache else None)
