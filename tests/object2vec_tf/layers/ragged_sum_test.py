import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.layers import ragged_sum as module
from object2vec_tf.layers.ragged_sum import has_kernels, portable_sum, ragged_sum
from tests.gpu_kernels import nodes_of

GENERATOR = np.random.default_rng(2)


def draw(lengths, unique, dim=5):
    indices = GENERATOR.integers(0, unique, sum(lengths)).astype(np.int32)
    vectors = GENERATOR.normal(size=(unique, dim)).astype(np.float32)
    return vectors, tf.RaggedTensor.from_row_lengths(indices, lengths)


def by_counts(vectors, indices, upstream):
    """The sums and the gradient, by a dense matrix of counts."""
    counts = np.zeros((indices.nrows(), len(vectors)))
    for row, row_indices in enumerate(indices.to_list()):
        for index in row_indices:
            counts[row, index] += 1
    return counts @ vectors, counts.T @ upstream


def with_gradient(vectors, indices, upstream, training):
    vectors = tf.convert_to_tensor(vectors)
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        sums = ragged_sum(vectors, indices, training)
        loss = tf.reduce_sum(sums * upstream)
    return sums, tf.convert_to_tensor(tape.gradient(loss, vectors))


@pytest.mark.parametrize("kernel", ["training", "inference", "portable", "gpu"])
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(
    ("lengths", "unique"),
    # The last one has more entries than rows times vectors.
    [([3, 0, 5, 1], 4), ([1], 1), ([0, 0], 0), ([], 0), ([400], 9)],
)
def test_sums_and_gradients_are_products_with_counts(
    lengths, unique, graph, kernel, monkeypatch
):
    if kernel == "portable":
        monkeypatch.setattr(module, "has_kernels", lambda ops: False)
    if kernel == "gpu":
        monkeypatch.setattr(module, "gpu_is_visible", lambda: True)
    vectors, indices = draw(lengths, unique)
    upstream = GENERATOR.normal(size=(len(lengths), 5)).astype(np.float32)
    call = tf.function(with_gradient) if graph else with_gradient
    training = kernel in ("training", "gpu")
    sums, gradient = call(vectors, indices, upstream, training)
    expected_sums, expected_gradient = by_counts(vectors, indices, upstream)
    np.testing.assert_allclose(sums, expected_sums, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_all_kernels_agree(training):
    vectors, indices = draw(GENERATOR.integers(0, 90, 200).tolist(), 700, dim=64)
    portable = portable_sum(vectors, indices.values, indices.row_splits)
    sums = ragged_sum(vectors, indices, training)
    np.testing.assert_allclose(sums, portable, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_a_graph_without_static_shapes_has_a_gradient(training):
    specs = [
        tf.TensorSpec([None, 5]),
        tf.RaggedTensorSpec([None, None], tf.int32),
        tf.TensorSpec([None, 5]),
    ]
    graph = tf.function(
        lambda *tensors: with_gradient(*tensors, training)[1], input_signature=specs
    )
    vectors, indices = draw([3, 0, 5], 4)
    upstream = GENERATOR.normal(size=(3, 5)).astype(np.float32)
    expected = by_counts(vectors, indices, upstream)[1]
    np.testing.assert_allclose(
        graph(vectors, indices, upstream), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("training", [False, True])
def test_where_a_gpu_is_visible_no_graph_has_sparse_matrices(training, monkeypatch):
    monkeypatch.setattr(module, "gpu_is_visible", lambda: True)
    specs = [tf.TensorSpec([None, 5]), tf.RaggedTensorSpec([None, None], tf.int32)]
    graph = tf.function(
        lambda *tensors: ragged_sum(*tensors, training), input_signature=specs
    )
    ops = {node.op for node in nodes_of(graph.get_concrete_function())}

    assert not [op for op in ops if "CSR" in op or "SparseMatrix" in op]


def test_the_kernel_of_a_graph_does_not_run_without_tokens():
    """The one for GPUs would fail."""
    specs = [tf.TensorSpec([None, 5]), tf.RaggedTensorSpec([None, None], tf.int32)]
    graph = tf.function(ragged_sum, input_signature=specs).get_concrete_function()
    branches = [
        {node.op for node in function.node_def}
        for function in graph.graph.as_graph_def().library.function
    ]
    main = {node.op for node in graph.graph.as_graph_def().node}

    assert "SparseSegmentSumWithNumSegments" not in main
    assert sum("SparseSegmentSumWithNumSegments" in ops for ops in branches) == 1


def test_a_sum_does_not_depend_on_the_other_rows():
    vectors, indices = draw([7, 30, 2], 20)
    together = ragged_sum(vectors, indices)
    for row in range(3):
        np.testing.assert_array_equal(
            ragged_sum(vectors, indices[row : row + 1])[0], together[row]
        )


def test_an_op_without_a_kernel_is_detected():
    assert has_kernels(("MatMul", "SparseMatrixMatMul"))
    # NcclAllReduce only has a kernel for GPUs.
    assert not has_kernels(("MatMul", "NcclAllReduce"))


@pytest.mark.parametrize("kernel", ["training", "inference", "portable", "gpu"])
@pytest.mark.parametrize("lengths", [[3, 0, 5, 1], [0, 0], []])
def test_factors_multiply_sums_and_gradients(lengths, kernel, monkeypatch):
    if kernel == "portable":
        monkeypatch.setattr(module, "has_kernels", lambda ops: False)
    if kernel == "gpu":
        monkeypatch.setattr(module, "gpu_is_visible", lambda: True)
    vectors, indices = draw(lengths, 4 if sum(lengths) else 0)
    factors = GENERATOR.uniform(1, 2, sum(lengths)).astype(np.float32)
    upstream = GENERATOR.normal(size=(len(lengths), 5)).astype(np.float32)

    @tf.function
    def with_factors(vectors, indices, factors):
        training = kernel in ("training", "gpu")
        sums = ragged_sum(vectors, indices, training, factors)
        return sums, tf.gradients(tf.reduce_sum(sums * upstream), vectors)[0]

    sums, gradient = with_factors(tf.constant(vectors), indices, factors)
    matrix = np.zeros((len(lengths), len(vectors)))
    cells = np.repeat(np.arange(len(lengths)), lengths), indices.values
    np.add.at(matrix, cells, factors)
    np.testing.assert_allclose(sums, matrix @ vectors, rtol=1e-5, atol=1e-5)
    gradient = tf.convert_to_tensor(gradient)
    np.testing.assert_allclose(gradient, matrix.T @ upstream, rtol=1e-5, atol=1e-5)
