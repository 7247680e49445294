import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from export.onnx_graphs import WEIGHTS, write_onnx

NETWORKS = ("pooled_embedding", "hcnn", "bilstm")
COMPARATORS = [
    ", ".join(names)
    for count in (1, 2, 3)
    for names in itertools.permutations(("hadamard", "concat", "abs_diff"), count)
]
NAMES = ("embed_enc0", "embed_enc1", "predict_pair")


def make_model(network="pooled_embedding", **more):
    settings = {
        "enc0_network": network,
        "enc0_max_seq_len": 4,
        "enc0_vocab_size": 10,
        "enc0_token_embedding_dim": 4,
        "enc_dim": 8,
        "mlp_dim": 5,
        "num_classes": 3,
    }
    if network == "pooled_embedding":
        del settings["enc0_token_embedding_dim"]
    model = o2v.Object2Vec(o2v.Hyperparameters(**settings | more), seed=4)
    generator = np.random.default_rng(1)
    for variable in model.trainable_variables:
        if variable.path.endswith("bias"):
            variable.assign(generator.normal(size=variable.shape))
    return model


def sessions(model, directory):
    write_onnx(model, directory)
    for name in NAMES:
        onnx.checker.check_model(directory / f"{name}.onnx", full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return {
        name: onnxruntime.InferenceSession(directory / f"{name}.onnx", options)
        for name in NAMES
    }


def run(session, *ids):
    names = [node.name for node in session.get_inputs()]
    feed = {n: np.asarray(x, np.int64) for n, x in zip(names, ids, strict=True)}
    (predictions,) = session.run(None, feed)
    assert predictions.dtype == np.float32
    return predictions


def ragged(ids, max_len=4):
    rows = [[x for x in row if x != -1][:max_len] for row in ids]
    return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


def random_ids(generator, rows, time, padding=0.4, vocab=10):
    ids = generator.integers(0, vocab, (rows, time))
    return np.where(generator.random((rows, time)) < padding, -1, ids)


def check(model, graphs, in0, in1, max_len=4):
    first, second = ragged(in0, max_len), ragged(in1, max_len)
    for predictions, expected in (
        (run(graphs["embed_enc0"], in0), model.enc0(first, training=False)),
        (run(graphs["embed_enc1"], in1), model.enc1(second, training=False)),
        (
            run(graphs["predict_pair"], in0, in1),
            model({"in0": first, "in1": second}, training=False),
        ),
    ):
        np.testing.assert_allclose(predictions, expected, rtol=0, atol=1e-5)


def check_all(model, directory, max_len=4):
    graphs = sessions(model, directory)
    generator = np.random.default_rng(0)
    # Lengths 0 to 12, truncated at max_len; -1 at the start, inside, at the end, and
    # in whole rows.
    for rows, time, padding in ((6, 12, 0.6), (3, 1, 0.5)):
        in0 = random_ids(generator, rows, time, padding)
        in1 = random_ids(generator, rows, time + 2, padding)
        in0[0] = -1
        check(model, graphs, in0, in1, max_len)
        together = run(graphs["predict_pair"], in0, in1)
        for row in range(rows):
            single = slice(row, row + 1)
            check(model, graphs, in0[single], in1[single], max_len)
            alone = run(graphs["predict_pair"], in0[single], in1[single])
            np.testing.assert_allclose(alone, together[single], rtol=0, atol=1e-5)
    width = model.hyperparameters.output_dim
    for shape in ((0, 3), (0, 0)):
        no_rows = np.zeros(shape, np.int64)
        assert run(graphs["embed_enc0"], no_rows).shape == (0, 8)
        assert run(graphs["embed_enc1"], no_rows).shape == (0, 8)
        assert run(graphs["predict_pair"], no_rows, no_rows).shape == (0, width)
    for empty in (np.zeros((2, 0), np.int64), np.full((2, 5), -1)):
        check(model, graphs, empty, np.full((2, 3), 7), max_len)
        zeros = run(graphs["embed_enc0"], empty)
        np.testing.assert_array_equal(zeros, np.zeros((2, 8), np.float32))


@pytest.mark.parametrize(
    ("network", "output_layer", "tied"),
    [
        ("pooled_embedding", "softmax", True),
        ("hcnn", "mean_squared_error", False),
        ("bilstm", "softmax", False),
        pytest.param("hcnn", "softmax", True, marks=pytest.mark.long),
        pytest.param("bilstm", "mean_squared_error", True, marks=pytest.mark.long),
    ],
)
def test_graphs_return_the_models_predictions(network, output_layer, tied, tmp_path):
    model = make_model(
        network, output_layer=output_layer, tied_token_embedding_weight=tied
    )
    check_all(model, tmp_path)


def test_repeated_tokens_can_count_by_their_logarithm(tmp_path):
    model = make_model(repeated_tokens="log", pooling="sqrtn")
    check_all(model, tmp_path)
    graphs = sessions(model, tmp_path)
    check(model, graphs, np.full((3, 1), 7), np.full((3, 2), 7), 4)
    rows = np.array([[7, 7, -1, 2, 7], [-1, 3, -1, -1, -1], [-1, -1, -1, -1, -1]])
    check(model, graphs, rows, rows[::-1], 4)
    table = model.enc0.get_layer("token_embedding0").embeddings.numpy()
    count = 1 + np.log(3)
    expected = (count * table[7] + table[2]) / np.sqrt(count + 1)
    encodings = run(graphs["embed_enc0"], rows)
    np.testing.assert_allclose(encodings[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", ["weighted", "weighted_sqrtn"])
def test_weights_apply_to_counted_tokens(pooling, tmp_path):
    model = make_model(repeated_tokens="log", pooling=pooling)
    random = np.random.default_rng(3)
    size = model.hyperparameters.enc0_vocab_size
    model.set_log_weights({0: random.normal(size=(size, 1)).astype(np.float32)})
    graphs = sessions(model, tmp_path)
    rows = np.array([[7, 7, -1, 2, 7], [-1, 3, -1, -1, -1], [-1, -1, -1, -1, -1]])
    check(model, graphs, rows, rows[::-1], 4)
    table = model.enc0.get_layer("token_embedding0").embeddings.numpy()
    (first, other), count = model.token_weights(0)[[7, 2]], 1 + np.log(3)
    divisor = {
        "weighted": count * first + other,
        "weighted_sqrtn": np.sqrt(count * first**2 + other**2),
    }
    expected = (count * first * table[7] + other * table[2]) / divisor[pooling]
    encodings = run(graphs["embed_enc0"], rows)
    np.testing.assert_allclose(encodings[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("network", ["hcnn", "bilstm"])
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_any_number_of_layers(network, layers, tmp_path):
    check_all(make_model(network, enc0_layers=layers), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("width", [1, 2, 4, 5, 9])
def test_any_filter_width(width, tmp_path):
    check_all(make_model("hcnn", enc0_cnn_filter_width=width), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("max_len", [1, 9, 5000])
@pytest.mark.parametrize("network", NETWORKS)
def test_rows_are_truncated_at_max_seq_len(network, max_len, tmp_path):
    model = make_model(network, enc0_max_seq_len=max_len)
    check_all(model, tmp_path, max_len)


def test_encoders_may_differ(tmp_path):
    model = make_model(
        "hcnn",
        enc1_network="bilstm",
        enc1_max_seq_len=4,
        enc1_vocab_size=10,
        enc1_token_embedding_dim=6,
    )
    check_all(model, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("comparator", COMPARATORS)
def test_all_comparators(comparator, tmp_path):
    model = make_model(comparator_list=comparator)
    graphs = sessions(model, tmp_path)
    ids = random_ids(np.random.default_rng(0), 6, 8)
    check(model, graphs, ids, ids[::-1])


@pytest.mark.long
@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
def test_all_activations(activation, layers, tmp_path):
    model = make_model(mlp_activation=activation, mlp_layers=layers)
    graphs = sessions(model, tmp_path)
    ids = random_ids(np.random.default_rng(0), 6, 8)
    check(model, graphs, ids, ids[::-1])


@pytest.fixture(scope="module", params=NETWORKS)
def graphs(request, tmp_path_factory):
    """Graphs of each encoder."""
    return sessions(make_model(request.param), tmp_path_factory.mktemp("graphs"))


def test_minus_one_is_dropped_at_any_position(graphs):
    embed = graphs["embed_enc0"]
    plain = run(embed, [[1, 2, 3]])
    for row in (
        [-1, 1, 2, 3],
        [1, -1, 2, 3],
        [1, 2, -1, -1, 3, -1],
        [-1] * 9 + [1, 2, 3],
    ):
        np.testing.assert_allclose(run(embed, [row]), plain, rtol=0, atol=1e-6)


@pytest.mark.parametrize("invalid", [10, -2, -10, -11, 2**62, -(2**63), 2**63 - 1])
def test_an_id_out_of_range_is_an_error(graphs, invalid):
    with pytest.raises(Exception, match="indices element out of data bounds"):
        run(graphs["embed_enc1"], [[1, 2], [3, invalid]])
    with pytest.raises(Exception, match="indices element out of data bounds"):
        run(graphs["predict_pair"], [[1]], [[invalid]])


@pytest.mark.parametrize(
    ("network", "tied"),
    [("pooled_embedding", True), ("hcnn", False), ("bilstm", True)],
)
def test_weights_are_stored_once(network, tied, tmp_path):
    more = {"enc0_token_embedding_dim": 64} if network != "pooled_embedding" else {}
    model = make_model(
        network,
        enc0_vocab_size=20_000,
        enc_dim=64,
        tied_token_embedding_weight=tied,
        **more,
    )
    write_onnx(model, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        WEIGHTS,
        *(f"{name}.onnx" for name in NAMES),
    }
    weights = sum(4 * int(np.prod(v.shape)) for v in model.trainable_variables)
    stored = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert weights <= stored < 1.05 * weights
    assert all((tmp_path / f"{n}.onnx").stat().st_size < 30_000 for n in NAMES)


def test_shapes_and_names_are_those_of_the_signatures(tmp_path):
    graphs = sessions(make_model(), tmp_path)
    for name, inputs, output, width in (
        ("embed_enc0", ["in0"], "embeddings", 8),
        ("embed_enc1", ["in1"], "embeddings", 8),
        ("predict_pair", ["in0", "in1"], "scores", 3),
    ):
        assert [x.name for x in graphs[name].get_inputs()] == inputs
        assert {x.type for x in graphs[name].get_inputs()} == {"tensor(int64)"}
        (output_info,) = graphs[name].get_outputs()
        assert (output_info.name, output_info.shape) == (output, ["batch", width])
        assert onnx.load(tmp_path / f"{name}.onnx").opset_import[0].version == 18
