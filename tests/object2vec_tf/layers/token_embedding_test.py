import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.devices import gpu_is_visible
from object2vec_tf.layers import token_embedding as module
from object2vec_tf.layers.token_embedding import TokenEmbedding, concat_rows

TABLE = np.arange(15, dtype=np.float32).reshape(5, 3) + 0.5


def layer():
    tokens = TokenEmbedding(5, 3)
    tokens.build((None, None))
    tokens.embeddings.assign(TABLE)
    return tokens


def token_vectors(looked_up):
    """The vector of each token, and the lengths of the rows."""
    vectors, indices = looked_up
    return vectors.numpy()[indices.values], indices.row_lengths()


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_a_token_is_looked_up_in_the_table(dtype):
    ids = tf.ragged.constant([[4, 0, 4], [], [2]], dtype=dtype)

    vectors, lengths = token_vectors(layer()(ids))

    np.testing.assert_array_equal(lengths, [3, 0, 1])
    np.testing.assert_array_equal(vectors, TABLE[[4, 0, 4, 2]])


def test_each_unique_token_is_looked_up_once():
    vectors, indices = layer()(tf.ragged.constant([[4, 0, 4], [4]], dtype=tf.int64))

    np.testing.assert_array_equal(vectors, TABLE[[4, 0]])
    assert indices.to_list() == [[0, 1, 0], [0]]


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_a_dense_tensor_is_rows_of_equal_length(dtype):
    vectors, lengths = token_vectors(layer()(tf.constant([[1, 1], [3, 0]], dtype)))

    np.testing.assert_array_equal(lengths, [2, 2])
    np.testing.assert_array_equal(vectors, TABLE[[1, 1, 3, 0]])


@pytest.mark.skipif(gpu_is_visible(), reason="looks tokens up as they first occur")
@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_tokens_of_a_large_training_batch_are_looked_up_in_order(dtype):
    ids = tf.ragged.constant([[4, 0, 4], [], [2, 2, 0]], dtype=dtype)
    tokens = layer()

    def look_up(ids):
        return tokens(ids, training=True)

    for call in (look_up, tf.function(look_up)):
        vectors, indices = call(ids)
        np.testing.assert_array_equal(vectors, TABLE[[0, 2, 4]])
        assert indices.to_list() == [[2, 0, 2], [], [1, 1, 0]]


@pytest.mark.parametrize("wrong", [5, -1])
def test_an_id_outside_the_table_raises_in_a_large_training_batch(wrong):
    with pytest.raises(tf.errors.InvalidArgumentError):
        layer()(tf.ragged.constant([[1, 2, 3], [wrong, 1, 2]]), training=True)


def test_a_dense_tensor_without_steps_is_empty_rows():
    vectors, lengths = token_vectors(layer()(tf.zeros([2, 0], tf.int64)))

    np.testing.assert_array_equal(lengths, [0, 0])
    assert vectors.shape == (0, 3)


def test_a_batch_of_only_empty_rows_has_no_vectors():
    ids = tf.ragged.constant([[], []], dtype=tf.int64, ragged_rank=1)

    vectors, lengths = token_vectors(layer()(ids))

    np.testing.assert_array_equal(lengths, [0, 0])
    assert vectors.shape == (0, 3)


def test_rows_are_concatenated():
    first = tf.ragged.constant([[1, 2], []], dtype=tf.int32, ragged_rank=1)
    second = tf.ragged.constant([[], [3]], dtype=tf.int64, ragged_rank=1)

    assert concat_rows(first, second).to_list() == [[1, 2], [], [], [3]]


@pytest.mark.parametrize("wrong", [-1, 5])
def test_an_id_outside_the_table_raises(wrong):
    message = "expected ids in" if gpu_is_visible() else "not in"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        layer()(tf.ragged.constant([[wrong]], dtype=tf.int64))


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("wrong", [-1, 5])
def test_an_id_outside_the_table_raises_where_a_gpu_is_visible(
    wrong, graph, monkeypatch
):
    monkeypatch.setattr(module, "gpu_is_visible", lambda: True)
    # Like the gather of a GPU, which returns zeros.
    monkeypatch.setattr(
        module.tf, "gather", lambda table, ids: tf.zeros([tf.size(ids), 3])
    )
    tokens = layer()
    call = tf.function(tokens) if graph else tokens

    assert call(tf.ragged.constant([[4], [0]]))[0].shape == (2, 3)
    message = rf"expected ids in \[0, 5\), got \[{wrong}\]"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call(tf.ragged.constant([[3], [wrong, 2]]))


def test_a_functional_model_looks_up_ragged_ids():
    ids = keras.Input((None,), dtype="int64", ragged=True)
    tokens = layer()
    model = keras.Model(ids, tokens(ids))

    vectors, _ = token_vectors(
        model(tf.ragged.constant([[3], [], [1, 3]], dtype=tf.int64))
    )

    assert [tuple(output.shape) for output in model.outputs] == [
        (None, 3),
        (None, None),
    ]
    np.testing.assert_array_equal(vectors, TABLE[[3, 1, 3]])


def test_the_gradient_has_one_row_per_unique_token():
    tokens = layer()
    with tf.GradientTape() as tape:
        ids = tf.ragged.constant([[2, 2], [4]], dtype=tf.int64)
        vectors, indices = tokens(ids)
        weights = tf.constant([[1.0], [10.0], [100.0]])
        loss = tf.reduce_sum(tf.gather(vectors, indices.values) * weights)
    gradient = tape.gradient(loss, tokens.embeddings.value)

    assert isinstance(gradient, tf.IndexedSlices)
    np.testing.assert_array_equal(gradient.indices, [2, 4])
    np.testing.assert_array_equal(
        tf.convert_to_tensor(gradient.values)[:, 0], [11, 100]
    )


def test_the_seed_fixes_the_initial_vectors():
    tables = []
    for seed in (3, 3, 4):
        tokens = TokenEmbedding(20, 4, seed=seed)
        tokens.build((None, None))
        tables.append(tokens.embeddings.numpy())

    np.testing.assert_array_equal(tables[0], tables[1])
    assert np.all(tables[0] != tables[2])


def test_the_expected_squared_length_of_an_initial_vector_is_a_third():
    for dim in (4, 64):
        tokens = TokenEmbedding(4000, dim, seed=1)
        tokens.build((None, None))
        table = tokens.embeddings.numpy()
        assert np.abs(table).max() <= dim**-0.5
        assert np.square(table).sum(1).mean() == pytest.approx(1 / 3, rel=0.05)


def test_a_layer_is_restored_from_its_config():
    config = TokenEmbedding(5, 3, seed=7, name="words").get_config()

    restored = TokenEmbedding.from_config(config)

    assert (restored.vocab_size, restored.dim, restored.seed, restored.name) == (
        5,
        3,
        7,
        "words",
    )
    assert restored.get_config() == config
