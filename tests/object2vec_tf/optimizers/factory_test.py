"""The optimizers that hyperparameters name, each training the whole network.

The oracle is a network of plain tensors in which a token is a one-hot row and its
gradient dense, trained by Keras's own optimizer.
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
    RowSparseSGD,
    optimizer_for,
)

DENSE = {
    "adadelta": keras.optimizers.Adadelta,
    "adagrad": keras.optimizers.Adagrad,
    "adam": keras.optimizers.Adam,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}
ROW_SPARSE = {
    "adadelta": RowSparseAdadelta,
    "adagrad": RowSparseAdagrad,
    "adam": RowSparseAdam,
    "rmsprop": RowSparseRMSprop,
    "sgd": RowSparseSGD,
}
RATES = {"adadelta": 1.0, "adagrad": 0.1, "adam": 0.02, "rmsprop": 0.02, "sgd": 0.5}
DIM = 4

each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)
each_tying = pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])


def model(optimizer, storage, tied=False, vocab_size=5, **values):
    built = Object2Vec(
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
    for weight in built.trainable_variables:
        weight.assign(random.normal(0, 0.7, weight.shape))
    built.compile()
    return built


def ragged(rows):
    return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


def one_hot(rows, vocab_size):
    """One-hot tokens over their number: ``[batch, vocab_size]``."""
    matrix = np.zeros((len(rows), vocab_size), np.float32)
    for place, ids in enumerate(rows):
        for token in ids:
            matrix[place, token] += 1 / len(ids)
    return matrix


class OneHotNetwork:
    """The same network of plain variables, in the order of the model's."""

    def __init__(self, model):
        self.variables = [keras.Variable(v.numpy()) for v in model.trainable_variables]
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


def teach(model, in0, in1, labels):
    inputs = {"in0": ragged(in0), "in1": ragged(in1)}
    model.train_step((inputs, tf.constant(labels)))


# Tokens repeat within an object, across objects and across sides; every batch has
# every token on both sides.
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
def test_training_equals_kerass_on_one_hot_tokens(optimizer, tied, storage):
    ours = model(optimizer, storage, tied)
    oracle = OneHotNetwork(ours)
    keras_own = DENSE[optimizer](learning_rate=RATES[optimizer])

    for in0, in1, labels in EVERY_TOKEN:
        teach(ours, in0, in1, labels)
        keras_own.apply(oracle.gradients(in0, in1, labels), oracle.variables)

    assert len(oracle.variables) == (5 if tied else 6)
    pairs = [
        *zip(ours.trainable_variables, oracle.variables, strict=True),
        *zip(ours.optimizer.variables, keras_own.variables, strict=True),
    ]
    for weight, expected in pairs:
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=2e-6)


# A few tokens a batch; 7 never occurs.
FEW_TOKENS = [
    ([[1, 1, 2], [2]], [[1, 3], [3, 3]], [0, 1]),
    ([[0], [4, 0, 0]], [[5], [0, 5]], [1, 1]),
    ([[1, 5], []], [[2, 2, 5], [1]], [1, 0]),
    ([[6, 6], [1]], [[6], [6, 1]], [0, 0]),
]


@each_optimizer
@each_tying
def test_dense_storage_trains_like_keras_when_batches_use_few_tokens(optimizer, tied):
    ours = model(optimizer, "dense", tied, vocab_size=8)
    oracle = OneHotNetwork(ours)
    keras_own = DENSE[optimizer](learning_rate=RATES[optimizer])

    for in0, in1, labels in FEW_TOKENS:
        teach(ours, in0, in1, labels)
        keras_own.apply(oracle.gradients(in0, in1, labels), oracle.variables)

    for weight, expected in zip(
        ours.trainable_variables, oracle.variables, strict=True
    ):
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=2e-6)


EPSILON = 1e-7


def lazy_step(optimizer, g, slots, step):
    """The update of the rows in use with Keras's defaults."""
    rate = RATES[optimizer]
    if optimizer == "sgd":
        return rate * g, []
    if optimizer == "adagrad":
        total = slots[0] + g**2
        return rate * g / np.sqrt(total + EPSILON), [total]
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
    """For every token table, the first of the variables, the table and its slots."""
    count = 1 if model.hyperparameters.tied_token_embedding_weight else 2
    found = []
    for table in model.trainable_variables[:count]:
        name = table.path.replace("/", "_")
        slots = [v for v in model.optimizer.variables if name in v.path]
        found.append([table.numpy(), *(slot.numpy() for slot in slots)])
    return found


