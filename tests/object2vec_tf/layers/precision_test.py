import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.layers.bilstm import StackedBiLSTM
from object2vec_tf.layers.hcnn import HierarchicalCNN
from object2vec_tf.layers.pooled_embedding import PooledEmbedding
from object2vec_tf.layers.precision import (
    PRECISIONS,
    check_policy,
    full_policy,
    policy_of,
    product,
    warn_of_ignored_policy,
)
from object2vec_tf.layers.token_embedding import TokenEmbedding

TYPES = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
# Half the distance from 1 to the next number: the largest relative rounding error.
UNIT_ROUNDOFF = {"bfloat16": 2**-8, "float16": 2**-11}
each_half = pytest.mark.parametrize("half", TYPES)

ROWS = tf.ragged.constant([[0, 2, 1], [], [3, 3]], tf.int32)
VECTORS = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")


def rounded(values, half):
    return np.asarray(values, "float32").astype(TYPES[half]).astype("float32")


def test_policies():
    assert [policy_of(name).compute_dtype for name in PRECISIONS] == [
        "float32",
        "bfloat16",
        "float16",
    ]
    assert {policy_of(name).variable_dtype for name in PRECISIONS} == {"float32"}
    for name in PRECISIONS:
        check_policy(policy_of(name))
        assert full_policy(policy_of(name)).name == "float32"
    check_policy(keras.DTypePolicy("float64"))
    assert full_policy(keras.DTypePolicy("float64")).compute_dtype == "float64"


@pytest.mark.parametrize("name", ["bfloat16", "float16", "int8_from_float32"])
def test_weights_of_16_bits_are_rejected(name):
    with pytest.raises(ValueError, match=r"^dtype: expected one of float32") as error:
        check_policy(keras.dtype_policies.get(name))
    assert repr(name) in str(error.value)


@each_half
def test_product_rounds_its_operands(half):
    values = np.array([[1 + 2**-12, 3.0]], "float32")
    kernel = np.array([[1.0], [2**-3 + 2**-14]], "float32")

    received = product(tf.constant(values), tf.constant(kernel, half))

    assert received.dtype == tf.float32
    expected = rounded(values, half) @ rounded(kernel, half)  # exact: 1 + 3 / 8
    np.testing.assert_array_equal(received, expected)
    assert expected != (values @ kernel)


def encode(layer, vectors=VECTORS, training=False):
    """Returns encodings, and the gradient of their sum by the vectors."""
    variable = tf.Variable(vectors)
    with tf.GradientTape() as tape:
        encodings = layer((tf.convert_to_tensor(variable), ROWS), training=training)
        total = tf.reduce_sum(encodings)
    assert encodings.dtype == tf.float32
    # Some gradients are IndexedSlices on a GPU.
    gradient = tf.convert_to_tensor(tape.gradient(total, variable))
    assert gradient.dtype == tf.float32
    return encodings.numpy(), gradient.numpy()


@each_half
@pytest.mark.parametrize("training", [False, True])
def test_sums_of_token_vectors_are_not_rounded(half, training):
    encodings, gradient = encode(
        PooledEmbedding(dtype=policy_of(half)), training=training
    )

    expected = encode(PooledEmbedding(dtype="float32"), training=training)
    np.testing.assert_array_equal(encodings, expected[0])
    np.testing.assert_array_equal(gradient, expected[1])


