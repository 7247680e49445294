import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.devices import gpu_is_visible
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.model.object2vec import Object2Vec

ROOT = Path(__file__).parents[3]
POOLED = {"enc0_network": "pooled_embedding"}
HCNN = {"enc0_network": "hcnn", "enc0_layers": 2, "enc0_token_embedding_dim": 3}
BILSTM = {"enc0_network": "bilstm", "enc0_layers": 2, "enc0_token_embedding_dim": 3}
TIED = {"tied_token_embedding_weight": True}
REGRESSION = {"output_layer": "mean_squared_error"}

IN0 = [[1, 1, 2], [], [5], [4, 0, 3, 3]]
IN1 = [[6, 1], [2, 2, 0], [], [3]]
LABELS = np.array([1, 0, 2, 1])
VALUES = np.array([1.5, 0.0, -2.0, 3.0], np.float32)


def model(*groups, seed=1, biases=True, **values):
    """A compiled model with random biases."""
    settings = {
        "enc0_max_seq_len": 9,
        "enc0_vocab_size": 7,
        "enc_dim": 4,
        "mlp_layers": 1,
        "mlp_dim": 5,
        "mlp_activation": "tanh",
        "num_classes": 3,
        "learning_rate": 0.05,
    }
    for group in groups:
        settings |= group
    built = Object2Vec({**settings, **values}, seed=seed)
    random = np.random.default_rng(3)
    for weight in built.trainable_variables if biases else ():
        if len(weight.shape) == 1:
            weight.assign(random.normal(0, 0.5, weight.shape))
    built.compile()
    return built


def ragged(rows):
    return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


def inputs(in0=IN0, in1=IN1):
    return {"in0": ragged(in0), "in1": ragged(in1)}


def dataset(labels=LABELS, *more, batch=2):
    pairs = (inputs(), labels, *more)
    return tf.data.Dataset.from_tensor_slices(pairs).batch(batch)


def numpy_logits(pooled, in0=IN0, in1=IN1):
    """The logits of pooled encoders, in numpy."""
    *tables, kernel, bias, out_kernel, out_bias = pooled.trainable_weights

    def mean(table, ids):
        return table.numpy()[ids].mean(0) if ids else np.zeros(table.shape[1])

    first = np.array([mean(tables[0], ids) for ids in in0])
    second = np.array([mean(tables[-1], ids) for ids in in1])
    compared = np.concatenate(
        [first * second, first, second, np.abs(first - second)], axis=1
    )
    hidden = np.tanh(compared @ kernel.numpy() + bias.numpy())
    return hidden @ out_kernel.numpy() + out_bias.numpy()


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def cross_entropies(logits, labels):
    shifted = logits - logits.max(1, keepdims=True)
    return np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(labels)), labels]


# Scores


@pytest.mark.parametrize("network", [POOLED, HCNN, BILSTM])
@pytest.mark.parametrize("output", [{}, REGRESSION])
def test_scores_are_the_comparator_of_both_encodings(network, output):
    pairs = model(network, output)

    scores = pairs(inputs())

    first, second = pairs.enc0(ragged(IN0)), pairs.enc1(ragged(IN1))
    np.testing.assert_array_equal(scores, pairs.comparator([first, second]))
    assert scores.shape == (4, 1 if output else 3)


@pytest.mark.parametrize("tying", [{}, TIED])
def test_predictions_equal_the_numpy_model(tying):
    classes, values = model(POOLED, tying), model(POOLED, tying, REGRESSION)

    for batch in (1, 3, 4):
        np.testing.assert_allclose(
            classes.predict(dataset(batch=batch), verbose=0),
            softmax(numpy_logits(classes)),
            atol=1e-6,
        )
        np.testing.assert_allclose(
            values.predict(dataset(batch=batch), verbose=0),
            numpy_logits(values),
            atol=1e-6,
        )


def test_tied_encoders_train_one_table_from_both_sides():
    pairs = model(POOLED, TIED, optimizer="sgd", learning_rate=1.0)
    tables = [v for v in pairs.trainable_variables if v.shape == (7, 4)]
    assert len(tables) == 1
    before = tables[0].numpy()

    pairs.train_step((inputs([[1, 1]], [[6]]), tf.constant([1])))

    moved = np.any(tables[0].numpy() != before, axis=1)
    np.testing.assert_array_equal(np.flatnonzero(moved), [1, 6])


