"""Tests that train a whole network with each optimizer.

The expected values come from a network of plain tensors that Keras's own optimizer
trains. Its tokens are one-hot rows, so that all gradients are dense.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.hyperparameters import OPTIMIZERS
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.optimizers import (
    RowSparseAdadelta,
    RowSparseAdagrad,
    RowSparseAdam,
    RowSparseRMSprop,
    RowSparseRowwiseAdagrad,
    RowSparseSGD,
    RowwiseAdagrad,
    optimizer_for,
)

DENSE = {
    "adadelta": keras.optimizers.Adadelta,
    "adagrad": keras.optimizers.Adagrad,
    "adam": keras.optimizers.Adam,
    "rmsprop": keras.optimizers.RMSprop,
    "rowwise_adagrad": RowwiseAdagrad,
    "sgd": keras.optimizers.SGD,
}
ROW_SPARSE = {
    "adadelta": RowSparseAdadelta,
    "adagrad": RowSparseAdagrad,
    "adam": RowSparseAdam,
    "rmsprop": RowSparseRMSprop,
    "rowwise_adagrad": RowSparseRowwiseAdagrad,
    "sgd": RowSparseSGD,
}
RATES = {
    "adadelta": 1.0,
    "adagrad": 0.1,
    "adam": 0.02,
    "rmsprop": 0.02,
    "rowwise_adagrad": 0.1,
    "sgd": 0.5,
}
DIM = 4

each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)
each_tying = pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])


def make_model(optimizer, storage, tied=False, vocab_size=5, **values):
    """Returns a compiled model with random weights."""
    model = Object2Vec(
        {
            "enc0_max_seq_len": 9,
            "enc0_vocab_size": vocab_size,
            "enc0_network": "pooled_embedding",
            "enc_dim": DIM,
            "mlp_layers": 1,
            "mlp_dim": 3,
            "mlp_activation": "tanh",
            "optimizer": optimizer,
            "learning_rate": RATES[optimizer],
            "token_embedding_storage_type": storage,
            "tied_token_embedding_weight": tied,
            **values,
        },
        seed=1,
    )
    random = np.random.default_rng(7)
    for weight in model.trainable_variables:
        weight.assign(random.normal(0, 0.7, weight.shape))
    model.compile()
    return model


def ragged(rows):
    return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


def one_hot(rows, vocab_size):
    """Returns the means of one-hot tokens, ``[batch, vocab_size]``."""
    matrix = np.zeros((len(rows), vocab_size), np.float32)
    for row, ids in enumerate(rows):
        for token in ids:
            matrix[row, token] += 1 / len(ids)
    return matrix


class OneHotNetwork:
    """The network of a model, with plain variables in the order of the model."""

    def __init__(self, model):
        self.variables = [
            keras.Variable(v.numpy(), name=v.name) for v in model.trainable_variables
        ]
        self.vocab_size = model.hyperparameters.enc0_vocab_size

    def gradients(self, in0, in1, labels):
        *tables, kernel, bias, out_kernel, out_bias = (v.value for v in self.variables)
        with tf.GradientTape() as tape:
            first = one_hot(in0, self.vocab_size) @ tables[0]
            second = one_hot(in1, self.vocab_size) @ tables[-1]
            compared = tf.concat(
                [first * second, first, second, abs(first - second)], axis=1
            )
            logits = tf.tanh(compared @ kernel + bias) @ out_kernel + out_bias
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            )
        return tape.gradient(loss, [v.value for v in self.variables])


def train(model, in0, in1, labels):
    inputs = {"in0": ragged(in0), "in1": ragged(in1)}
    model.train_step((inputs, tf.constant(labels)))


# Tokens repeat within an object, across objects and across sides. All tokens occur on
# both sides of each batch.
EVERY_TOKEN = [
    (
        [[1, 1, 2], [2], [3, 1, 0], [4, 4]],
        [[1, 0, 0], [4], [4, 2, 1], [3]],
        [0, 1, 1, 0],
    ),
    ([[0, 3, 3, 3], [], [1, 2], [4, 0]], [[2], [3, 3, 0, 1], [2, 4], []], [1, 1, 0, 1]),
    ([[4], [4], [4], [0, 1, 2, 3]], [[4, 0], [0], [1, 1, 1], [3, 2]], [0, 0, 1, 0]),
    ([[2, 1], [1, 2], [0, 0, 3], [4]], [[0, 1], [2, 2], [3, 4], [4]], [1, 0, 0, 1]),
]


@each_optimizer
@each_tying
@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
def test_training_equals_keras_on_one_hot_tokens(optimizer, tied, storage):
    model = make_model(optimizer, storage, tied)
    reference = OneHotNetwork(model)
    keras_optimizer = DENSE[optimizer](learning_rate=RATES[optimizer])

    for in0, in1, labels in EVERY_TOKEN:
        train(model, in0, in1, labels)
        keras_optimizer.apply(
            reference.gradients(in0, in1, labels), reference.variables
        )

    assert len(reference.variables) == (5 if tied else 6)
    pairs = [
        *zip(model.trainable_variables, reference.variables, strict=True),
        *zip(model.optimizer.variables, keras_optimizer.variables, strict=True),
    ]
    for weight, expected in pairs:
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=2e-6)


# Each batch has only a few of the tokens; token 7 never occurs.
FEW_TOKENS = [
    ([[1, 1, 2], [2]], [[1, 3], [3, 3]], [0, 1]),
    ([[0], [4, 0, 0]], [[5], [0, 5]], [1, 1]),
    ([[1, 5], []], [[2, 2, 5], [1]], [1, 0]),
    ([[6, 6], [1]], [[6], [6, 1]], [0, 0]),
]


@each_optimizer
@each_tying
def test_dense_storage_trains_like_keras_when_batches_use_few_tokens(optimizer, tied):
    model = make_model(optimizer, "dense", tied, vocab_size=8)
    reference = OneHotNetwork(model)
    keras_optimizer = DENSE[optimizer](learning_rate=RATES[optimizer])

    for in0, in1, labels in FEW_TOKENS:
        train(model, in0, in1, labels)
        keras_optimizer.apply(
            reference.gradients(in0, in1, labels), reference.variables
        )

    for weight, expected in zip(
        model.trainable_variables, reference.variables, strict=True
    ):
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=2e-6)


EPSILON = 1e-7


def lazy_step(optimizer, g, slots, step):
    """Returns the update of rows and their new slots, with Keras's defaults."""
    rate = RATES[optimizer]
    if optimizer == "sgd":
        return rate * g, []
    if optimizer == "adagrad":
        total = slots[0] + g**2
        return rate * g / np.sqrt(total + EPSILON), [total]
    if optimizer == "rowwise_adagrad":
        total = slots[0] + (g**2).mean(axis=1)
        return rate * g / np.sqrt(total + EPSILON)[:, None], [total]
    if optimizer == "rmsprop":
        mean = 0.9 * slots[0] + 0.1 * g**2
        return rate * g / np.sqrt(mean + EPSILON), [mean]
    if optimizer == "adadelta":
        squares = 0.95 * slots[0] + 0.05 * g**2
        delta = g * np.sqrt((slots[1] + EPSILON) / (squares + EPSILON))
        return rate * delta, [squares, 0.95 * slots[1] + 0.05 * delta**2]
    momentum = 0.9 * slots[0] + 0.1 * g
    velocity = 0.999 * slots[1] + 0.001 * g**2
    rate *= np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return rate * momentum / (np.sqrt(velocity) + EPSILON), [momentum, velocity]


