import dataclasses

import numpy as np
import pytest

from tools.benchmarks.gpu_parts import roofline, works


def test_pooled_step_by_hand():
    work = works.WORKS["S, batch 512"]
    cost = roofline.training_cost(work, roofline.BatchSizes(512, 35_840, 13_000))
    # MLP 300 x 512, 512 x 512, 512 x 2; two products more for the gradients.
    weights = 153_600 + 262_144 + 1_024
    assert cost.operations == 512 * weights * 6
    # 7 passes over 13,000 rows and over the MLP's weights, and one over the ids.
    assert cost.bytes == 4 * (7 * 13_000 * 300 + 7 * weights + 35_840)


def test_dense_storage_updates_the_whole_table():
    work = works.WORKS["S, dense storage, batch 512"]
    cost = roofline.training_cost(work, roofline.BatchSizes(512, 35_840, 13_000))
    weights = 153_600 + 262_144 + 1_024
    table = 267_522 * 300
    assert cost.bytes == 4 * (13_000 * 300 + 6 * table + 7 * weights + 35_840)


def test_hcnn_step_by_hand():
    work = works.WORKS["hcnn"]
    cost = roofline.training_cost(work, roofline.BatchSizes(256, 7_680, 5_000))
    # Filters of three tokens: 300 to 1,024, then 1,024 to 1,024 three times. Four
    # compared parts of 4,096, an MLP of 512, two classes.
    per_token = 3 * 300 * 1_024 + 3 * 3 * 1_024 * 1_024
    per_pair = 4 * 4_096 * 512 + 512 * 2
    assert cost.operations == 6 * (7_680 * per_token + 256 * per_pair)
    assert cost.operations == pytest.approx(0.49e12, rel=0.01)


def test_bilstm_step_by_hand():
    work = works.WORKS["bilstm"]
    cost = roofline.training_cost(work, roofline.BatchSizes(128, 3_840, 3_000))
    # Two directions with four gates of 512, each from 300 + 512 numbers.
    per_token = 2 * 4 * 512 * (300 + 512)
    per_pair = 4 * 1_024 * 512 + 512 * 2
    assert cost.operations == 6 * (3_840 * per_token + 128 * per_pair)
    tables = 2 * 10_000 * 300
    weights = 2 * per_token + per_pair
    assert cost.bytes == 4 * (3_000 * 300 + 6 * tables + 7 * weights + 3_840)


def test_sizes_of_batches():
    batches = [
        ([3, 3, 1], None, [1], None, [0, 1]),
        ([3, 4], None, [5, 6, 7], None, [0, 1, 1, 0]),
    ]
    batches = [tuple(map(np.array, batch)) for batch in batches]
    tied = roofline.batch_sizes(batches, tied=True)
    assert tied == roofline.BatchSizes(rows=3, tokens=4.5, unique=(2 + 5) / 2)
    untied = roofline.batch_sizes(batches, tied=False)
    assert untied.unique == (2 + 1 + 2 + 3) / 2


def test_the_larger_of_both_times_is_the_limit():
    cost = roofline.Cost(operations=10, bytes=30)
    assert cost.seconds(5, 10) == 3
    assert dataclasses.replace(cost, operations=50).seconds(5, 10) == 10
