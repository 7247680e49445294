from collections import Counter

import numpy as np
import pytest

from object2vec_tf.ragged import row_hashes
from object2vec_tf.ragged.column import RaggedColumn


@pytest.mark.parametrize("rows_at_a_time", [7, 1 << 16])
def test_shares_are_those_counted(monkeypatch, rows_at_a_time):
    monkeypatch.setattr(row_hashes, "_ROWS", rows_at_a_time)
    random = np.random.default_rng(0)
    rows = [[], [1, 2], [2, 1], [1], [0, 1], [1, 0], [0], [0, 0], [3_000_000]]
    drawn = [rows[i] for i in random.integers(0, len(rows), 500)]
    counts = Counter(map(tuple, drawn))

    told = row_hashes.log_frequencies(RaggedColumn.from_rows(drawn))

    expected = [np.log(counts[tuple(row)] / 500) for row in drawn]
    np.testing.assert_allclose(told, expected, rtol=1e-6)
    assert told.dtype == np.float32