@each_optimizer
@each_tying
def test_row_sparse_storage_moves_only_the_rows_a_batch_uses(optimizer, tied):
    ours = model(optimizer, "row_sparse", tied, vocab_size=8)
    ours.optimizer.build(ours.trainable_variables)
    number_of_slots = {"sgd": 0, "adagrad": 1, "rmsprop": 1}.get(optimizer, 2)

    for step, (in0, in1, labels) in enumerate(FEW_TOKENS, start=1):
        gradients = OneHotNetwork(ours).gradients(in0, in1, labels)
        before = tables_and_slots(ours)
        teach(ours, in0, in1, labels)
        after = tables_and_slots(ours)

        sides = [set().union(*in0), set().union(*in1)]
        used = [sides[0] | sides[1]] if tied else sides
        assert len(before) == len(used)
        for rows, g, then, now in zip(
            used, gradients[: len(used)], before, after, strict=True
        ):
            assert len(then) == 1 + number_of_slots
            rows = sorted(rows)
            others = np.delete(np.arange(8), rows)
            taken, slots = lazy_step(
                optimizer, g.numpy()[rows], [slot[rows] for slot in then[1:]], step
            )
            expected = [then[0][rows] - taken, *slots]
            for value, old, wanted in zip(now, then, expected, strict=True):
                assert value[others].tobytes() == old[others].tobytes()
                np.testing.assert_allclose(value[rows], wanted, rtol=2e-5, atol=2e-6)
            assert np.all(np.any(now[0][rows] != then[0][rows], axis=1))


@each_optimizer
def test_training_goes_on_from_copied_variables(optimizer):
    options = {"vocab_size": 8, "dropout": 0.3, "negative_sampling_rate": 1}
    first = model(optimizer, "row_sparse", True, **options)
    second = model(optimizer, "row_sparse", True, **options)
    second.optimizer.build(second.trainable_variables)
    for batch in FEW_TOKENS[:2]:
        teach(first, *batch)

    for kind in ("variables", "optimizer.variables"):
        sources, targets = first, second
        for name in kind.split("."):
            sources, targets = getattr(sources, name), getattr(targets, name)
        for source, target in zip(sources, targets, strict=True):
            target.assign(source)
    for batch in FEW_TOKENS[2:]:
        teach(first, *batch)
        teach(second, *batch)

    assert int(second.optimizer.iterations) == 4
    for one, two in zip(
        [*first.variables, *first.optimizer.variables],
        [*second.variables, *second.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


@each_optimizer
@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
def test_the_hyperparameters_name_the_optimizer_and_its_rate(optimizer, storage):
    chosen = optimizer_for(model(optimizer, storage).hyperparameters)

    kinds = DENSE if storage == "dense" else ROW_SPARSE
    assert isinstance(chosen, kinds[optimizer])
    assert getattr(chosen, "takes_rows", False) == (storage == "row_sparse")
    assert float(chosen.learning_rate) == pytest.approx(RATES[optimizer])
    plain = DENSE[optimizer](learning_rate=RATES[optimizer]).get_config()
    assert {**chosen.get_config(), "name": None} == {**plain, "name": None}


def test_weight_decay_adds_to_the_gradient_of_tables_and_kernels():
    ours = model("sgd", "dense", weight_decay=0.25)
    before = [v.numpy() for v in ours.trainable_variables]
    gradients = OneHotNetwork(ours).gradients(*EVERY_TOKEN[0])

    teach(ours, *EVERY_TOKEN[0])

    for weight, old, g in zip(ours.trainable_variables, before, gradients, strict=True):
        decay = 0 if old.ndim == 1 else 0.25
        expected = old - RATES["sgd"] * (g.numpy() + decay * old)
        np.testing.assert_allclose(weight, expected, atol=1e-6)


def test_weight_decay_reaches_only_the_rows_in_use_under_row_sparse():
    ours = model("sgd", "row_sparse", True, vocab_size=8, weight_decay=0.25)
    before = ours.trainable_variables[0].numpy()
    gradient = OneHotNetwork(ours).gradients(*FEW_TOKENS[0])[0].numpy()

    teach(ours, *FEW_TOKENS[0])

    expected, used = before.copy(), [1, 2, 3]
    expected[used] -= RATES["sgd"] * (gradient + 0.25 * before)[used]
    np.testing.assert_allclose(ours.trainable_variables[0], expected, atol=1e-6)
