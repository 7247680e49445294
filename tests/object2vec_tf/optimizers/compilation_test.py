import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.optimizers import optimizer_for
from object2vec_tf.optimizers.gradients import add_weight_decay, sum_repeated_rows

ROWS, DIM = 5003, 7
OPTIMIZERS = ("adam", "adadelta", "adagrad", "rmsprop", "rowwise_adagrad", "sgd")
each_optimizer = pytest.mark.parametrize(
    "name",
    [OPTIMIZERS[0], *(pytest.param(n, marks=pytest.mark.long) for n in OPTIMIZERS[1:])],
)


class Training:
    """Trains a table and a dense weight.

    Args:
        name: The optimizer.
        storage: ``dense`` or ``row_sparse``.
        compiled: Whether XLA compiles the loop of steps.
        decay: Weight decay.
        clipnorm: Largest norm of a gradient.
    """

    def __init__(self, name, storage, compiled, decay=0.0, clipnorm=None):
        hyperparameters = Hyperparameters(
            enc0_max_seq_len=1,
            enc0_vocab_size=9,
            enc1_max_seq_len=1,
            enc1_vocab_size=9,
            optimizer=name,
            learning_rate=0.01,
            learning_rate_warmup_epochs=1,
            learning_rate_decay="cosine",
            epochs=3,
            token_embedding_storage_type=storage,
        )
        self.optimizer = optimizer_for(hyperparameters, steps_per_epoch=1)
        self.optimizer.clipnorm = clipnorm
        random = np.random.default_rng(0)
        self.table = keras.Variable(
            random.normal(size=(ROWS, DIM)).astype("float32"), name="embeddings"
        )
        self.weight = keras.Variable(random.normal(size=(DIM, 3)).astype("float32"))
        self.variables = [self.table, self.weight]
        self.optimizer.build(self.variables)
        self.as_rows, self.decay = storage == "row_sparse", decay
        self.steps = tf.function(self._steps, jit_compile=compiled)

    def _steps(self, ids):
        """Trains on token ids ``[steps, tokens]``."""
        tf.while_loop(
            lambda i: i < ids.shape[0],
            lambda i: (self._step(ids[i]), i + 1)[1:],
            [tf.constant(0)],
        )

    def _step(self, ids):
        with tf.GradientTape() as tape:
            vectors = tf.gather(self.table.value, ids)
            vectors = tf.where(ids[:, tf.newaxis] < ROWS, vectors, 0.0)
            loss = tf.reduce_sum(tf.sin(vectors @ self.weight.value))
        gradients = tape.gradient(loss, [v.value for v in self.variables])
        self.optimizer.apply(
            [
                add_weight_decay(
                    sum_repeated_rows(gradient, self.as_rows, distinct=True),
                    variable,
                    self.decay,
                )
                for gradient, variable in zip(gradients, self.variables, strict=True)
            ],
            self.variables,
        )

    def state(self):
        return [v.numpy() for v in [*self.variables, *self.optimizer.variables]]


@each_optimizer
@pytest.mark.parametrize(
    "storage", ["row_sparse", pytest.param("dense", marks=pytest.mark.long)]
)
@pytest.mark.parametrize(
    "options",
    [{"decay": 0.1, "clipnorm": 0.5}, pytest.param({}, marks=pytest.mark.long)],
)
def test_xla_with_padding_gives_the_weights_of_graphs_without(name, storage, options):
    plain = Training(name, storage, compiled=False, **options)
    compiled = Training(name, storage, compiled=True, **options)

    initial = plain.table.numpy()
    plain.steps(tf.constant([[4, 2, 9], [2, 7, 5002], [9, 2, 0]]))
    padding = [ROWS, ROWS]
    compiled.steps(
        tf.constant([[4, 2, 9, *padding], [2, 7, 5002, *padding], [9, 2, 0, *padding]])
    )

    assert np.all(compiled.table.numpy()[2] != initial[2])
    for received, expected in zip(compiled.state(), plain.state(), strict=True):
        # Moments are squares, which doubles the relative error of a gradient.
        np.testing.assert_allclose(received, expected, rtol=5e-6, atol=2e-7)


@each_optimizer
def test_tables_and_slots_are_updated_in_place_in_a_loop_of_steps(name):
    training = Training(name, "row_sparse", compiled=True, decay=0.1)

    compiler = training.steps.experimental_get_compiler_ir(
        tf.constant([[4, 2, 9, ROWS], [2, 7, ROWS, ROWS]])
    )
    text = compiler(stage="optimized_hlo")

    shape = re.escape(f"f32[{ROWS},{DIM}]")
    assert not re.findall(rf"= {shape}\S* copy\(", text)
    # Each table-sized input of the program is also an output, in the same memory.
    entry = text[text.index("\nENTRY") :]
    tables = {*re.findall(rf"= {shape}\S* parameter\((\d+)\)", entry)}
    slots = [slot for slot in training.optimizer.slots(0) if slot.shape == (ROWS, DIM)]
    assert len(tables) == 1 + len(slots)
    aliased = re.search(r"input_output_alias=\{(.*?)\}, \w+=", text)[1]
    assert tables <= {*re.findall(r"\((\d+), \{", aliased)}
