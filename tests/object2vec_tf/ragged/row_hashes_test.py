"""Tests of object2vec_tf/ragged/row_hashes.py against collections.Counter."""

from collections import Counter

import numpy as np
import pytest

from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.ragged.row_hashes import log_frequencies, object_numbers


@pytest.mark.parametrize("block_rows", [7, 1 << 16])
def test_log_frequencies_are_those_of_a_counter(block_rows):
    random = np.random.default_rng(0)
    rows = [[], [1, 2], [2, 1], [1], [0, 1], [1, 0], [0], [0, 0], [3_000_000]]
    drawn = [rows[i] for i in random.integers(0, len(rows), 500)]
    counts = Counter(map(tuple, drawn))

    frequencies = log_frequencies(RaggedColumn.from_rows(drawn), block_rows=block_rows)

    expected = [np.log(counts[tuple(row)] / 500) for row in drawn]
    np.testing.assert_allclose(frequencies, expected, rtol=1e-6)
    assert frequencies.dtype == np.float32


@pytest.mark.parametrize("block_rows", [3, 1 << 16])
@pytest.mark.parametrize("objects", [1, 4, 300])
def test_object_numbers_are_those_of_distinct_rows(objects, block_rows):
    random = np.random.default_rng(objects)
    kinds = [[*random.integers(0, 50, i % 4).tolist(), i] for i in range(objects)]
    drawn = [kinds[i] for i in random.integers(0, objects, 200)]

    numbers = object_numbers(RaggedColumn.from_rows(drawn), block_rows=block_rows)

    assert numbers.dtype == np.int32
    by_row = {}
    for row, number in zip(drawn, numbers.tolist(), strict=True):
        assert by_row.setdefault(tuple(row), number) == number
    assert sorted(by_row.values()) == list(range(len(by_row)))


def test_an_empty_column_has_no_numbers():
    assert object_numbers(RaggedColumn.from_rows([])).shape == (0,)
