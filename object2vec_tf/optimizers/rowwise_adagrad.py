"""Row-wise Adagrad: one learning rate for each row of a token table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.optimizers.row_sparse import RowSparseAdagrad
from object2vec_tf.optimizers.temporary_variables import subtract_rows
from object2vec_tf.registration import PACKAGE

# The names of the tables of `TokenEmbedding`, which is that of keras.layers.Embedding,
# and of `SubwordEmbedding`.
_TABLES = ("embeddings", "ngrams")


@keras.saving.register_keras_serializable(package=PACKAGE)
class RowwiseAdagrad(keras.optimizers.Adagrad):
    """Adagrad with one accumulator for each row of a token table.

    For gradient ``g[row, :]`` of a table ``[rows, dim]``::

        accumulator[row] += mean(g[row, :] ** 2)
        table[row, :] -= learning_rate * g[row, :] / sqrt(accumulator[row] + epsilon)

    A table therefore needs ``rows`` numbers beside its vectors, where Adagrad needs
    ``rows * dim``. Tables are the variables with the name ``embeddings``, as in
    ``keras.layers.Embedding``, or ``ngrams``. Other variables are updated by Keras's
    Adagrad.

    Sources: Caffe2's ``RowWiseSparseAdagrad`` and FBGEMM's ``EXACT_ROWWISE_ADAGRAD``,
    which adds epsilon after the square root and starts at 0. For FBGEMM's optimizers,
    its authors refer to section 5 of Mudigere et al. 2022, "Software-Hardware Co-design
    for Fast and Scalable Training of Deep Learning Recommendation Models",
    arXiv:2104.05158 (github.com/pytorch/FBGEMM/issues/1545).

    Example:
        >>> import keras
        >>> table = keras.Variable([[1.0, 1.0], [5.0, 5.0]], name="embeddings")
        >>> optimizer = RowwiseAdagrad(
        ...     learning_rate=1.0, initial_accumulator_value=0.0, epsilon=0.0)
        >>> optimizer.apply([keras.ops.array([[1.0, 7.0], [0.0, 1.0]])], [table])
        >>> table.numpy()[0].round(4)  # 1 - [1, 7] / sqrt(25)
        array([ 0.8, -0.4], dtype=float32)
        >>> optimizer.variables[-1].numpy().tolist()
        [25.0, 0.5]
    """

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the accumulators: float ``[rows]`` for a table."""
        if self.built:
            return
        # Keras's Adagrad would create accumulators of the tables' shapes.
        super(keras.optimizers.Adagrad, self).build(variables)
        self._accumulators = [self._accumulator(variable) for variable in variables]

    def _accumulator(self, variable: keras.Variable) -> keras.Variable:
        initializer = keras.initializers.Constant(self.initial_accumulator_value)
        if not _is_table(variable):
            return self.add_variable_from_reference(
                variable, "accumulator", initializer=initializer
            )
        return self.add_variable(
            shape=variable.shape[:1],
            initializer=initializer,
            dtype=variable.dtype,
            name=f"{variable.path.replace('/', '_')}_accumulator",
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates a variable by a gradient of its shape."""
        slot = self._accumulators[self._get_variable_index(variable)]
        if tuple(slot.shape) == tuple(variable.shape):
            super().update_step(gradient, variable, learning_rate)
            return
        table = variable.value if isinstance(variable, keras.Variable) else variable
        accumulator = slot.value.assign_add(_mean_squares(gradient))
        rate = tf.cast(learning_rate, table.dtype)
        table.assign_sub(_row_steps(gradient, accumulator + self.epsilon, rate))


@keras.saving.register_keras_serializable(package=PACKAGE)
class RowSparseRowwiseAdagrad(RowSparseAdagrad, RowwiseAdagrad):
    """Row-wise Adagrad that updates only the rows in a gradient of rows."""

    def update_rows(
        self,
        table: tf.Variable,
        slots: Sequence[tf.Variable],
        rows: tf.Tensor,
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> None:
        """See `RowSparse`."""
        if slots[0].shape == table.shape:
            super().update_rows(table, slots, rows, gradient, learning_rate)
            return
        # One op takes a third of the time of a square and a mean.
        norms = tf.raw_ops.EuclideanNorm(input=gradient, axis=1)
        total = tf.gather(slots[0], rows) + tf.square(norms) / table.shape[1]
        slots[0].scatter_update(tf.IndexedSlices(total, rows))
        steps = _row_steps(gradient, total + self.epsilon, learning_rate)
        subtract_rows(table, rows, steps)

    def updated_rows(
        self,
        vectors: tf.Tensor,
        slots: Sequence[tf.Tensor],
        gradient: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> Sequence[tf.Tensor]:
        """See `RowSparse`."""
        if slots[0].shape.rank == vectors.shape.rank:
            return super().updated_rows(vectors, slots, gradient, learning_rate)
        total = slots[0] + _mean_squares(gradient)
        steps = _row_steps(gradient, total + self.epsilon, learning_rate)
        return vectors - steps, total


def _is_table(variable: keras.Variable) -> bool:
    return variable.name in _TABLES and len(variable.shape) == 2


def _mean_squares(gradient: tf.Tensor) -> tf.Tensor:
    """Returns the mean square of each row, float ``[rows]``."""
    return tf.reduce_mean(tf.square(gradient), axis=1)


def _row_steps(
    gradient: tf.Tensor, squares: tf.Tensor, learning_rate: tf.Tensor
) -> tf.Tensor:
    """Returns what to subtract from rows, float ``[rows, dim]``.

    Args:
        gradient: float ``[rows, dim]``.
        squares: The sum of mean squares of each row, ``[rows]``.
        learning_rate: A scalar.
    """
    return gradient * (learning_rate / tf.sqrt(squares))[:, tf.newaxis]
