"""Tests of object2vec_tf/ragged/row_hashes.py against collections.Counter."""

from collections import Counter

import numpy as np
import pytest

from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.ragged.row_hashes import log_frequencies


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
