"""Message sizes of collectives; strategies_test.py tests the collectives themselves."""

import pytest

from object2vec_tf.distributed.collectives import padded_size


@pytest.mark.parametrize("rows", [1, 2, 3, 31, 32, 33, 1000, 123_457, 3_000_000])
def test_padding_adds_less_than_a_fifth(rows):
    assert rows <= padded_size(rows) < 1.2 * rows + 1
