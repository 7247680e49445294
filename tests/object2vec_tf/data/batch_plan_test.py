"""Tests of object2vec_tf/data/batch_plan.py: orders, buckets and shards."""

import numpy as np
import pytest

from object2vec_tf.data.batch_plan import (
    count_batches,
    epoch_order,
    plan_batches,
    shard_rows,
)

# Row: 0  1  2  3  4  5  6  7
IN0 = [1, 9, 2, 1, 9, 3, 2, 4]
IN1 = [5, 5, 5, 1, 5, 5, 6, 5]


def plan(
    batch_size: int, bucket_width: int, shuffled: tuple[int, int] | None = None
) -> list[list[int]]:
    lengths = (np.array(IN0), np.array(IN1))
    batches = plan_batches(lengths, len(IN0), batch_size, bucket_width, shuffled)
    return [batch.tolist() for batch in batches]


@pytest.mark.parametrize("rows", [0, 1, 2, 1000])
def test_an_epochs_order_has_each_row_once(rows: int):
    assert sorted(epoch_order(rows, 7, 3).tolist()) == list(range(rows))


def test_an_epochs_order_does_not_depend_on_earlier_epochs():
    straight = epoch_order(1000, 7, 5).tolist()
    for epoch in range(5):
        epoch_order(1000, 7, epoch)
    assert epoch_order(1000, 7, 5).tolist() == straight


def test_seed_and_epoch_both_change_the_order():
    orders = {
        tuple(epoch_order(1000, seed, epoch).tolist())
        for seed in (0, 1, 2)
        for epoch in (0, 1, 2)
    }
    assert len(orders) == 9


def test_every_row_can_be_first():
    first = {int(epoch_order(5, 0, epoch)[0]) for epoch in range(100)}
    assert first == {0, 1, 2, 3, 4}


def test_an_order_takes_four_bytes_per_row_and_equals_that_of_wide_numbers():
    order = epoch_order(100_000, 7, 3)
    assert order.dtype == np.uint32
    wide = np.random.Generator(np.random.Philox(np.random.SeedSequence([7, 3])))
    assert np.array_equal(order, wide.permutation(100_000))


def test_without_buckets_the_order_is_divided_as_it_is():
    assert plan(3, 0) == [[0, 1, 2], [3, 4, 5], [6, 7]]
    order = epoch_order(8, 5, 1).tolist()
    assert plan(3, 0, (5, 1)) == [order[:3], order[3:6], order[6:]]


def test_a_batch_size_that_divides_the_rows_leaves_no_small_batch():
    assert plan(4, 0) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_buckets_separate_rows_by_the_lengths_of_both_inputs():
    # Width 3: lengths 0-2, 3-5, 6-8, 9-11 share a bucket. By (in0, in1) bucket:
    # (0, 0): row 3; (0, 1): 0, 2; (0, 2): 6; (1, 1): 5, 7; (3, 1): 1, 4.
    assert plan(10, 3) == [[3], [0, 2], [6], [5, 7], [1, 4]]


def test_a_large_bucket_is_divided_and_its_last_batch_is_smaller():
    lengths = (np.array([1, 1, 1, 1, 1]), np.array([2, 2, 2, 2, 2]))
    batches = plan_batches(lengths, 5, 2, 10)
    assert [batch.tolist() for batch in batches] == [[0, 1], [2, 3], [4]]


def test_width_1_groups_only_equal_lengths():
    assert plan(10, 1) == [[3], [0], [2], [6], [5], [7], [1, 4]]


@pytest.mark.parametrize("longest", [30, 100_000])
@pytest.mark.parametrize("bucket_width", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_each_row_is_in_one_batch_and_widths_are_respected(
    bucket_width: int,
    batch_size: int,
    longest: int,
):
    generator = np.random.default_rng(bucket_width * 100 + batch_size)
    lengths = (
        generator.integers(0, longest, 200),
        generator.integers(0, longest, 200),
    )
    batches = plan_batches(
        lengths, 200, batch_size, bucket_width, (1, 2), sorted_rows=64
    )
    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    assert len(batches) == count_batches(lengths, 200, batch_size, bucket_width)
    # In plain Python: the rows of each bucket in the epoch's order, in batches.
    buckets: dict[tuple[int, ...], list[int]] = {}
    for row in epoch_order(200, 1, 2).tolist():
        key = tuple(int(side[row]) // bucket_width for side in lengths if bucket_width)
        buckets.setdefault(key, []).append(row)
    expected = [
        rows[start : start + batch_size]
        for rows in buckets.values()
        for start in range(0, len(rows), batch_size)
    ]
    assert sorted(batch.tolist() for batch in batches) == sorted(expected)


def test_bucketed_batches_are_shuffled_by_seed_and_epoch():
    shuffled = {numbers: plan(1, 3, numbers) for numbers in ((0, 0), (0, 1), (1, 0))}
    for numbers, batches in shuffled.items():
        assert sorted(batches) == [[row] for row in range(8)]
        assert batches == plan(1, 3, numbers)
    assert len({str(batches) for batches in (plan(1, 3), *shuffled.values())}) == 4


@pytest.mark.parametrize(("rows", "replicas"), [(16, 2), (17, 3), (2, 3), (1, 2)])
def test_shards_are_contiguous_and_a_shard_without_rows_gets_the_first_row(
    rows, replicas
):
    batch = np.arange(100, 100 + rows)
    shards = [shard_rows(batch, i, replicas) for i in range(replicas)]
    real_rows = [shard[: numbers[1]] for shard, numbers in shards]
    np.testing.assert_array_equal(np.concatenate(real_rows), batch)
    sizes = [len(shard) for shard in real_rows]
    assert max(sizes) - min(sizes) <= 1
    for (shard, (start, count, all_rows)), before in zip(
        shards, np.cumsum([0, *sizes]), strict=False
    ):
        assert (start, count, all_rows) == (before, len(shard) * (count > 0), rows)
        if not count:
            assert shard.tolist() == [100]