def test_untied_encoders_train_a_table_per_side():
    pairs = model(POOLED, optimizer="sgd", learning_rate=1.0)
    tables = [v for v in pairs.trainable_variables if v.shape == (7, 4)]
    assert len(tables) == 2
    before = [table.numpy() for table in tables]
    assert np.all(before[0] != before[1])

    pairs.train_step((inputs([[1, 1]], [[6]]), tf.constant([1])))

    for table, old, row in zip(tables, before, (1, 6), strict=True):
        moved = np.any(table.numpy() != old, axis=1)
        np.testing.assert_array_equal(np.flatnonzero(moved), [row])


# 16 inputs and 5 units, then 5 and 3 classes.
MLP = 16 * 5 + 5 + 5 * 3 + 3


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([POOLED], 2 * 7 * 4 + MLP),
        ([POOLED, TIED], 7 * 4 + MLP),
        ([POOLED, REGRESSION], 2 * 7 * 4 + 16 * 5 + 5 + 5 + 1),
        ([POOLED, {"mlp_layers": 0}], 2 * 7 * 4 + 16 * 3 + 3),
        ([POOLED, {"mlp_layers": 3}], 2 * 7 * 4 + MLP + 2 * (5 * 5 + 5)),
        ([POOLED, {"comparator_list": "hadamard"}], 2 * 7 * 4 + MLP - 12 * 5),
        ([HCNN], 2 * (7 * 3 + 3 * 3 * 2 + 2 + 3 * 2 * 2 + 2) + MLP),
        ([HCNN, TIED], 7 * 3 + 2 * (3 * 3 * 2 + 2 + 3 * 2 * 2 + 2) + MLP),
        ([BILSTM], 2 * (7 * 3 + 2 * 8 * (3 + 2 + 1) + 2 * 8 * (4 + 2 + 1)) + MLP),
    ],
)
def test_number_of_trainable_weights(groups, expected):
    shapes = [weight.shape for weight in model(*groups).trainable_weights]

    assert sum(int(np.prod(shape)) for shape in shapes) == expected


# Losses and metrics


def test_cross_entropy_and_accuracy_equal_numpy():
    pairs = model(POOLED)
    logits = numpy_logits(pairs)

    metrics = pairs.evaluate(dataset(batch=3), verbose=0, return_dict=True)

    assert set(metrics) == {"loss", "cross_entropy", "accuracy"}
    expected = cross_entropies(logits, LABELS).mean()
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)
    assert metrics["cross_entropy"] == pytest.approx(expected, rel=1e-5)
    assert metrics["accuracy"] == (logits.argmax(1) == LABELS).mean()


@pytest.mark.parametrize("labels", [VALUES, VALUES.astype(np.int64)])
def test_squared_error_equals_numpy(labels):
    pairs = model(POOLED, REGRESSION)
    expected = np.square(numpy_logits(pairs)[:, 0] - labels).mean()

    metrics = pairs.evaluate(dataset(labels, batch=3), verbose=0, return_dict=True)

    assert set(metrics) == {"loss", "mean_squared_error"}
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)
    assert metrics["mean_squared_error"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("output", "labels"), [({}, LABELS), (REGRESSION, VALUES)])
def test_fit_reports_the_loss_before_the_step(output, labels):
    pairs = model(POOLED, output)
    logits = numpy_logits(pairs)
    if output:
        expected = np.square(logits[:, 0] - labels).mean()
    else:
        expected = cross_entropies(logits, labels).mean()

    history = pairs.fit(dataset(labels, batch=4), verbose=0).history

    name = "mean_squared_error" if output else "cross_entropy"
    assert history["loss"] == pytest.approx([expected], rel=1e-5)
    assert history[name] == pytest.approx([expected], rel=1e-5)


