"""Initial values of some rows of a table, as an initializer makes the whole table."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from object2vec_tf.tables.shard_files import own_rows
from object2vec_tf.tables.table_reader import Rows

# Values that are computed at once: 16 MB.
_CHUNK_VALUES = 1 << 22
# Numbers of one step of the Philox generator, and the modulus of Keras's seeds
# (keras/src/backend/tensorflow/random.py).
_NUMBERS_PER_STEP = 4
_SEED_MODULUS = 2**31 - 2


def initial_rows(
    initializer: keras.initializers.Initializer,
    shape: tuple[int, int],
    replica: int,
    replicas: int,
    chunk_values: int = _CHUNK_VALUES,
) -> Rows:
    """Returns every ``replicas``-th row of a new table, from row ``replica`` on.

    A table with uniform random values or zeros is never whole in memory.

    Args:
        initializer: Keras's initializer of the table.
        shape: Rows and width of the table.
        replica: The first row.
        replicas: Distance between two rows.
        chunk_values: Number of random values that are computed at once.

    Returns:
        float32 ``[own rows, width]``; the bits are those of
        ``initializer(shape)[replica::replicas]``.
    """
    rows, width = shape
    own = own_rows(rows, replica, replicas)
    if isinstance(initializer, keras.initializers.Zeros):
        return np.zeros([own, width], np.float32)
    if not isinstance(initializer, keras.initializers.RandomUniform):
        return np.asarray(initializer(shape), np.float32)[replica::replicas]
    # A chunk starts with a row of the first replica, and with a step of the generator.
    unit = replicas * _NUMBERS_PER_STEP
    chunk = max(chunk_values // (width * unit), 1) * unit
    found = np.empty([own, width], np.float32)
    for start in range(0, rows, chunk):
        stop = min(start + chunk, rows)
        values = _uniform_rows(initializer, start, stop, width)[replica::replicas]
        found[start // replicas :][: len(values)] = values
    return found


def _uniform_rows(
    initializer: keras.initializers.RandomUniform, start: int, stop: int, width: int
) -> Rows:
    """Returns adjacent rows of a table of uniform random values.

    Keras uses `tf.random.stateless_uniform`, whose value i depends on the counter of
    its generator plus ``i // 4``.
    """
    seed = tf.constant([initializer.seed % _SEED_MODULUS, 0], tf.int32)
    generator = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    steps = tf.constant([start * width // _NUMBERS_PER_STEP, 0], tf.uint64)
    low, high = (
        tf.constant(bound, tf.float32)
        for bound in (initializer.minval, initializer.maxval)
    )
    values = tf.raw_ops.StatelessRandomUniformV2(
        shape=[stop - start, width],
        key=generator.key,
        counter=generator.counter + steps,
        alg=tf.raw_ops.StatelessRandomGetAlg(),
    )
    return np.asarray(values * (high - low) + low)
