import stat
import subprocess

import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from export import export_saved_model
from tests.command_server import python_m

NETWORKS = ("pooled_embedding", "hcnn", "bilstm")


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


def load(path):
    return tf.saved_model.load(str(path)).signatures


def dense(rows):
    return tf.constant(rows, tf.int64)


@pytest.mark.parametrize("network", NETWORKS)
def test_signatures_return_the_models_predictions(network, tmp_path):
    model = make_model(network)
    signatures = load(export_saved_model(model, tmp_path))
    assert {*signatures} == {
        "embed_enc0",
        "embed_enc1",
        "predict_pair",
        "serving_default",
        "classify_pair",
        "describe",
    }
    rows0, rows1 = [[1, 2, 3], [4], [0, 0]], [[5, 6], [], [9, 9, 9]]
    in0, in1 = (tf.ragged.constant(rows, dtype=tf.int64) for rows in (rows0, rows1))
    padded0, padded1 = in0.to_tensor(-1), in1.to_tensor(-1)
    for name, encoder, ragged, padded in (
        ("embed_enc0", model.enc0, in0, padded0),
        ("embed_enc1", model.enc1, in1, padded1),
    ):
        key = f"in{name[-1]}"
        predictions = signatures[name](**{key: padded})["embeddings"]
        assert predictions.dtype == tf.float32
        np.testing.assert_array_equal(predictions, encoder(ragged, training=False))
    for name in ("predict_pair", "serving_default"):
        scores = signatures[name](in0=padded0, in1=padded1)["scores"]
        np.testing.assert_array_equal(scores, model({"in0": in0, "in1": in1}))
        assert scores.shape == (3, 3)


def test_minus_one_is_dropped_at_any_position(tmp_path):
    embed = load(export_saved_model(make_model(), tmp_path))["embed_enc0"]
    plain = embed(in0=dense([[1, 2, 3]]))["embeddings"]
    for row in (
        [-1, 1, 2, 3],
        [1, -1, 2, 3],
        [1, 2, -1, -1, 3, -1],
        [-1] * 9 + [1, 2, 3],
    ):
        np.testing.assert_array_equal(embed(in0=dense([row]))["embeddings"], plain)
    empty = embed(in0=dense([[-1, -1]]))["embeddings"]
    np.testing.assert_array_equal(empty, np.zeros((1, 8), np.float32))


def test_sequences_are_truncated_at_max_seq_len(tmp_path):
    embed = load(export_saved_model(make_model(), tmp_path))["embed_enc0"]
    np.testing.assert_array_equal(
        embed(in0=dense([[-1, 1, 2, 3, 4, 5, 6]]))["embeddings"],
        embed(in0=dense([[1, 2, 3, 4]]))["embeddings"],
    )


@pytest.mark.parametrize("invalid", [10, -2, 2**62])
def test_the_error_for_an_id_out_of_range_has_its_position(invalid, tmp_path):
    signatures = load(export_saved_model(make_model(), tmp_path))
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        signatures["embed_enc1"](in1=dense([[1, 2], [3, invalid]]))
    text = f"in1: row 1, position 1: expected an id in [0, 10), got {invalid}"
    assert text in error.value.message


@pytest.mark.long
def test_an_empty_batch_gives_empty_predictions(tmp_path):
    signatures = load(export_saved_model(make_model("hcnn"), tmp_path))
    empty = tf.zeros([0, 3], tf.int64)
    assert signatures["embed_enc0"](in0=empty)["embeddings"].shape == (0, 8)
    assert signatures["predict_pair"](in0=empty, in1=empty)["scores"].shape == (0, 3)


def test_versions_count_up_and_are_readable(tmp_path):
    model = make_model()
    assert export_saved_model(model, tmp_path) == tmp_path / "1"
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    path = export_saved_model(model, tmp_path)
    assert path == tmp_path / "8"
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert {entry.name for entry in tmp_path.iterdir()} == {"1", "7", "8", "notes"}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.long
def test_a_saved_model_is_little_larger_than_its_weights(network, tmp_path):
    pooled = network == "pooled_embedding"
    more = {"enc_dim" if pooled else "enc0_token_embedding_dim": 120}
    model = make_model(network, enc0_vocab_size=20_000, **more)
    path = export_saved_model(model, tmp_path)
    weights = sum(4 * int(np.prod(v.shape)) for v in model.trainable_variables)
    stored = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    assert weights <= stored < 1.05 * weights


def test_the_command_exports_the_next_version_of_a_run(settings, ratings, tmp_path):
    run = tmp_path / "run"
    o2v.fit(o2v.Hyperparameters(**settings | {"epochs": 1}), **ratings, model_dir=run)
    done = subprocess.run(
        [*python_m("export"), f"--model_dir={run}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{run / 'export' / '2'}\n"
    a, b = (load(run / "export" / v)["embed_enc0"] for v in "12")
    ids = dense([[3], [4]])
    np.testing.assert_array_equal(a(in0=ids)["embeddings"], b(in0=ids)["embeddings"])
    done = subprocess.run(
        [*python_m("export"), f"--model_dir={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"error: {tmp_path / 'model.keras'}: the model cannot be opened"
    )