def test_confident_mistakes_have_exact_losses_and_gradients():
    pairs = model(POOLED, mlp_layers=0, optimizer="sgd", learning_rate=1.0)
    output = pairs.comparator.get_layer("output")
    output.kernel.assign(np.zeros((16, 3)))
    output.bias.assign([200.0, 0.0, -200.0])
    data = dataset(np.array([2, 2, 1, 1]), batch=4)
    # Lower than the first class by 400, 400, 200, 200.
    metrics = pairs.evaluate(data, verbose=0, return_dict=True)
    history = pairs.fit(data, verbose=0).history

    assert metrics["loss"] == pytest.approx(300)
    assert metrics["cross_entropy"] == pytest.approx(300)
    assert history["loss"] == pytest.approx([300])
    # One step along the gradient of cross-entropy: probabilities minus labels.
    np.testing.assert_allclose(output.bias, [199, 0.5, -199.5])
    assert all(np.isfinite(w.numpy()).all() for w in pairs.trainable_variables)


def test_sample_weights_scale_the_loss():
    pairs = model(POOLED)
    weights = np.array([2.0, 0.0, 1.0, 0.5], np.float32)
    each = cross_entropies(numpy_logits(pairs), LABELS)

    data = dataset(LABELS, weights, batch=4)
    evaluated = pairs.evaluate(data, verbose=0, return_dict=True)
    trained = pairs.fit(data, verbose=0).history

    assert evaluated["loss"] == pytest.approx((each * weights).mean(), rel=1e-5)
    weighed = np.average(each, weights=weights)
    assert evaluated["cross_entropy"] == pytest.approx(weighed, rel=1e-5)
    assert trained["loss"] == pytest.approx([(each * weights).mean()], rel=1e-5)


