"""Lays out rows for the tests of encoders, independently of the input pipeline."""

import keras
import numpy as np
import tensorflow as tf

from object2vec_tf.devices import apply_tf32_override
from object2vec_tf.layers.static_rows import StaticRows
from tests.tolerances import tolerances


def static_rows(rows, unique, width, gap=0, padding=(2, 3), more_chunks=1):
    """Returns rows in the static layout.

    Args:
        rows: Lists of positions in the unique tokens.
        unique: Number of unique tokens, padding included.
        width: Cells per chunk.
        gap: Empty cells after each row.
        padding: Chunks, and rows, of padding.
        more_chunks: How many chunks more than the longest row a row may have.
    """
    cells, chunk_rows, starts = [], [], [0]
    for number, row in enumerate(rows):
        count = -(-(len(row) + gap) // width) if row else 0
        empty = count * width - len(row)
        cells += [*row, *[unique] * empty]
        chunk_rows += [number] * count
        starts.append(starts[-1] + count)
    count = len(rows) + padding[1]
    cells += [unique] * (width * padding[0])
    chunk_rows += [count] * padding[0]
    row_chunks = max(np.diff(starts)) + more_chunks
    starts += [starts[-1]] * padding[1]
    lengths = [*map(len, rows), *[0] * padding[1]]
    return StaticRows(
        *(
            tf.constant(array, tf.int32)
            for array in (
                np.reshape(cells, [-1, width]),
                chunk_rows,
                starts,
                lengths,
            )
        ),
        row_chunks=int(row_chunks),
    )


def random_rows(seed, rows=40, longest=30, unique=25, dim=6):
    """Returns random rows, and the vectors of their tokens."""
    random = np.random.default_rng(seed)
    lengths = np.append(random.integers(0, longest, rows - 1), longest)
    ids = [random.integers(0, unique, length).tolist() for length in lengths]
    return ids, random.normal(size=(unique, dim)).astype(np.float32)


def both_forms(layer, vectors, rows, width, gap=0, training=True):
    """Encodes rows in the ragged and in the static form.

    The loss is a sum with random weights, large for rows of padding.

    Returns:
        For the ragged and for the static form, a list of arrays: the encodings, and the
        gradients by the vectors and by the layer's weights.
    """
    apply_tf32_override()
    unique, dim = vectors.shape
    ragged = tf.ragged.constant(rows, dtype=tf.int32, row_splits_dtype=tf.int64)
    static = static_rows(rows, unique + 2, width, gap)
    padded = np.concatenate([vectors, np.zeros((2, dim), np.float32)])
    width = layer.output_dim(dim)
    random = np.random.default_rng(7)
    factors = random.normal(size=(len(rows), width)).astype(np.float32)
    extra = static.lengths.shape[0] - len(rows)
    padded_factors = np.concatenate([factors, np.full((extra, width), 1e6, np.float32)])

    def results(encode, vectors, factors):
        vectors = tf.convert_to_tensor(vectors)
        weights = [weight.value for weight in layer.trainable_weights]
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            encodings = encode(vectors)
            loss = tf.reduce_sum(encodings * factors)
        gradient, *gradients = tape.gradient(loss, [vectors, *weights])
        return [encodings, tf.convert_to_tensor(gradient), *gradients]

    expected = results(
        lambda vectors: layer.encode(vectors, ragged, training), vectors, factors
    )
    compiled = tf.function(
        lambda vectors: results(
            lambda vectors: layer.encode_static(vectors, static, training)[0],
            vectors,
            padded_factors,
        ),
        jit_compile=True,
    )
    # The sum of the gradients of equal tokens.
    hlo = compiled.experimental_get_compiler_ir(padded)(stage="hlo")
    assert hlo.count(" scatter(") == 1
    received = compiled(padded)
    expected, received = (
        [keras.ops.convert_to_numpy(array) for array in arrays]
        for arrays in (expected, received)
    )
    np.testing.assert_array_equal(received[0][len(rows) :], 0)
    np.testing.assert_array_equal(received[1][unique:], 0)
    return expected, [received[0][: len(rows)], received[1][:unique], *received[2:]]


def assert_same(expected, received):
    """Checks that arrays are equal to 1e-6, or 1e-5 on a GPU.

    This is relative to their largest value.
    """
    for one, two in zip(expected, received, strict=True):
        assert one.shape == two.shape
        scale = max(np.abs(one).max(), 1e-3)
        np.testing.assert_allclose(two, one, **tolerances(1e-6, 1e-6 * scale))


def assert_close_in_16_bits(expected, received, policy):
    """Checks that results differ by a few roundings of a policy, and are float32."""
    epsilon = 2**-8 if policy == "mixed_bfloat16" else 2**-11
    errors = [
        np.abs(one - two).max() / np.abs(one).max()
        for one, two in zip(expected, received, strict=True)
    ]
    assert 0 < max(errors) < 6 * epsilon
    assert all(array.dtype == np.float32 for array in received)