def tables_and_slots(model):
    """Returns the values of each token table and its slots.

    Token tables are the first of the model's variables.
    """
    count = 1 if model.hyperparameters.tied_token_embedding_weight else 2
    tables = []
    for table in model.trainable_variables[:count]:
        name = table.path.replace("/", "_")
        slots = [v for v in model.optimizer.variables if name in v.path]
        tables.append([table.numpy(), *(slot.numpy() for slot in slots)])
    return tables


NUMBER_OF_SLOTS = {"sgd": 0, "adagrad": 1, "rmsprop": 1, "rowwise_adagrad": 1}


@each_optimizer
@each_tying
def test_row_sparse_storage_changes_only_rows_of_the_batch(optimizer, tied):
    model = make_model(optimizer, "row_sparse", tied, vocab_size=8)
    model.optimizer.build(model.trainable_variables)
    number_of_slots = NUMBER_OF_SLOTS.get(optimizer, 2)

    for step, (in0, in1, labels) in enumerate(FEW_TOKENS, start=1):
        gradients = OneHotNetwork(model).gradients(in0, in1, labels)
        before = tables_and_slots(model)
        train(model, in0, in1, labels)
        after = tables_and_slots(model)

        sides = [set().union(*in0), set().union(*in1)]
        used = [sides[0] | sides[1]] if tied else sides
        assert len(before) == len(used)
        for rows, g, old, new in zip(
            used, gradients[: len(used)], before, after, strict=True
        ):
            assert len(old) == 1 + number_of_slots
            rows = sorted(rows)
            others = np.delete(np.arange(8), rows)
            update, slots = lazy_step(
                optimizer, g.numpy()[rows], [slot[rows] for slot in old[1:]], step
            )
            expected = [old[0][rows] - update, *slots]
            for value, previous, wanted in zip(new, old, expected, strict=True):
                assert value[others].tobytes() == previous[others].tobytes()
                np.testing.assert_allclose(value[rows], wanted, rtol=2e-5, atol=2e-6)
            assert np.all(np.any(new[0][rows] != old[0][rows], axis=1))