def test_pair_with_weight_zero_changes_nothing():
    pairs = model(POOLED, optimizer="sgd")
    before = [v.numpy() for v in pairs.trainable_variables]

    pairs.train_step((inputs(), tf.constant(LABELS), tf.zeros(4)))

    for weight, old in zip(pairs.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.parametrize("mining", [{}, {"negative_mining": "hard"}])
def test_negatives_have_the_weight_of_their_pair(mining):
    pairs = model(POOLED, mining, optimizer="sgd", negative_sampling_rate=2)
    features = inputs([[1], [2], [3], [4]], [[5], [6], [0], [1]])
    weights = tf.constant([1.0, 0.0, 1.0, 1.0])
    before = pairs.trainable_variables[0].numpy()

    pairs.train_step((features, tf.constant(LABELS), weights))

    # Token 2 occurs only in in0 of the pair with weight 0, and of its negatives.
    after = pairs.trainable_variables[0].numpy()
    changed = np.flatnonzero(np.any(after != before, axis=1))
    assert changed.tolist() == [1, 3, 4]


def test_compile_accepts_other_losses_and_metrics():
    pairs = model(POOLED)
    pairs.compile(
        keras.optimizers.Nadam(0.01),
        keras.losses.SparseCategoricalCrossentropy(reduction="sum"),
        metrics=[keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")],
    )
    expected = cross_entropies(numpy_logits(pairs), LABELS).sum()

    history = pairs.fit(dataset(batch=4), verbose=0).history

    assert set(history) == {"loss", "top2"}
    assert history["loss"] == pytest.approx([expected], rel=1e-5)


# Negatives


@pytest.mark.parametrize(("excludes", "copies"), [(True, 1), (False, 2)])
def test_negatives_are_added_to_training_batches_only(excludes, copies):
    # With two pairs, the only possible negative is the other pair's in1. It is not
    # repeated if known pairs are excluded.
    settings = {"negative_sampling_rate": 2, "negative_exclude_known": excludes}
    pairs = model(POOLED, num_classes=2, **settings)
    in0, in1, labels = IN0[:2], IN1[:2], np.array([1, 1])
    given = cross_entropies(numpy_logits(pairs, in0, in1), labels)
    crossed = numpy_logits(pairs, in0, in1[::-1])
    made = cross_entropies(crossed, np.array([0, 0]))
    data = tf.data.Dataset.from_tensor_slices((inputs(in0, in1), labels)).batch(2)

    evaluated = pairs.evaluate(data, verbose=0, return_dict=True)
    trained = pairs.fit(data, verbose=0).history

    assert evaluated["loss"] == pytest.approx(given.mean(), rel=1e-5)
    expected = np.concatenate([given, *[made] * copies]).mean()
    assert trained["loss"] == pytest.approx([expected], rel=1e-5)
    assert trained["cross_entropy"] == pytest.approx([expected], rel=1e-5)


@pytest.mark.long
def test_batch_of_one_pair_trains_without_negatives():
    pairs = model(POOLED, negative_sampling_rate=2)
    before = pairs.trainable_variables[0].numpy()

    data = tf.data.Dataset.from_tensor_slices((inputs(), LABELS)).take(1).batch(1)
    pairs.fit(data, verbose=0)

    assert np.any(pairs.trainable_variables[0].numpy() != before)


# Gradients


def numpy_gradients(pairs, network):
    """One step of SGD with one-hot tokens, where each object is encoded alone."""
    weights = [w.value for w in pairs.trainable_weights]

    def encode(ids, table, weights):
        steps = tf.one_hot(ids, 7) @ table
        if network is HCNN:
            maxima = []
            for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
                steps = tf.nn.relu(
                    tf.nn.conv1d(steps[tf.newaxis], kernel, 1, "SAME")[0] + bias
                )
                maxima.append(tf.reduce_max(steps, 0))
            return tf.concat(maxima, 0)
        for layer in range(2):
            ahead, back = weights[3 * layer :][:3], weights[6 + 3 * layer :][:3]
            steps = tf.concat(
                [lstm(steps, *ahead), lstm(steps[::-1], *back)[::-1]], axis=1
            )
        return tf.reduce_max(steps, 0)

    def lstm(steps, kernel, recurrent, bias):
        state = memory = tf.zeros(2)
        outputs = []
        for step in tf.unstack(steps):
            gates = tf.linalg.matvec(kernel, step, True) + bias
            gates += tf.linalg.matvec(recurrent, state, True)
            enter, keep, new, out = tf.split(gates, 4)
            memory = tf.sigmoid(keep) * memory + tf.sigmoid(enter) * tf.tanh(new)
            state = tf.sigmoid(out) * tf.tanh(memory)
            outputs.append(state)
        return tf.stack(outputs)

    own = 4 if network is HCNN else 12
    with tf.GradientTape() as tape:
        encodings = []
        for side, rows in enumerate((IN0, IN1)):
            table, *inner = weights[side * (1 + own) :][: 1 + own]
            encodings.append(
                tf.stack(
                    [encode(ids, table, inner) if ids else tf.zeros(4) for ids in rows]
                )
            )
        first, second = encodings
        compared = tf.concat([first * second, first, second, abs(first - second)], 1)
        kernel, bias, out_kernel, out_bias = weights[-4:]
        logits = tf.tanh(compared @ kernel + bias) @ out_kernel + out_bias
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, logits)
        )
    return tape.gradient(loss, weights)


@pytest.mark.parametrize(
    ("network", "storage"),
    [(HCNN, "dense"), (HCNN, "row_sparse"), (BILSTM, "row_sparse")],
)
def test_training_step_equals_encoding_objects_one_by_one(network, storage):
    pairs = model(
        network,
        optimizer="sgd",
        learning_rate=1.0,
        token_embedding_storage_type=storage,
    )
    before = [w.numpy() for w in pairs.trainable_weights]
    gradients = numpy_gradients(pairs, network)

    pairs.fit(dataset(batch=4), verbose=0)

    for weight, old, gradient in zip(
        pairs.trainable_weights, before, gradients, strict=True
    ):
        expected = old - tf.convert_to_tensor(gradient).numpy()
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
def test_graph_and_eager_training_are_equal(storage):
    eager, graph = (
        model(POOLED, TIED, token_embedding_storage_type=storage) for _ in range(2)
    )

    for batch in dataset():
        eager.train_step(batch)
    graph.fit(dataset(), verbose=0)

    for one, two in zip(
        eager.trainable_variables, graph.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)


