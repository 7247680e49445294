"""Idioms of compile, fit and evaluate."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.optimizers import RowSparseAdam
from tests.keras_idioms.table import (
    IN0,
    IN1,
    LABELS,
    STEP,
    TABLE,
    WEIGHTS,
    Idiom,
    assert_same_state,
    assert_same_weights,
    dataset,
    hit_rate,
    idiom,
    model,
    pairs,
    scores,
    trained,
    weights,
)

optimizers = keras.optimizers


@idiom()
def fit_lists(directory):
    built = model()
    built.fit([IN0, IN1], LABELS, **STEP)
    assert_same_weights(built, trained())
    np.testing.assert_allclose(built.predict([IN0, IN1], verbose=0), scores(built))
    return built


@idiom()
def fit_padded_arrays(directory):
    width = max(map(len, IN0 + IN1))
    in0, in1 = (
        np.array([row + [-1] * (width - len(row)) for row in rows])
        for rows in (IN0, IN1)
    )
    built = model()
    built.fit({"in0": in0, "in1": in1}, LABELS, **STEP)
    assert_same_weights(built, trained())
    return built


@idiom()
def class_weight(directory):
    each = np.where(LABELS == 1, 3.0, 0.5)
    built = trained(class_weight={0: 0.5, 1: 3.0})
    assert_same_weights(built, trained(sample_weight=each))
    from_dataset = model()
    from_dataset.fit(dataset(), class_weight={0: 0.5, 1: 3.0}, verbose=0)
    assert_same_weights(built, from_dataset)
    return built


@idiom()
def class_weight_with_negatives(directory):
    # All classes weigh the same: the same as without weights.
    settings = {"negative_sampling_rate": 2}
    built = trained(model(**settings), class_weight={0: 1.0, 1: 1.0})
    assert_same_weights(built, trained(model(**settings)))
    return built


@idiom()
def sample_weight(directory):
    built = model()
    chances = scores(built)[np.arange(8), LABELS]
    measured = built.evaluate(
        pairs(), LABELS, sample_weight=WEIGHTS, return_dict=True, verbose=0
    )
    expected = (-np.log(chances) * WEIGHTS).mean()
    assert measured["loss"] == pytest.approx(expected, rel=1e-5)
    return trained(built, sample_weight=WEIGHTS)


@idiom()
def labels_in_a_column(directory):
    built = model(negative_sampling_rate=1)
    built.fit(pairs(), LABELS[:, np.newaxis], **STEP)
    assert_same_weights(built, trained(model(negative_sampling_rate=1)))
    return built


@idiom()
def boolean_labels(directory):
    built = model(negative_sampling_rate=1)
    built.fit(pairs(), LABELS.astype(bool), **STEP)
    assert_same_weights(built, trained(model(negative_sampling_rate=1)))
    return built


@idiom()
def one_hot_labels(directory):
    built = model(compiled=False)
    built.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    labels = keras.utils.to_categorical(LABELS, 2)
    built.fit(pairs(), labels, **STEP)
    measured = built.evaluate(pairs(), labels, return_dict=True, verbose=0)
    assert measured["accuracy"] == pytest.approx(hit_rate(built))
    assert_same_weights(built, trained())
    return built


@idiom()
def string_metrics(directory):
    built = model(compiled=False)
    built.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"],
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy("weighted")],
    )  # fmt: skip
    trained(built)
    measured = built.evaluate(dataset(WEIGHTS), return_dict=True, verbose=0)
    # Keras applies sample weights only to weighted_metrics.
    assert measured["accuracy"] == pytest.approx(hit_rate(built))
    assert measured["weighted"] == pytest.approx(hit_rate(built, WEIGHTS))
    assert set(measured) == {"loss", "accuracy", "weighted"}
    return built


@idiom(compiles=False)
def own_loss_and_metric(directory):
    def loss(labels, chances):
        return 2 * keras.losses.sparse_categorical_crossentropy(labels, chances)

    def low(labels, chances):
        return keras.ops.min(chances, axis=1)

    built = model(compiled=False)
    built.compile(keras.optimizers.SGD(0.05), loss=loss, metrics=[low])
    expected = scores(built).min(1).mean()
    measured = built.evaluate(pairs(), LABELS, return_dict=True, verbose=0)
    assert measured["low"] == pytest.approx(expected, rel=1e-5)
    doubled = model(compiled=False)
    doubled.compile(keras.optimizers.SGD(0.1))
    assert_same_weights(trained(built), trained(doubled))
    return built


@idiom()
def regression(directory):
    built = model(compiled=False, output_layer="mean_squared_error")
    built.compile(loss="huber", metrics=["mae"])
    values = LABELS * 2.5
    expected = np.abs(scores(built)[:, 0] - values).mean()
    for labels in (values, values[:, np.newaxis]):
        measured = built.evaluate(pairs(), labels, return_dict=True, verbose=0)
        assert measured["mae"] == pytest.approx(expected, rel=1e-5)
    built.fit(pairs(), values, **STEP)
    return built


def _optimizer_idiom(make):
    """Trains on after loading, as the uninterrupted model does."""

    def train(directory):
        built = model(compiled=False)
        built.compile(optimizer=make())
        trained(built).save(directory / "optimizer.keras")
        loaded = keras.models.load_model(directory / "optimizer.keras")
        assert_same_state(trained(loaded), trained(built))
        return built

    return Idiom(train)


TABLE |= {
    f"optimizer_{name}": _optimizer_idiom(make)
    for name, make in {
        "name": lambda: "adam",
        "config": lambda: {"class_name": "Adam", "config": {"learning_rate": 0.1}},
        "momentum": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        "adamw": lambda: optimizers.AdamW(0.01, weight_decay=0.1),
        "clipnorm": lambda: optimizers.Adam(clipnorm=0.1),
        "global_clipnorm": lambda: optimizers.Adam(global_clipnorm=0.1),
        "accumulation": lambda: optimizers.Adam(gradient_accumulation_steps=2),
        "ema": lambda: optimizers.Adam(use_ema=True, ema_overwrite_frequency=1),
        "schedule": lambda: optimizers.Adam(
            optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
        ),
        "loss_scale": lambda: optimizers.LossScaleOptimizer(optimizers.Adam()),
        "lion": lambda: optimizers.Lion(),
        "adafactor": lambda: optimizers.Adafactor(),
        "row_sparse": lambda: RowSparseAdam(0.01, clipnorm=0.1),
    }.items()
}


@idiom()
def run_eagerly(directory):
    built = model(compiled=False)
    built.compile(run_eagerly=True)
    assert_same_weights(trained(built), trained())
    return built


@idiom()
def steps_per_execution(directory):
    built = model(compiled=False)
    built.compile(steps_per_execution=2)
    assert_same_weights(trained(built), trained())
    return built


@idiom()
def jit_compile(directory):
    automatic = model(compiled=False)
    automatic.compile(jit_compile="auto")
    built = model(compiled=False)
    with pytest.warns(UserWarning, match="Proceeding with `jit_compile=False`"):
        built.compile(jit_compile=True)
    assert_same_weights(trained(built), trained(automatic))
    return built


@idiom()
def on_batch(directory):
    built = model()
    chances = scores(built)[np.arange(8), LABELS]
    loss = -np.log(chances).mean()
    assert built.test_on_batch(pairs(), LABELS)[0] == pytest.approx(loss, rel=1e-5)
    batch = built.train_on_batch(pairs(), LABELS, return_dict=True)
    assert batch["loss"] == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(built.predict_on_batch(pairs()), scores(built))
    weighted = {"class_weight": {0: 1.0, 1: 2.0}, "return_dict": True}
    chances = scores(built)[np.arange(8), LABELS]
    built.reset_metrics()
    batch = built.train_on_batch(pairs(), LABELS, **weighted)
    expected = (-np.log(chances) * (1 + LABELS)).mean()
    assert batch["loss"] == pytest.approx(expected, rel=1e-5)
    return built


@idiom()
def validation(directory):
    built = model(compiled=False)
    built.compile(keras.optimizers.SGD(0.0))
    history = trained(built, validation_split=0.25).history.history
    chances = scores(built)[np.arange(8), LABELS]
    expected = -np.log(chances[6:]).mean()
    assert history["val_loss"] == pytest.approx([expected], rel=1e-5)
    history = built.fit(
        dataset().repeat(), steps_per_epoch=1, initial_epoch=1, epochs=3, verbose=0,
        validation_data=(pairs(), LABELS), validation_freq=2,
    ).history  # fmt: skip
    assert len(history["loss"]) == 2
    expected = -np.log(chances).mean()
    assert history["val_loss"] == pytest.approx([expected], rel=1e-5)
    return built


@idiom()
def generators(directory):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            rows = slice(4 * i, 4 * i + 4)
            return {"in0": IN0[rows], "in1": IN1[rows]}, LABELS[rows]

    built = model()
    built.fit(Batches(), shuffle=False, verbose=0)
    assert_same_weights(built, trained())
    return built


@idiom()
def global_policy(directory):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        built = trained()
    finally:
        keras.config.set_dtype_policy("float32")
    assert built.comparator.get_layer("mlp_0").compute_dtype == "bfloat16"
    return built


@idiom()
def model_policy(directory):
    built = model(compiled=False, dtype="mixed_float16")
    built.compile(optimizer="adam")
    assert trained(built).optimizer.dynamic_scale is not None
    return built


@idiom()
def random_seed(directory):
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        settings = {"dropout": 0.3, "negative_sampling_rate": 1}
        results.append(trained(model(**settings), shuffle=True))
    for one, other in zip(*map(weights, results), strict=True):
        np.testing.assert_array_equal(one, other)
    return results[0]


@idiom()
def strategy_of_one_replica(directory):
    for strategy in (
        tf.distribute.OneDeviceStrategy("CPU:0"),
        tf.distribute.MirroredStrategy(["CPU:0"]),
    ):
        with strategy.scope():
            built = model()
        built.fit(dataset(), verbose=0)
        assert_same_weights(built, trained())
    return None  # Keras cannot save a model of MirroredStrategy


@idiom()
def overridden_loss(directory):
    class Doubled(type(model())):
        def compute_loss(self, *args, **kwargs):
            return 2 * super().compute_loss(*args, **kwargs)

    settings = model().hyperparameters
    built = Doubled(settings, seed=1)
    built.compile(keras.optimizers.SGD(0.05))
    plain = model(compiled=False)
    plain.compile(keras.optimizers.SGD(0.1))
    assert_same_weights(trained(built), trained(plain))
    return plain
