"""A bidirectional LSTM over rows in the static layout, for XLA.

All rows have the same number of steps, in time-major order. The backward direction
reads the steps in reverse order, and both directions run in one loop, so that a step of
the loop is one batched product. States are set to zero at steps without a token. So the
backward direction, which reads such steps first, starts at the last token of a row.

The hidden and cell states of all steps are kept for the gradient; the gates are
computed again there, by one product over all steps.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from object2vec_tf.layers.static_rows import StaticRows


def step_positions(rows: StaticRows, padding: int) -> tf.Tensor:
    """Returns the position of the token at each step of each row.

    Args:
        rows: The rows.
        padding: The position at steps without a token.

    Returns:
        int32 ``[steps, rows]``.
    """
    width = rows.cells.shape[1]
    of_rows = tf.gather(rows.cells, rows.row_chunk_ids())
    positions = tf.reshape(of_rows, [-1, rows.row_chunks * width])
    steps = tf.range(rows.row_chunks * width)
    positions = tf.where(steps < rows.lengths[:, tf.newaxis], positions, padding)
    return tf.transpose(positions)


def bidirectional_lstm(
    forward: keras.layers.LSTM,
    backward: keras.layers.LSTM,
    inputs: tf.Tensor,
    is_token: tf.Tensor,
) -> tf.Tensor:
    """Runs two LSTMs over every row, one from its start and one from its end.

    Args:
        forward: The layer with the weights of the forward direction.
        backward: The layer with those of the backward direction, of the same width.
        inputs: ``[steps, rows, dim]``, in the type in which products are computed.
        is_token: bool ``[steps, rows]``.

    Returns:
        float32 ``[steps, rows, 2 * units]``: the outputs of both directions at each
        step; zeros at steps without a token.
    """
    steps, rows, dim = inputs.shape
    kernels, recurrent, bias = (
        tf.stack([tf.convert_to_tensor(weight.value) for weight in weights])
        for weights in zip(forward.weights, backward.weights, strict=True)
    )
    flat = tf.reshape(both_directions(inputs), [2, steps * rows, dim])
    projected = tf.cast(flat @ tf.cast(kernels, inputs.dtype), bias.dtype)
    projected = tf.reshape(projected + bias[:, tf.newaxis], [2, steps, rows, -1])
    mask = tf.cast(both_directions(is_token), bias.dtype)[..., tf.newaxis]
    hidden = _lstm(projected, recurrent, mask, inputs.dtype)
    return tf.concat([hidden[0], tf.reverse(hidden[1], axis=[0])], axis=-1)


def both_directions(steps: tf.Tensor) -> tf.Tensor:
    """Returns steps and their reverse order: ``[steps, ...]`` to ``[2, steps, ...]``.

    Example:
        >>> both_directions(tf.constant([1, 2, 3])).numpy().tolist()
        [[1, 2, 3], [3, 2, 1]]
    """
    return tf.stack([steps, tf.reverse(steps, axis=[0])])


def _lstm(
    projected: tf.Tensor, recurrent: tf.Tensor, mask: tf.Tensor, product_type: tf.DType
) -> tf.Tensor:
    """Runs the recurrence of two LSTMs (Hochreiter and Schmidhuber 1997, as in Keras).

    Args:
        projected: The inputs times the kernels plus the biases, float
            ``[2, steps, rows, 4 * units]``.
        recurrent: The recurrent kernels, float ``[2, units, 4 * units]``.
        mask: 1 at a token, else 0, float ``[2, steps, rows, 1]``.
        product_type: The type in which products are computed.

    Returns:
        The hidden states, ``[2, steps, rows, units]``.
    """

    @tf.custom_gradient
    def hidden_states(
        projected: tf.Tensor, recurrent: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
        hidden, cells = _forward(projected, recurrent, mask, product_type)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            previous = _flat(_one_step_later(hidden))
            gates = _flat(projected) + _product(previous, recurrent, product_type)
            of_cells, forget, of_gates = _slopes(
                tf.reshape(gates, projected.shape), cells, mask
            )
            of_gates = _backpropagate(
                upstream, of_cells, forget, of_gates, recurrent, product_type
            )
            previous = tf.transpose(previous, [0, 2, 1])
            return of_gates, _product(previous, _flat(of_gates), product_type)

        return hidden, gradient

    return hidden_states(projected, recurrent)


def _forward(
    projected: tf.Tensor, recurrent: tf.Tensor, mask: tf.Tensor, product_type: tf.DType
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the hidden states and the cell states, ``[2, steps, rows, units]``."""
    _, steps, rows, _ = projected.shape
    units = recurrent.shape[1]
    kernels = tf.cast(recurrent, product_type)

    def step(
        t: tf.Tensor, hidden: tf.Tensor, cell: tf.Tensor, *states: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        gates = _at(projected, t) + _product(hidden, kernels, product_type)
        entering, forget, candidate, output = _activated(gates)
        here = _at(mask, t)
        cell = here * (forget * cell + entering * candidate)
        hidden = output * tf.tanh(cell)
        hidden_states, cell_states = states
        return (
            t + 1,
            hidden,
            cell,
            _with_step(hidden_states, t, hidden),
            _with_step(cell_states, t, cell),
        )

    zeros = tf.zeros([2, rows, units], projected.dtype)
    all_zeros = tf.zeros([2, steps, rows, units], projected.dtype)
    # A number of steps that the compiler knows: it then loops without a condition.
    *_, hidden_states, cell_states = tf.while_loop(
        lambda t, *_: t < steps, step, [0, zeros, zeros, all_zeros, all_zeros]
    )
    return hidden_states, cell_states


def _activated(gates: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Returns the gates from their inputs: input, forget, candidate and output."""
    entering, forget, candidate, output = tf.split(gates, 4, axis=-1)
    return (
        tf.sigmoid(entering),
        tf.sigmoid(forget),
        tf.tanh(candidate),
        tf.sigmoid(output),
    )


def _slopes(
    gates: tf.Tensor, cells: tf.Tensor, mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the derivatives of the states of all steps.

    Args:
        gates: The gates' inputs, float ``[2, steps, rows, 4 * units]``.
        cells: The cell states, float ``[2, steps, rows, units]``.
        mask: 1 at a token, else 0, float ``[2, steps, rows, 1]``.

    Returns:
        The derivatives of the hidden states by the cell states, those of the cell
        states by the previous ones, and those of the cell states (output gate: of the
        hidden states) by the gates' inputs. The first and the last are zero at steps
        without a token, so that no gradient passes these.
    """
    entering, forget, candidate, output = _activated(gates)
    activated = tf.tanh(cells)
    of_gates = [
        candidate * entering * (1 - entering),
        _one_step_later(cells) * forget * (1 - forget),
        entering * (1 - tf.square(candidate)),
        activated * output * (1 - output),
    ]
    of_cells = output * (1 - tf.square(activated))
    return mask * of_cells, forget, mask * tf.concat(of_gates, axis=-1)


def _backpropagate(
    upstream: tf.Tensor,
    of_cells: tf.Tensor,
    forget: tf.Tensor,
    of_gates: tf.Tensor,
    recurrent: tf.Tensor,
    product_type: tf.DType,
) -> tf.Tensor:
    """Propagates a gradient through the steps, from the last to the first.

    Args:
        upstream: The gradient of the hidden states, float ``[2, steps, rows, units]``.
        of_cells: See `_slopes`, as the next two.
        forget: Of the same shape.
        of_gates: Float ``[2, steps, rows, 4 * units]``.
        recurrent: The recurrent kernels, float ``[2, units, 4 * units]``.
        product_type: The type in which products are computed.

    Returns:
        The gradient of the gates' inputs, float ``[2, steps, rows, 4 * units]``.
    """
    _, steps, rows, units = upstream.shape
    transposed = tf.cast(tf.transpose(recurrent, [0, 2, 1]), product_type)

    def step(
        done: tf.Tensor, hidden: tf.Tensor, cell: tf.Tensor, gradient: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        t = steps - 1 - done
        hidden = hidden + _at(upstream, t)
        cell = cell + hidden * _at(of_cells, t)
        states = tf.concat([cell, cell, cell, hidden], axis=-1)
        gates = states * _at(of_gates, t)
        return (
            done + 1,
            _product(gates, transposed, product_type),
            cell * _at(forget, t),
            _with_step(gradient, t, gates),
        )

    zeros = tf.zeros([2, rows, units], upstream.dtype)
    *_, gradient = tf.while_loop(
        lambda done, *_: done < steps,
        step,
        [0, zeros, zeros, tf.zeros_like(of_gates)],
    )
    return gradient


def _product(first: tf.Tensor, second: tf.Tensor, product_type: tf.DType) -> tf.Tensor:
    """Returns a batched product of ``product_type``, in the type of ``first``."""
    product = tf.cast(first, product_type) @ tf.cast(second, product_type)
    return tf.cast(product, first.dtype)


def _flat(steps: tf.Tensor) -> tf.Tensor:
    """Reshapes ``[2, steps, rows, dim]`` to ``[2, steps * rows, dim]``."""
    return tf.reshape(steps, [2, -1, steps.shape[-1]])


def _one_step_later(steps: tf.Tensor) -> tf.Tensor:
    """Returns the values of the steps before, with zeros before the first step."""
    return tf.pad(steps[:, :-1], [[0, 0], [1, 0], [0, 0], [0, 0]])


def _at(steps: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
    """Returns a step of both directions: ``[2, steps, ...]`` to ``[2, ...]``."""
    sizes = [2, 1, *steps.shape[2:]]
    step = gen_xla_ops.xla_dynamic_slice(steps, tf.stack([0, t, 0, 0]), sizes)
    return tf.squeeze(step, axis=1)


def _with_step(steps: tf.Tensor, t: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Returns the steps with another value at time ``t``, the inverse of `_at`."""
    return gen_xla_ops.xla_dynamic_update_slice(
        steps, value[:, tf.newaxis], tf.stack([0, t, 0, 0])
    )