def test_dropout_of_1_gives_no_error_and_no_warning():
    pairs = model(POOLED, dropout=1.0, weight_decay=0.5)

    pairs.train_step((inputs(), tf.constant(LABELS)))

    assert all(np.isfinite(w.numpy()).all() for w in pairs.trainable_variables)


# Seeds


@pytest.mark.parametrize("network", [POOLED, HCNN, BILSTM])
@pytest.mark.long
def test_seed_determines_initial_weights_and_training(network):
    options = {"dropout": 0.3, "negative_sampling_rate": 2}
    runs = []
    for seed in (1, 1, 2):
        pairs = model(network, biases=False, seed=seed, **options)
        start = [w.numpy() for w in pairs.trainable_weights]
        for _ in range(3):
            pairs.train_step((inputs(), tf.constant(LABELS)))
        runs.append((start, [w.numpy() for w in pairs.trainable_weights]))
    (start, end), (same_start, same_end), (other_start, _) = runs

    for one, two in zip(start, same_start, strict=True):
        np.testing.assert_array_equal(one, two)
    # A GPU adds gradients in another order in each step.
    for one, two in zip(end, same_end, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-6 * gpu_is_visible())
    for one, two in zip(start, other_start, strict=True):
        assert one.ndim == 1 or np.all(one != two)
    for one, two in zip(start, end, strict=True):
        assert np.any(one != two)


def test_dropout_and_negatives_differ_between_steps():
    for options in ({"dropout": 0.5}, {"negative_sampling_rate": 1}):
        pairs = model(POOLED, optimizer="sgd", learning_rate=1e-6, **options)
        losses = set()
        for _ in range(6):
            pairs.reset_metrics()
            losses.add(
                round(
                    float(pairs.train_step((inputs(), tf.constant(LABELS)))["loss"]), 3
                )
            )
        assert len(losses) > 1


# Saving


SAVED = {
    "pooled": [POOLED, {"token_embedding_storage_type": "row_sparse"}],
    "rows": [
        POOLED,
        {
            "optimizer": "rowwise_adagrad",
            "token_embedding_storage_type": "row_sparse",
        },
    ],
    "hcnn": [HCNN, {"optimizer": "rowwise_adagrad"}],
    "bilstm": [BILSTM, {"optimizer": "rmsprop"}],
    "tied": [
        POOLED,
        TIED,
        REGRESSION,
        {"optimizer": "adadelta", "token_embedding_storage_type": "row_sparse"},
    ],
}
FRESH_PROCESS = """
import sys
import keras
import object2vec_tf

import numpy as np
import tensorflow as tf

for name in sys.argv[2:]:
    model = keras.models.load_model(f"{sys.argv[1]}/{name}.keras")
    ids = np.load(f"{sys.argv[1]}/ids.npz")
    inputs = {
        side: tf.RaggedTensor.from_row_lengths(ids[side], ids[side + "_lengths"])
        for side in ("in0", "in1")
    }
    predictions = model.predict(inputs, verbose=0)
    loaded = [v.numpy() for v in model.optimizer.variables]
    model.train_step((inputs, tf.constant(ids["labels"])))
    trained = [v.numpy() for v in model.trainable_variables]
    np.savez(
        f"{sys.argv[1]}/{name}.npz",
        predictions=predictions,
        optimizer=type(model.optimizer).__name__,
        names=list(model.get_metrics_result()),
        **{f"slot{i}": v for i, v in enumerate(loaded)},
        **{f"weight{i}": v for i, v in enumerate(trained)},
    )
"""


@pytest.fixture(scope="module")
def fresh_process(tmp_path_factory):
    """Saved models, and the results of a process that only imports the package."""
    directory = tmp_path_factory.mktemp("saved")
    np.savez(
        directory / "ids.npz",
        in0=np.concatenate(IN0).astype(np.int64),
        in0_lengths=[*map(len, IN0)],
        in1=np.concatenate(IN1).astype(np.int64),
        in1_lengths=[*map(len, IN1)],
        labels=LABELS,
    )
    models = {}
    for name, groups in SAVED.items():
        models[name] = model(*groups)
        for _ in range(2):
            models[name].train_step((inputs(), tf.constant(LABELS)))
        models[name].save(directory / f"{name}.keras")
    subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, directory, *SAVED],
        check=True,
        cwd=ROOT,
        timeout=300,
    )
    return {name: (models[name], np.load(directory / f"{name}.npz")) for name in SAVED}


