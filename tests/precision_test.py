"""Mixed precision from Keras's policies to saved models."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.optimizers import LossScaling, RowSparseAdam

MIXED = ("mixed_bfloat16", "mixed_float16")
NETWORKS = ("pooled_embedding", "hcnn", "bilstm")
# Half the distance from 1 to the next number: the largest relative rounding error.
UNIT_ROUNDOFF = {"mixed_bfloat16": 2**-8, "mixed_float16": 2**-11}
each_network = pytest.mark.parametrize("network", NETWORKS)

SETTINGS = {
    "enc0_network": "hcnn",
    "enc0_vocab_size": 20,
    "enc0_max_seq_len": 6,
    "enc_dim": 8,
    "mlp_dim": 4,
    "enc0_token_embedding_dim": 8,
    "token_embedding_storage_type": "row_sparse",
    "learning_rate": 0.01,
}
NO_MLP = {"enc0_network": "pooled_embedding", "mlp_layers": 0, "weight_decay": 0.1}
OBJECTIVES = [
    {},
    {"output_layer": "mean_squared_error"},
    {"objective": "in_batch_softmax", "learn_temperature": True},
    {"negative_sampling_rate": 2, "negative_mining": "hard", "dropout": 0.2},
]


def batch(pairs=16):
    random = np.random.default_rng(0)

    def rows():
        sizes = random.integers(0, 6, pairs)
        ids = [random.integers(0, 20, size).tolist() for size in sizes]
        return tf.ragged.constant(ids, tf.int64, ragged_rank=1)

    inputs = {"in0": rows(), "in1": rows()}
    return inputs, random.integers(0, 2, pairs).astype("float32")


def trained(policy, steps=3, **settings):
    """Returns a model that was trained on one batch, eagerly."""
    model = o2v.Object2Vec(SETTINGS | settings, seed=1, dtype=policy)
    model.compile()
    model.optimizer.build(model.trainable_variables)
    for _ in range(20):  # steps that overflow in float16 do not count
        if int(model.optimizer.iterations) < steps:
            model.train_batch(batch())
    assert int(model.optimizer.iterations) == steps
    return model


def measured(model):
    """Returns the metrics of a model for the batch."""
    model.reset_metrics()
    model.test_batch(batch())
    return {name: float(v) for name, v in model.get_metrics_result().items()}


@pytest.fixture
def global_policy():
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    "policy", [MIXED[0], pytest.param(MIXED[1], marks=pytest.mark.long)]
)
@each_network
def test_scores_are_those_of_float32_up_to_rounding(policy, network):
    settings = {"enc0_network": network}
    mixed = o2v.Object2Vec(SETTINGS | settings, seed=1, dtype=policy)
    exact = o2v.Object2Vec(SETTINGS | settings, seed=1, dtype="float32")
    inputs, _ = batch()

    scores, embeddings = mixed(inputs), mixed.enc0(inputs["in0"])

    assert scores.dtype == embeddings.dtype == tf.float32
    # Activations are below 1 here, and each of up to four layers rounds its operands
    # and its result.
    tolerance = 4 * 3 * UNIT_ROUNDOFF[policy]
    np.testing.assert_allclose(scores, exact(inputs), atol=tolerance)
    expected = exact.enc0(inputs["in0"])
    np.testing.assert_allclose(embeddings, expected, atol=tolerance)
    assert np.any(scores != exact(inputs))
    assert np.any(embeddings != expected) == (network != "pooled_embedding")
    columns = {name: rows.to_list() for name, rows in inputs.items()}
    np.testing.assert_allclose(mixed.score(columns), scores, atol=tolerance)
    assert mixed.embed(columns["in0"]).dtype == np.float32


@pytest.mark.parametrize(
    "policy", [MIXED[0], pytest.param(MIXED[1], marks=pytest.mark.long)]
)
@pytest.mark.parametrize(
    "objective",
    [pytest.param(o, marks=pytest.mark.long) for o in OBJECTIVES[:-1]]
    + OBJECTIVES[-1:],
    ids=str,
)
@pytest.mark.parametrize(
    "network",
    [pytest.param(n, marks=pytest.mark.long) for n in NETWORKS[:-1]] + [NETWORKS[-1]],
)
def test_training_evaluation_and_prediction(policy, objective, network):
    settings = objective | {"enc0_network": network}
    model = trained(policy, **settings)
    expected = trained("float32", **settings)

    for variable in (*model.variables, *model.optimizer.variables):
        assert variable.dtype != model.compute_dtype
    measures, exact = measured(model), measured(expected)
    assert measures.keys() == exact.keys()
    for name in ("loss", model.hyperparameters.loss_name):
        np.testing.assert_allclose(measures[name], exact[name], rtol=0.05)
    inputs, _ = batch()
    np.testing.assert_allclose(model(inputs), expected(inputs), atol=0.05)


def test_fit_evaluate_and_predict_under_the_global_policy(global_policy):
    global_policy("mixed_float16")
    settings = SETTINGS | {"enc0_network": "pooled_embedding"}
    model = o2v.Object2Vec(settings, seed=1)
    exact = o2v.Object2Vec(settings, dtype="float32")
    global_policy("float32")
    model.compile()
    inputs, labels = batch()

    assert model.dtype_policy.name == "mixed_float16"
    assert exact.comparator.get_layer("mlp_0").compute_dtype == "float32"
    # The policy is the model's, whatever the global one is later.
    assert model.comparator.get_layer("mlp_0").compute_dtype == "float16"
    data = tf.data.Dataset.from_tensors((inputs, labels)).repeat(3)
    model.fit(data, verbose=0, shuffle=False)
    expected = trained("mixed_float16", enc0_network="pooled_embedding")
    for first, second in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)  # float16 rounds
    measures = model.evaluate(data.take(1), verbose=0, return_dict=True)
    np.testing.assert_allclose(measures["loss"], measured(model)["loss"], rtol=1e-3)
    scores = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(scores, model(inputs), atol=1e-3)


def test_loss_scaling_changes_nothing_without_16_bit_layers():
    # Pooled token vectors and the output layer are float32. Scales are powers of 2.
    scaled, exact = (trained(p, **NO_MLP) for p in ("mixed_float16", "float32"))

    assert isinstance(scaled.optimizer, LossScaling)
    assert isinstance(scaled.optimizer.inner_optimizer, RowSparseAdam)
    assert not isinstance(exact.optimizer, LossScaling)
    assert int(scaled.optimizer.iterations) == 3
    for first, second in zip(scaled.weights, exact.weights, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "policy", [MIXED[1], pytest.param(MIXED[0], marks=pytest.mark.long)]
)
def test_a_saved_model_keeps_its_policy_and_training_continues(policy, tmp_path):
    path = tmp_path / "model.keras"
    model = trained(policy)
    model.save(path)
    assert keras.config.dtype_policy().name == "float32"

    loaded = o2v.load(path)

    assert loaded.dtype_policy.name == policy
    inputs, labels = batch()
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    for continued in (loaded, model):
        continued.train_batch((inputs, labels))
    received, expected = ([*m.weights, *m.optimizer.variables] for m in (loaded, model))
    for first, second in zip(received, expected, strict=True):
        np.testing.assert_array_equal(first, second)
    assert type(loaded.optimizer) is type(model.optimizer)


def test_automatic_loss_scaling_can_be_turned_off():
    model = o2v.Object2Vec(SETTINGS, dtype="mixed_float16")
    model.compile("sgd", auto_scale_loss=False)
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    model.compile("sgd")
    assert isinstance(model.optimizer, LossScaling)


def test_policies_with_weights_of_16_bits_are_rejected():
    with pytest.raises(ValueError, match=r"^dtype: expected one of float32, mixed"):
        o2v.Object2Vec(SETTINGS, dtype="float16")
