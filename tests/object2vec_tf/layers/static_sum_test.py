import re

import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.layers.pooled_embedding import PooledEmbedding
from object2vec_tf.layers.static_sum import row_sums
from object2vec_tf.layers.token_embedding import TokenEmbedding
from tests.object2vec_tf.layers.static_layouts import (
    assert_same,
    both_forms,
    random_rows,
    static_rows,
)

# Repeated tokens, an empty row, rows of one token, of a whole chunk, and of several.
ROWS = [[0, 1, 0], [], [2], [3, 3, 3, 3], [4, 0, 1, 2, 3, 4, 0, 1, 2], [1]]
VECTORS = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)


def test_pooled_encodings_and_gradients_equal_the_ragged_form():
    assert_same(*both_forms(PooledEmbedding(pooling="sqrtn"), VECTORS, ROWS, width=4))


@pytest.mark.long
@pytest.mark.parametrize("width", [1, 2, 16])
@pytest.mark.parametrize("pooling", ["mean", "sqrtn"])
def test_every_width_of_chunks_gives_the_same_sums(pooling, width):
    assert_same(*both_forms(PooledEmbedding(pooling=pooling), VECTORS, ROWS, width))


def test_padding_of_unique_tokens_is_zero_and_changes_no_row():
    layer = TokenEmbedding(6, 2, seed=1)
    layer.build(None)
    table = layer.embeddings.numpy()
    unique = tf.constant([4, 0, 5, 6, 6])

    @tf.function(jit_compile=True)
    def step(unique):
        with tf.GradientTape() as tape:
            vectors = layer.lookup_unique(unique)
            loss = tf.reduce_sum(vectors * [[1.0], [2], [3], [0], [0]])
        gradient = tape.gradient(loss, layer.embeddings.value)
        layer.embeddings.value.scatter_sub(gradient)
        return vectors, gradient.indices, gradient.values

    vectors, indices, values = step(unique)

    expected = np.append(table[[4, 0, 5]], np.zeros((2, 2)), axis=0)
    np.testing.assert_array_equal(vectors, expected)
    np.testing.assert_array_equal(indices, unique)
    np.testing.assert_array_equal(values, np.outer([1, 2, 3, 0, 0], [1, 1]))
    table[[4, 0, 5]] -= [[1], [2], [3]]
    np.testing.assert_array_equal(layer.embeddings, table)


def test_gradients_of_two_sides_are_summed_in_one_array():
    sides = [static_rows(rows, 4, width=2) for rows in ([[0, 1, 0], []], [[1, 2]])]

    @tf.function(jit_compile=True)
    def gradient(vectors):
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            first, returned = row_sums(vectors, sides[0])
            second, _ = row_sums(returned, sides[1])
            loss = tf.reduce_sum(first) + 10 * tf.reduce_sum(second)
        return tape.gradient(loss, vectors)

    vectors = tf.constant([[1.0], [2], [3], [0]])

    np.testing.assert_array_equal(gradient(vectors), [[2], [11], [10], [0]])
    # No zeros are copied for a second array, nor two arrays added.
    hlo = gradient.experimental_get_compiler_ir(vectors)(stage="hlo")
    assert hlo.count(" scatter(") == 2
    assert not re.search(r"= f32\[4,1\]\S* add\(", hlo)


def test_dropout_acts_on_pooled_encodings_and_only_in_training():
    layer = PooledEmbedding(dropout=0.5, seed=1)
    vectors = np.concatenate(
        [np.full((1, 400), 3.0, np.float32), np.zeros((1, 400), np.float32)]
    )
    rows = static_rows([[0, 0], [0]], 2, width=2)

    @tf.function(jit_compile=True)
    def encodings():
        return [
            layer.encode_static(vectors, rows, training)[0]
            for training in (True, False)
        ]

    (first, plain), (second, _) = encodings(), encodings()

    np.testing.assert_array_equal(plain[:2], np.full((2, 400), 3.0))
    for dropped in (first.numpy()[:2], second.numpy()[:2]):
        assert {*dropped.flat} == {0.0, 6.0}
        assert 300 < np.count_nonzero(dropped) < 500
    assert np.any(first != second)


@pytest.mark.long
def test_random_rows_give_the_same():
    rows, vectors = random_rows(seed=3)
    assert_same(*both_forms(PooledEmbedding(), vectors, rows, width=4))
