"""Trains small models with each layout of batches, for the tests of execution."""

import re

import keras
import numpy as np

import object2vec_tf as o2v
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.distributed.strategies import SingleDevice
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.training.batch_layout import make_execution
from object2vec_tf.training.loop import TrainingLoop

VOCABULARY = 40
# 20 steps in 4 epochs; the last batch of an epoch has 10 of 16 rows.
ROWS, BATCH, EPOCHS = 74, 16, 4

POOLED = {"enc0_network": "pooled_embedding"}
HCNN = {"enc0_network": "hcnn", "enc0_layers": 2}
BILSTM = {"enc0_network": "bilstm", "enc0_layers": 2}
MIXED = HCNN | {
    "enc1_network": "pooled_embedding",
    "enc1_vocab_size": VOCABULARY,
    "enc1_max_seq_len": 9,
}
ONE_ID = POOLED | {"enc0_max_seq_len": 1}
TIED = {"tied_token_embedding_weight": True}
ROW_SPARSE = {"token_embedding_storage_type": "row_sparse"}
IN_BATCH = {"objective": "in_batch_softmax", "learn_temperature": True}
OPTIMIZERS = ("adadelta", "adagrad", "adam", "rmsprop", "rowwise_adagrad", "sgd")
LEARNING_RATES = {"adadelta": 1.0, "sgd": 0.1}


def hyperparameters(*groups, **values):
    settings = {
        "enc0_max_seq_len": 9,
        "enc0_vocab_size": VOCABULARY,
        "enc0_token_embedding_dim": 8,
        "enc_dim": 8,
        "mlp_dim": 6,
        "mlp_layers": 1,
        "mlp_activation": "tanh",
        "num_classes": 3,
        "mini_batch_size": BATCH,
        "epochs": EPOCHS,
        "optimizer": "sgd",
    }
    for group in groups:
        settings |= group
    settings |= values
    rate = LEARNING_RATES.get(settings["optimizer"], 0.01)
    return o2v.Hyperparameters(**{"learning_rate": rate, **settings})


def pairs_of(settings, weighted=False, rows=ROWS):
    """Random pairs; some objects of more than one token are empty."""
    generator = np.random.default_rng(3)
    columns = []
    for encoder in (0, 1):
        longest = settings.of_encoder(encoder, "max_seq_len")
        shortest = 1 if longest == 1 else 0
        columns.append(
            RaggedColumn.from_rows(
                [
                    generator.integers(0, VOCABULARY, length).tolist()
                    for length in generator.integers(shortest, longest + 1, rows)
                ]
            )
        )
    labels = generator.integers(0, 3, rows) % settings.num_classes
    if settings.output_layer == "mean_squared_error":
        labels = labels.astype(np.float32)
    weights = generator.uniform(0, 2, rows).astype(np.float32) if weighted else None
    report = Report((), {}, {}, (), {}, "")
    return Pairs(*columns, labels, settings, report, weights)


def built(settings, pairs, seed=5, **options):
    model = o2v.Object2Vec(settings, seed=seed, **options)
    random = np.random.default_rng(3)
    for variable in model.trainable_variables:
        if len(variable.shape) == 1:
            variable.assign(random.normal(0, 0.5, variable.shape))
    model.compile(steps_per_epoch=len(pairs.dataset(shuffle=True)))
    model.optimizer.build(model.trainable_variables)
    return model


def training_loop(layout, model):
    execution = make_execution(layout, Replicas(SingleDevice(), lambda: model), print)
    return TrainingLoop(execution, keras.callbacks.CallbackList([], model=None))


def train(layout, settings, *, weighted=False, frozen=(), epochs=EPOCHS):
    """Trains a model; returns its metrics, and its weights and slots, by name."""
    pairs = pairs_of(settings, weighted)
    model = built(settings, pairs, frozen=frozen)
    return train_model(training_loop(layout, model), pairs, epochs)


def train_model(loop, pairs, epochs=EPOCHS):
    """Trains the model of a loop; returns the same as `train`."""
    model = loop.replicas.model
    variables = [*model.variables, *model.optimizer.variables]
    metrics = {}
    for epoch in range(epochs):
        batches = loop.execution.batches(pairs, shuffle=True, seed=2, epoch=epoch)
        assert len(batches) == len(pairs.dataset(shuffle=True))
        for name, value in loop.train(batches).metrics.items():
            metrics[f"train {epoch} {name}"] = value
    for name, value in loop.evaluate(loop.execution.batches(pairs, 30)).items():
        metrics[f"validation {name}"] = value
    weights = {}
    for number, variable in enumerate(variables):
        weights[f"{number} {_stable_path(variable)}"] = variable.numpy()
    return metrics, weights


def _stable_path(variable):
    """Returns a variable's path without the number of its owner in this process."""
    return re.sub(r"^(\w*?)(_\d+)?/", r"\1/", variable.path)


def difference(received, expected):
    """Returns the largest difference of two arrays, relative to their values above 1.

    Moments of gradients can be larger than 1; weights are not.
    """
    differences = np.abs(received.astype(float) - expected)
    return float(differences.max(initial=0) / np.abs(expected).max(initial=1))


def assert_layouts_agree(settings, *, atol=1e-6, **options):
    """Checks that both layouts give the same metrics, weights, slots and seeds.

    Args:
        settings: The hyperparameters.
        atol: Tolerance of weights.
        **options: As for `train`.

    Returns:
        The largest difference of a weight, and that of a metric.
    """
    ragged = train("ragged", settings, **options)
    return assert_same(ragged, train("static", settings, **options), atol)


def assert_same(expected, received, atol=1e-6):
    """Checks that two results of `train` are equal; returns the differences."""
    largest = []
    tolerances = max(1e-5, atol), atol
    for one, two, tolerance in zip(expected, received, tolerances, strict=True):
        assert one.keys() == two.keys()
        differences = {
            name: difference(np.asarray(two[name]), value)
            for name, value in one.items()
        }
        worst = max(differences, key=differences.__getitem__)
        assert differences[worst] <= tolerance, (worst, differences[worst])
        largest.append((worst, differences[worst]))
    return largest
