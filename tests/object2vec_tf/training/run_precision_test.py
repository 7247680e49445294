import json
import warnings

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.errors import RunDirectoryError, UserError
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.python_inputs import pair_inputs


def fit(settings, ratings, model_dir, **options):
    options = {"verbose": False, **options}
    return o2v.fit(settings, **{**ratings, **options}, model_dir=model_dir)


def scores_of_float32(model, pairs):
    exact = o2v.Object2Vec(model.hyperparameters, dtype="float32")
    exact.set_weights(model.get_weights())
    return exact.score(pairs)


@pytest.mark.long
def test_a_run_in_bfloat16(settings, ratings, tmp_path):
    pairs = {"in0": [[3], [7]], "in1": [[2], [5]]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = fit(settings, ratings, tmp_path / "run", precision="bfloat16")

    messages = [str(warning.message) for warning in caught]
    assert any("bfloat16 is slower than float32 on a CPU" in m for m in messages)
    assert run.model.dtype_policy.name == "mixed_bfloat16"
    assert o2v.load(tmp_path / "run").dtype_policy.name == "mixed_bfloat16"
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["precision"] == "bfloat16"
    card = (tmp_path / "run/report.md").read_text()
    assert "in mixed precision (bfloat16)" in " ".join(card.split())
    # The exported model computes in float32.
    predictor = load_model(tmp_path / "run")
    inputs = pair_inputs(pairs, run.model.hyperparameters, (None, None))
    exact = scores_of_float32(run.model, pairs)
    np.testing.assert_allclose(predictor(inputs), exact, rtol=1e-6)
    assert np.any(run.model.score(pairs) != exact)
    with pytest.raises(RunDirectoryError, match="precision: 'bfloat16' in the dir"):
        fit(settings, ratings, tmp_path / "run")


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:precision")
def test_runs_start_with_a_model_of_another_precision(settings, ratings, tmp_path):
    earlier = fit(settings, ratings, tmp_path / "half", precision="float16")
    run = fit(
        settings | {"learning_rate": 1e-6, "optimizer": "sgd"},  # hardly moves
        ratings,
        tmp_path / "run",
        initial_model=tmp_path / "half",
    )

    assert run.model.dtype_policy.name == "float32"
    for first, second in zip(run.model.weights, earlier.model.weights, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:precision")
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_an_interrupted_run_resumes_with_the_same_weights(
    precision, settings, ratings, tmp_path
):
    settings = settings | {
        "token_embedding_storage_type": "row_sparse",
        "optimizer": "sgd",
    }
    whole = fit(settings, ratings, tmp_path / "whole", precision=precision)
    fit(settings | {"epochs": 1}, ratings, tmp_path / "run", precision=precision)
    run = fit(settings, ratings, tmp_path / "run", precision=precision)

    for first, second in zip(run.model.weights, whole.model.weights, strict=True):
        # The kernels for 16 bits may add in another order on a busy machine.
        np.testing.assert_allclose(first, second, atol=2**-10)
    received, expected = (
        [v.numpy() for v in r.model.optimizer.variables] for r in (run, whole)
    )
    for first, second in zip(received, expected, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:precision")
@pytest.mark.parametrize("network", ["pooled_embedding", "hcnn", "bilstm"])
@pytest.mark.parametrize(
    ("precision", "roundoff"), [("bfloat16", 2**-8), ("float16", 2**-11)]
)
def test_both_layouts_of_batches_give_the_same_weights(
    precision, roundoff, network, settings, ratings, tmp_path
):
    settings = settings | {
        "enc0_network": network,
        "enc1_network": "enc0",
        "enc0_token_embedding_dim": 8,
        "enc0_vocab_size": 30,
        "token_embedding_storage_type": "row_sparse",
        # Adam would amplify rounding in gradients near 0.
        "optimizer": "sgd",
        "weight_decay": 0.01,
    }
    del settings["enc1_max_seq_len"], settings["enc1_vocab_size"]
    ragged, static = (
        fit(
            settings,
            ratings,
            tmp_path / layout,
            precision=precision,
            batch_layout=layout,
        ).model
        for layout in ("ragged", "static")
    )

    assert int(static.optimizer.iterations) == int(ragged.optimizer.iterations)
    for first, second in zip(
        static.trainable_variables, ragged.trainable_variables, strict=True
    ):
        # Both round products of the same numbers, in another order of sums.
        np.testing.assert_allclose(first, second, atol=2 * roundoff)


def test_unknown_precisions_are_rejected(settings, ratings, tmp_path):
    with pytest.raises(UserError, match=r"^precision: expected one of float32, bf"):
        fit(settings, ratings, tmp_path / "run", precision="half")
    assert not (tmp_path / "run").exists()
