"""Tests of object2vec_tf/data/channel_reader.py: files, reports and errors."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.data.pairs import Pairs
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


def test_long_and_empty_objects_are_counted_by_input(tmp_path: Path):
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


def test_an_id_beyond_the_maximum_length_is_still_checked(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", [(0, [1, 1, 1, 1, 1, 100], [1])])
    with pytest.raises(DataError, match=r"x.jsonl:1: in0\[5\]: expected an id below"):
        read_pairs(path, SOFTMAX)


def test_several_files_are_read_in_order(tmp_path: Path):
    first = write(tmp_path / "b.jsonl", ROWS[:3])
    second = write(tmp_path / "a.jsonl", ROWS[3:])
    pairs = read_pairs([first, second], SOFTMAX)
    assert pairs.report.files == (first, second)
    assert batches(pairs.dataset(10)) == [ROWS]


def test_a_bad_line_in_a_second_file_has_its_own_line_number(tmp_path: Path):
    first = write(tmp_path / "a.jsonl", ROWS)
    second = write(tmp_path / "b.jsonl", [*ROWS[:2], (2, [1], [1])])
    with pytest.raises(DataError) as raised:
        read_pairs(tmp_path, SOFTMAX)
    start = f"{second}:3: label: expected an integer class in [0, num_classes=2), got 2"
    assert str(raised.value).startswith(start)
    assert str(first) not in str(raised.value)


def test_the_budget_of_bad_lines_is_for_the_whole_channel(tmp_path: Path):
    bad: Row = (2, [1], [1])
    first = write(tmp_path / "a.jsonl", [ROWS[0], bad, ROWS[1]])
    second = write(tmp_path / "b.jsonl", [bad, ROWS[2]])
    pairs = read_pairs(tmp_path, SOFTMAX, max_bad_lines=2)
    assert batches(pairs.dataset()) == [ROWS[:3]]
    places = [message.split(": ")[0] for message in pairs.report.bad_lines]
    assert places == [f"{first}:2", f"{second}:1"]
    with pytest.raises(DataError, match=f"^{second}:1: .*bad line 2 of the channel"):
        read_pairs(tmp_path, SOFTMAX, max_bad_lines=1)


@pytest.mark.parametrize("content", [b"", b"\n", b"\n \r\n\n", b"\xef\xbb\xbf"])
def test_a_channel_without_pairs_is_an_error(tmp_path: Path, content: bytes):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"^test: .*x.jsonl: contains no pairs. Expected"
    ):
        read_pairs(path, SOFTMAX, channel="test")


def test_a_channel_of_only_skipped_lines_is_an_error(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", [(2, [1], [1])])
    message = f"{path}: contains no valid pairs. The first bad line: {path}:1: label"
    with pytest.raises(DataError, match=re.escape(message)):
        read_pairs(path, SOFTMAX, max_bad_lines=5)


def test_an_empty_file_next_to_another_one_is_no_error(tmp_path: Path):
    write(tmp_path / "a.jsonl", [])
    write(tmp_path / "b.jsonl", ROWS)
    assert len(read_pairs(tmp_path, SOFTMAX)) == 10


def test_the_fingerprint_depends_on_the_channels_bytes(tmp_path: Path):
    first = write(tmp_path / "a.jsonl", ROWS)
    same = write(tmp_path / "b.jsonl", ROWS)
    changed = write(tmp_path / "c.jsonl", [*ROWS[:-1], (0, *ROWS[-1][1:])])
    fingerprints = [
        read_pairs(source, SOFTMAX).report.fingerprint
        for source in (first, same, changed, [first, changed], [changed, first])
    ]
    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints)) == 4


def test_labels_keep_their_dtype_in_memory(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", ROWS)
    assert read_pairs(path, SOFTMAX).labels.dtype == np.int64
    assert read_pairs(path, REGRESSION).labels.dtype == np.float32


def weighted(path: Path, *weights: Any, **more: Any) -> Pairs:
    """Pairs with the given weights; None leaves a weight out."""
    lines = [
        {"label": i % 2, "in0": [i], "in1": [i]}
        | ({} if weight is None else {"weight": weight})
        for i, weight in enumerate(weights)
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return read_pairs(path, SOFTMAX, **more)


def test_weights_of_one_file_of_several(tmp_path: Path):
    write(tmp_path / "a.jsonl", ROWS[:2])
    weighted(tmp_path / "b.jsonl", 3, 4)
    pairs = read_pairs(tmp_path, SOFTMAX)
    assert np.asarray(pairs.weights).tolist() == [1, 1, 3, 4]


def test_an_invalid_weight_is_reported_with_its_line(tmp_path: Path):
    with pytest.raises(DataError, match=r"x\.jsonl:2: weight: expected .*, got -1\."):
        weighted(tmp_path / "x.jsonl", 1, -1, 1)
    assert len(weighted(tmp_path / "x.jsonl", 1, -1, 1, max_bad_lines=1)) == 2


@pytest.mark.parametrize("cache", [False, True])
def test_weights_that_are_all_0_are_an_error(tmp_path: Path, cache: bool):
    with pytest.raises(DataError, match=r"train: .*x\.jsonl: every weight is 0"):
        weighted(tmp_path / "x.jsonl", 0, 0, cache_dir=tmp_path if cache else None)