@each_half
@pytest.mark.parametrize("training", [False, True])
def test_hcnn_convolves_in_16_bits(half, training):
    layer = HierarchicalCNN(5, layers=1, dtype=policy_of(half))
    encodings, gradient = encode(layer, training=training)
    kernel = layer.convolutions[0].kernel.numpy()
    assert kernel.dtype == np.float32

    steps = np.zeros((8, 6), "float32")  # [0, 2, 1] and [3, 3], with zeros around
    steps[1:4], steps[5:7] = VECTORS[[0, 2, 1]], VECTORS[[3, 3]]

    def outputs(x, w):
        return sum(x[i : i + 6] @ w[i] for i in range(3))

    exact = np.maximum(outputs(steps, kernel), 0)
    # Two operands and the result are rounded; sums are at least as precise.
    size = outputs(np.abs(steps), np.abs(kernel))
    tolerance = 3.1 * UNIT_ROUNDOFF[half] * size.max(axis=0)
    expected = [exact[:3].max(axis=0), np.zeros(5), exact[4:].max(axis=0)]
    assert (np.abs(encodings - expected) <= tolerance).all()
    np.testing.assert_array_equal(encodings, rounded(encodings, half))
    assert np.abs(encodings - expected).max() > 0
    # Each of the five filters has a maximum in two rows, which its kernel is added for.
    assert np.abs(gradient).max() <= 2 * 5 * np.abs(kernel).max() * 1.01
    assert np.abs(gradient).max() > 0


@each_half
@pytest.mark.parametrize("training", [False, True])
def test_bilstm_multiplies_in_16_bits_and_keeps_states_in_float32(half, training):
    # Other weights can let the largest state be that of another step in 16 bits.
    layer = StackedBiLSTM(4, seed=1, dtype=policy_of(half))
    encodings, gradient = encode(layer, training=training)
    exact = StackedBiLSTM(4, dtype="float32")
    exact.build([(None, 6), (None, None)])
    for to, source in zip(exact.weights, layer.weights, strict=True):
        to.assign(source)
    expected, expected_gradient = encode(exact, training=training)

    # A gate's input has at most 6 + 2 products below 1.3 * |vector|; gates and states
    # do not enlarge errors. Three steps follow each other.
    tolerance = 3 * 3.1 * UNIT_ROUNDOFF[half] * np.abs(VECTORS).sum(axis=1).max()
    np.testing.assert_allclose(encodings, expected, atol=tolerance)
    np.testing.assert_allclose(gradient, expected_gradient, atol=tolerance)
    assert np.abs(encodings - expected).max() > 0
    assert np.any(encodings != rounded(encodings, half))


@each_half
def test_token_vectors_are_float32(half):
    layer = TokenEmbedding(5, 3, dtype=policy_of(half))
    with tf.GradientTape() as tape:
        vectors, _ = layer(tf.ragged.constant([[4, 1, 4]], tf.int64))
        total = tf.reduce_sum(vectors)

    assert layer.embeddings.dtype == "float32"
    np.testing.assert_array_equal(vectors, layer.embeddings.numpy()[[4, 1]])
    gradient = tape.gradient(total, layer.embeddings.value)
    assert isinstance(gradient, tf.IndexedSlices)
    assert gradient.values.dtype == tf.float32


def test_no_cast_is_added_in_float32():
    vectors = tf.random.normal([4, 6])
    layers = [HierarchicalCNN(4, 1), StackedBiLSTM(4, 1)]
    for layer in layers:
        graph = tf.function(layer).get_concrete_function((vectors, ROWS), training=True)
        types = {
            (op.get_attr("SrcT"), op.get_attr("DstT"))
            for op in graph.graph.get_operations()
            if op.type == "Cast"
        }
        assert (tf.float32, tf.float32) not in types
        assert not types & {(tf.float32, tf.bfloat16), (tf.float32, tf.float16)}


def test_a_global_policy_that_a_run_ignores_is_reported(recwarn):
    warn_of_ignored_policy({})
    assert not recwarn
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        warn_of_ignored_policy({"precision": "float32"})
        assert not recwarn
        with pytest.warns(UserWarning, match=r'mixed_bfloat16 has .*="bfloat16", or'):
            warn_of_ignored_policy({})
        with (
            pytest.warns(UserWarning, match=r"mixed_bfloat16 has no effect"),
            pytest.raises(o2v.UserError, match="required"),
        ):
            o2v.fit({}, train="missing", model_dir="run")
    finally:
        keras.config.set_dtype_policy("float32")
