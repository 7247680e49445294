"""Tests of tools/benchmarks/table_traffic.py; expected values calculated by hand."""

import numpy as np
import pytest

from tools.benchmarks.table_traffic import (
    PLACEMENTS,
    bytes_sent,
    distinct,
    largest_share,
    shards,
    spread_ids,
    zipf_batches,
)


def test_owners():
    ids = np.arange(7)
    owners = {name: owner(ids, 7, 3).tolist() for name, owner in PLACEMENTS.items()}
    assert owners == {
        "modulo": [0, 1, 2, 0, 1, 2, 0],
        "contiguous ranges": [0, 0, 0, 1, 1, 1, 2],
    }
    assert largest_share(np.array([0, 1, 2, 0]), 3) == pytest.approx(1.5)


def test_frequent_tokens_have_small_ids_and_one_owner_of_ranges():
    (batch,) = zipf_batches(np.arange(1000), 400, (4, 5), 1)
    tokens = np.concatenate([ids.ravel() for ids in batch])
    # The share of token 0 is 1 / H(1000) = 0.1336; tokens below 500 have 0.9075 of all.
    assert np.mean(tokens == 0) == pytest.approx(0.1336, abs=0.03)
    owners = {name: owner(tokens, 1000, 2) for name, owner in PLACEMENTS.items()}
    assert np.mean(owners["contiguous ranges"] == 0) == pytest.approx(0.9075, abs=0.03)
    assert largest_share(owners["modulo"], 2) < 1.2
    assert (batch[0].shape, batch[1].shape) == ((400, 4), (400, 5))


def test_batches_of_tables_of_different_sizes_have_the_same_tokens():
    small, large = (
        zipf_batches(spread_ids(rows, 50), 30, (4, 5), 2) for rows in (60, 5000)
    )

    ids = np.concatenate([side.ravel() for batch in large for side in batch])
    assert (ids.min() >= 0, 4000 < ids.max() < 5000) == (True, True)
    for ours, theirs in zip(small, large, strict=True):
        assert len(distinct(ours)) == len(distinct(theirs))
        for side, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(
                side[:, :, np.newaxis] == side[:, np.newaxis],
                other[:, :, np.newaxis] == other[:, np.newaxis],
            )


def test_bytes():
    # Each of two replicas has 2 pairs of 1 + 2 tokens. The first needs the ids 0, 2, 4,
    # 6 and 1, the second one 1, 3 and 5.
    batch = (
        np.array([[0], [2], [1], [3]]),
        np.array([[4, 6], [1, 0], [5, 3], [1, 1]]),
    )
    assert [len(part[0]) for part in shards(batch, 2)] == [2, 2]
    # At most 4 rows of one owner. Sent are 4 ids, 4 rows and 4 gradients of 10 floats.
    assert bytes_sent("all to all", batch, 2, 10) == 4 * (4 + 80)
    # At most 5 ids and 5 gradients; each owner has 4 rows to send.
    assert bytes_sent("gather and slice", batch, 2, 10) == 5 * 44 + 4 * 40
    # The workers have 4 distinct ids on average: twice the id, the row, its gradient.
    assert bytes_sent("parameter servers", batch, 2, 10) == 4 * (8 + 80)
    # The ids of a batch: 4 and 8 integers, twice half of each. For 2 pairs and each
    # side a length of 8 bytes and a gradient of 40.
    assert bytes_sent("replicated", batch, 2, 10) == 48 + 2 * 2 * 48
