"""Tests of layers/subword_embedding.py and word_parts.py; oracles are in numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.errors import UserError
from object2vec_tf.layers.subword_embedding import SubwordEmbedding
from object2vec_tf.ragged.column import RaggedColumn

# Words 0 to 4, n-grams in 6 buckets. Ids of n-grams: 5 + bucket for the first one of a
# word, 11 + bucket for others.
NGRAMS = [[], [0, 1, 1], [2], [5, 0], []]
FIRST, NEXT = 5, 11
PARTS = {id_: ([id_], ngrams) for id_, ngrams in enumerate(NGRAMS)}


def layer(dim=4, **options):
    tokens = SubwordEmbedding(
        5, dim, shortest=3, longest=6, buckets=6, seed=7, **options
    )
    tokens.build(None)
    tokens.set_vocabulary(RaggedColumn.from_rows(NGRAMS))
    return tokens


# Objects as their words, each with its own row and its n-grams, and as ids.
UNSEEN = ([], [4, 0])
OBJECTS = [
    [PARTS[1], UNSEEN, PARTS[1], PARTS[0]],
    [],
    [([], [3]), ([], [3, 3, 2])],
    [PARTS[3]],
    [UNSEEN, PARTS[2]],
    [],
]
IDS = [
    [1, FIRST + 4, NEXT + 0, 1, 0],
    [],
    [FIRST + 3, FIRST + 3, NEXT + 3, NEXT + 2],
    [3],
    [FIRST + 4, NEXT + 0, 2],
    [],
]


def expected_vectors(tokens, objects):
    words, ngrams = tokens.embeddings.numpy(), tokens.ngrams.numpy()
    return [
        np.array([np.mean([*words[own], *ngrams[parts]], axis=0) for own, parts in row])
        for row in objects
    ]


def vectors_of(tokens, ids, training):
    vectors, indices = tokens(
        tf.ragged.constant(ids, tf.int64, ragged_rank=1), training=training
    )
    return [vectors.numpy()[row] for row in indices.to_list()]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "kept", [slice(None), slice(3, 4), slice(1, 2), slice(2, 3), slice(0, 0)]
)
def test_vectors_are_means_of_words_and_n_grams(training, kept):
    tokens = layer()
    found = vectors_of(tokens, IDS[kept], training)
    expected = expected_vectors(tokens, OBJECTS[kept])
    assert [len(row) for row in found] == [len(row) for row in expected]
    for row, expected_row in zip(found, expected, strict=True):
        np.testing.assert_allclose(row, expected_row.reshape(row.shape), atol=1e-6)


def test_gradients_are_those_of_products_with_one_hot_matrices():
    tokens = layer()
    coefficients = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    with tf.GradientTape() as tape:
        vectors, indices = tokens(
            tf.ragged.constant(IDS, tf.int64, ragged_rank=1), training=True
        )
        cells = tf.gather(vectors, indices.values)
        loss = tf.reduce_sum(cells * coefficients)
    gradients = tape.gradient(loss, [tokens.embeddings.value, tokens.ngrams.value])
    parts = [part for row in OBJECTS for part in row]
    own, ngrams = np.zeros((9, 5)), np.zeros((9, 6))
    for cell, (words, buckets) in enumerate(parts):
        for word in words:
            own[cell, word] += 1 / (len(words) + len(buckets))
        for bucket in buckets:
            ngrams[cell, bucket] += 1 / (len(words) + len(buckets))
    for gradient, matrix in zip(gradients, (own, ngrams), strict=True):
        # Optimizers that update rows need each row once.
        assert isinstance(gradient, tf.IndexedSlices)
        assert len(set(gradient.indices.numpy())) == len(gradient.indices)
        dense = tf.convert_to_tensor(gradient).numpy()
        np.testing.assert_allclose(dense, matrix.T @ coefficients, atol=1e-6)


def test_each_word_is_computed_once():
    tokens = layer()
    vectors, indices = tokens(tf.ragged.constant(IDS, tf.int64), training=False)
    # Words 1, 0, 3 and 2, and three others.
    assert vectors.shape == (7, 4)
    assert len(set(indices.values.numpy())) == 7


def test_objects_do_not_influence_each_other():
    """A row that begins with an id that continues a word has a word of its own."""
    tokens = layer()
    malformed = [[FIRST + 4], [NEXT + 0, NEXT + 1], [3, NEXT + 2]]
    alone = [vectors_of(tokens, [row], False)[0] for row in malformed]
    for row, expected in zip(vectors_of(tokens, malformed, False), alone, strict=True):
        np.testing.assert_array_equal(row, expected)
    ngrams = tokens.ngrams.numpy()
    np.testing.assert_allclose(alone[1], [ngrams[[0, 1]].mean(axis=0)], atol=1e-6)
    np.testing.assert_allclose(alone[2][1], ngrams[2], atol=1e-6)


def test_frozen_words_leave_n_grams_trainable_and_are_restored():
    tokens = layer(trains_words=False, name="words")
    assert [v.path for v in tokens.trainable_variables] == ["words/ngrams"]
    tokens.trainable = False
    tokens.trainable = True
    assert [v.path for v in tokens.trainable_variables] == ["words/ngrams"]
    restored = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(tokens)
    )
    assert restored.get_config() == tokens.get_config()
    assert restored.get_config()["buckets"] == 6


def test_it_needs_the_words_of_the_vocabulary():
    tokens = SubwordEmbedding(5, 4, shortest=3, longest=6, buckets=6)
    with pytest.raises(UserError, match="tokenizers=read_tokenizers"):
        tokens(tf.ragged.constant([[1]], tf.int64))
