import keras
import numpy as np
import pytest

from object2vec_tf.distributed.initial_rows import initial_rows

SHAPE = (101, 5)


@pytest.mark.parametrize("seed", [0, 1, 4_000_000_000])
@pytest.mark.parametrize("replicas", [1, 3])
def test_the_rows_are_those_of_the_whole_table(seed, replicas):
    initializer = keras.initializers.RandomUniform(-0.3, 0.1, seed=seed)
    table = np.asarray(initializer(SHAPE))

    for replica in range(replicas):
        for chunk_values in (1, 200, 1 << 20):
            rows = initial_rows(initializer, SHAPE, replica, replicas, chunk_values)
            np.testing.assert_array_equal(rows, table[replica::replicas])


@pytest.mark.parametrize("name", ["zeros", "ones"])
def test_other_initializers_are_supported(name):
    initializer = keras.initializers.get(name)

    rows = initial_rows(initializer, SHAPE, 1, 3)

    np.testing.assert_array_equal(rows, np.asarray(initializer(SHAPE))[1::3])
    assert rows.dtype == np.float32


def test_a_replica_may_own_no_rows():
    initializer = keras.initializers.RandomUniform(seed=1)

    assert initial_rows(initializer, (2, 3), 2, 3).shape == (0, 3)
