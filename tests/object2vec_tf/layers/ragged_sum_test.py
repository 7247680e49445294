import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.layers import ragged_sum as module
from object2vec_tf.layers.ragged_sum import has_kernels, portable_sum, ragged_sum

GENERATOR = np.random.default_rng(2)


def draw(lengths, distinct, dim=5):
    places = GENERATOR.integers(0, distinct, sum(lengths)).astype(np.int32)
    vectors = GENERATOR.normal(size=(distinct, dim)).astype(np.float32)
    return vectors, tf.RaggedTensor.from_row_lengths(places, lengths)


def by_hand(vectors, places, upstream):
    """The sums and the gradient, by a matrix of one-hot rows."""
    counts = np.zeros((places.nrows(), len(vectors)))
    for row, held in enumerate(places.to_list()):
        for place in held:
            counts[row, place] += 1
    return counts @ vectors, counts.T @ upstream


def with_gradient(vectors, places, upstream, training):
    vectors = tf.convert_to_tensor(vectors)
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        sums = ragged_sum(vectors, places, training)
        loss = tf.reduce_sum(sums * upstream)
    return sums, tf.convert_to_tensor(tape.gradient(loss, vectors))


@pytest.mark.parametrize("form", ["trained", "plain", "portable"])
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(
    ("lengths", "distinct"),
    [([3, 0, 5, 1], 4), ([1], 1), ([0, 0], 0), ([], 0), ([400], 9)],
)
def test_sums_and_gradients_are_those_of_one_hot_rows(
    lengths, distinct, graph, form, monkeypatch
):
    if form == "portable":
        monkeypatch.setattr(module, "has_kernels", lambda ops: False)
    vectors, places = draw(lengths, distinct)
    upstream = GENERATOR.normal(size=(len(lengths), 5)).astype(np.float32)
    call = tf.function(with_gradient) if graph else with_gradient
    sums, gradient = call(vectors, places, upstream, form == "trained")
    expected_sums, expected_gradient = by_hand(vectors, places, upstream)
    np.testing.assert_allclose(sums, expected_sums, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_the_forms_agree(training):
    vectors, places = draw(GENERATOR.integers(0, 90, 200).tolist(), 700, dim=64)
    portable = portable_sum(vectors, places.values, places.row_splits)
    sums = ragged_sum(vectors, places, training)
    np.testing.assert_allclose(sums, portable, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_a_graph_that_does_not_know_shapes_has_a_gradient(training):
    specs = [
        tf.TensorSpec([None, 5]),
        tf.RaggedTensorSpec([None, None], tf.int32),
        tf.TensorSpec([None, 5]),
    ]
    graph = tf.function(
        lambda *tensors: with_gradient(*tensors, training)[1], input_signature=specs
    )
    vectors, places = draw([3, 0, 5], 4)
    upstream = GENERATOR.normal(size=(3, 5)).astype(np.float32)
    expected = by_hand(vectors, places, upstream)[1]
    np.testing.assert_allclose(
        graph(vectors, places, upstream), expected, rtol=1e-5, atol=1e-5
    )


def test_a_row_is_summed_the_same_alone_and_among_others():
    vectors, places = draw([7, 30, 2], 20)
    together = ragged_sum(vectors, places)
    for row in range(3):
        np.testing.assert_array_equal(
            ragged_sum(vectors, places[row : row + 1])[0], together[row]
        )


def test_an_op_without_a_kernel_is_seen():
    assert has_kernels(("MatMul", "SparseMatrixMatMul"))
    # Collective reduction by NCCL has a kernel for GPUs alone.
    assert not has_kernels(("MatMul", "NcclAllReduce"))