@each_optimizer
def test_training_continues_from_copied_variables(optimizer):
    options = {"vocab_size": 8, "dropout": 0.3, "negative_sampling_rate": 1}
    first = make_model(optimizer, "row_sparse", True, **options)
    second = make_model(optimizer, "row_sparse", True, **options)
    second.optimizer.build(second.trainable_variables)
    for batch in FEW_TOKENS[:2]:
        train(first, *batch)

    for kind in ("variables", "optimizer.variables"):
        sources, targets = first, second
        for name in kind.split("."):
            sources, targets = getattr(sources, name), getattr(targets, name)
        for source, target in zip(sources, targets, strict=True):
            target.assign(source)
    for batch in FEW_TOKENS[2:]:
        train(first, *batch)
        train(second, *batch)

    assert int(second.optimizer.iterations) == 4
    for one, two in zip(
        [*first.variables, *first.optimizer.variables],
        [*second.variables, *second.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


@each_optimizer
@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
def test_hyperparameters_select_the_optimizer_and_its_rate(optimizer, storage):
    selected = optimizer_for(make_model(optimizer, storage).hyperparameters)

    kinds = DENSE if storage == "dense" else ROW_SPARSE
    assert isinstance(selected, kinds[optimizer])
    assert getattr(selected, "takes_rows", False) == (storage == "row_sparse")
    assert float(selected.learning_rate) == pytest.approx(RATES[optimizer])
    plain = DENSE[optimizer](learning_rate=RATES[optimizer]).get_config()
    assert {**selected.get_config(), "name": None} == {**plain, "name": None}


def test_weight_decay_applies_to_tables_and_kernels():
    model = make_model("sgd", "dense", weight_decay=0.25)
    before = [v.numpy() for v in model.trainable_variables]
    gradients = OneHotNetwork(model).gradients(*EVERY_TOKEN[0])

    train(model, *EVERY_TOKEN[0])

    for weight, old, g in zip(
        model.trainable_variables, before, gradients, strict=True
    ):
        decay = 0 if old.ndim == 1 else 0.25
        expected = old - RATES["sgd"] * (g.numpy() + decay * old)
        np.testing.assert_allclose(weight, expected, atol=1e-6)


def test_row_sparse_weight_decay_applies_to_rows_of_the_batch():
    model = make_model("sgd", "row_sparse", True, vocab_size=8, weight_decay=0.25)
    before = model.trainable_variables[0].numpy()
    gradient = OneHotNetwork(model).gradients(*FEW_TOKENS[0])[0].numpy()

    train(model, *FEW_TOKENS[0])

    expected, used = before.copy(), [1, 2, 3]
    expected[used] -= RATES["sgd"] * (gradient + 0.25 * before)[used]
    np.testing.assert_allclose(model.trainable_variables[0], expected, atol=1e-6)