@pytest.mark.parametrize("name", SAVED)
@pytest.mark.long
def test_fresh_process_loads_a_model_and_continues_training(fresh_process, name):
    ours, theirs = fresh_process[name]

    np.testing.assert_array_equal(
        theirs["predictions"], ours.predict(inputs(), verbose=0)
    )
    assert theirs["optimizer"] == type(ours.optimizer).__name__
    slots = [v.numpy() for v in ours.optimizer.variables]
    assert slots[0] == 2
    for i, slot in enumerate(slots):
        np.testing.assert_array_equal(theirs[f"slot{i}"], slot)
    assert f"slot{len(slots)}" not in theirs

    ours.train_step((inputs(), tf.constant(LABELS)))
    assert [*theirs["names"]] == [*ours.get_metrics_result()]
    for i, weight in enumerate(ours.trainable_variables):
        np.testing.assert_allclose(theirs[f"weight{i}"], weight, rtol=0, atol=1e-7)


def test_loaded_model_keeps_a_custom_loss(tmp_path):
    pairs = model(POOLED)
    pairs.compile(
        keras.optimizers.SGD(0.125),
        keras.losses.SparseCategoricalCrossentropy(reduction="sum"),
        metrics=[],
    )
    pairs.save(tmp_path / "own.keras")

    loaded = keras.models.load_model(tmp_path / "own.keras")

    assert type(loaded.optimizer) is keras.optimizers.SGD
    assert float(loaded.optimizer.learning_rate) == 0.125
    expected = cross_entropies(numpy_logits(pairs), LABELS).sum()
    assert loaded.evaluate(dataset(batch=4), verbose=0) == pytest.approx(expected)


@pytest.mark.parametrize("groups", SAVED.values(), ids=SAVED)
def test_config_survives_json_and_creates_an_equal_model(groups):
    pairs = model(*groups, biases=False, seed=5)

    config = json.loads(json.dumps(pairs.get_config()))
    again = Object2Vec.from_config(config)

    assert config["seed"] == 5
    assert again.hyperparameters == pairs.hyperparameters
    assert again.get_config() == config
    for one, two in zip(pairs.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_accepts_a_mapping_of_hyperparameters():
    mapping = {
        "enc0_max_seq_len": "9",
        "enc0_vocab_size": "7",
        "enc_dim": "4",
        "enc0_network": "pooled_embedding",
        "_num_gpus": "auto",
    }
    expected = Hyperparameters.from_mapping(mapping)

    assert Object2Vec(mapping).hyperparameters == expected
    assert Object2Vec(expected).hyperparameters is expected


@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
def test_frozen_table_has_no_slots_and_does_not_change(storage):
    model = Object2Vec(
        {
            "enc0_network": "pooled_embedding",
            "enc0_vocab_size": 30,
            "enc1_network": "pooled_embedding",
            "enc1_vocab_size": 40,
            "enc1_max_seq_len": 3,
            "enc0_max_seq_len": 3,
            "enc_dim": 8,
            "mlp_dim": 8,
            "token_embedding_storage_type": storage,
        }
    )
    model.enc0.get_layer("token_embedding0").trainable = False
    model.compile()
    before = [variable.numpy() for variable in model.variables]
    ids = tf.ragged.constant([[1, 2], [3]])

    model.fit(
        tf.data.Dataset.from_tensors(({"in0": ids, "in1": ids}, [0, 1])), verbose=0
    )

    moved = {
        variable.path
        for variable, value in zip(model.variables, before, strict=True)
        if np.any(variable.numpy() != value)
    }
    tables = {path for path in moved if path.startswith("token_embedding")}
    assert tables == {"token_embedding1/embeddings"}
    slots = [variable.shape for variable in model.optimizer.variables]
    assert (30, 8) not in slots
    assert slots.count((40, 8)) == 2
