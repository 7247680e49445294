"""What replicas exchange; sums and rows themselves: training/strategies_test.py."""

import pytest

from object2vec_tf.distributed.collectives import filled_size


@pytest.mark.parametrize("rows", [1, 2, 3, 31, 32, 33, 1000, 123_457, 3_000_000])
def test_a_message_is_less_than_a_fifth_larger_than_what_it_holds(rows):
    assert rows <= filled_size(rows) < 1.2 * rows + 1
