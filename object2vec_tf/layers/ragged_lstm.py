"""LSTMs over ragged rows in time-major order, which never run over padding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.devices import on_host
from object2vec_tf.layers.precision import product
from object2vec_tf.layers.ragged_sum import ragged_sum


@dataclasses.dataclass(frozen=True)
class TimeMajor:
    """The first tokens of all rows, then the second tokens of longer rows, and so on.

    Rows are sorted by falling length, as in PyTorch's PackedSequence, so the rows that
    have a step at a given time are always the first ones. One row of a single zero step
    is added at the end of the batch, so that there is always at least one step.

    Attributes:
        values: float ``[steps, dim]``, one step per token.
        batch_sizes: How many rows have a step at each time, int32 ``[time]``.
        rows: The row of each step, int64 ``[steps]``.
        mirrored: For each step the step of the same row that takes its position when
            the row is read from its end, int64 ``[steps]``.
    """

    values: tf.Tensor
    batch_sizes: tf.Tensor
    rows: tf.Tensor
    mirrored: tf.Tensor


def to_time_major(
    vectors: tf.Tensor, indices: tf.RaggedTensor, training: bool | None = None
) -> TimeMajor:
    """Orders the tokens of a batch by time.

    Args:
        vectors: float ``[unique, dim]``.
        indices: RaggedTensor int32 ``[batch, (time)]``, indices into ``vectors``.
        training: Whether a gradient is needed.
    """
    with on_host():
        token_at, batch_sizes, rows, mirrored = _steps(indices)
    values = ragged_sum(vectors, token_at, training)
    return TimeMajor(values, batch_sizes, rows, mirrored)


def _steps(
    indices: tf.RaggedTensor,
) -> tuple[tf.RaggedTensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns each step's index or none, and the other fields of `TimeMajor`."""
    splits = indices.row_splits
    count = tf.size(splits, tf.int64) - 1
    lengths = tf.concat([splits[1:] - splits[:-1], [1]], axis=0)
    order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    lengths = tf.gather(lengths, order)
    has_step = tf.transpose(tf.sequence_mask(lengths, lengths[0]))
    batch_sizes = tf.reduce_sum(tf.cast(has_step, tf.int32), axis=1)
    starts = tf.cumsum(tf.cast(batch_sizes, tf.int64), exclusive=True)
    # `rank` is the place of a step's row in the order by length.
    time, rank = tf.unstack(tf.where(has_step), axis=1)
    rows = tf.cast(tf.gather(order, rank), tf.int64)
    last = tf.gather(lengths, rank) - 1
    is_token = rows < count
    tokens = tf.boolean_mask(tf.gather(splits, rows) + time, is_token)
    # One ragged row per step: its token, or nothing for the added row.
    token_at = tf.RaggedTensor.from_row_splits(
        tf.gather(indices.values, tokens),
        tf.pad(tf.cumsum(tf.cast(is_token, tf.int64)), [[1, 0]]),
        validate=False,
    )
    return token_at, batch_sizes, rows, tf.gather(starts, last - time) + rank


def bidirectional_lstm(
    forward: keras.layers.LSTM,
    backward: keras.layers.LSTM,
    batch: TimeMajor,
    training: bool | None = None,
) -> tf.Tensor:
    """Runs two LSTMs over every row, one from its start and one from its end.

    Both directions run in one loop over time. Each iteration computes only the rows
    that have a step at that time. The products of inputs and kernels are computed for
    all steps before the loop. Products are computed in the layers' compute type, all
    else in the type of the inputs.

    Args:
        forward: The layer with the weights of the forward direction.
        backward: The layer with those of the backward direction, of the same width.
        batch: The rows.
        training: Whether a gradient is needed. Without it the outputs are
            differentiable too, but slower. A SavedModel cannot contain the fast
            gradient.

    Returns:
        float ``[steps, 2 * units]``: the outputs of both directions at each step.
    """
    directions = [
        [tf.convert_to_tensor(weight.value) for weight in layer.weights]
        for layer in (forward, backward)
    ]
    inputs = [batch.values, tf.gather(batch.values, batch.mirrored)]
    dtype = forward.compute_dtype
    projected = tf.stack(
        [
            product(x, tf.cast(kernel, dtype)) + tf.cast(bias, x.dtype)
            for x, (kernel, _, bias) in zip(inputs, directions, strict=True)
        ],
        axis=1,
    )
    recurrent = tf.cast(tf.stack([weights[1] for weights in directions]), dtype)
    if training:
        outputs = _lstm_with_fast_gradient(projected, recurrent, batch.batch_sizes)
    else:
        outputs = _lstm(projected, recurrent, batch.batch_sizes)[0]
    # The backward direction's outputs move back to the steps whose input they had.
    ahead, back = outputs[:, 0], tf.gather(outputs[:, 1], batch.mirrored)
    return tf.concat([ahead, back], axis=1)


def _lstm(
    projected: tf.Tensor, recurrent: tf.Tensor, batch_sizes: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Runs the recurrence of two LSTMs (Hochreiter and Schmidhuber 1997, as in Keras).

    Args:
        projected: The inputs times the kernels plus the biases, float
            ``[steps, 2, 4 * units]``.
        recurrent: The recurrent kernels, float ``[2, units, 4 * units]``, in the type
            of the products.
        batch_sizes: How many rows have a step at each time, int32 ``[time]``.

    Returns:
        The hidden states and the cell states of each step, float ``[steps, 2, units]``,
        and the activated gates (input, forget, candidate, output), float
        ``[steps, 2, 4, units]``.
    """
    units = recurrent.shape[1]
    time, kernels = tf.size(batch_sizes), tf.unstack(recurrent)
    inputs = _tensor_array(time, [None, 2, 4 * units], projected.dtype)
    inputs = inputs.split(projected, batch_sizes)

    def step(
        t: tf.Tensor, hidden: tf.Tensor, cell: tf.Tensor, *arrays: tf.TensorArray
    ) -> tuple[tf.Tensor, ...]:
        rows = batch_sizes[t]
        hidden, cell = hidden[:rows], cell[:rows]
        products = [product(hidden[:, i], kernel) for i, kernel in enumerate(kernels)]
        gates = inputs.read(t) + tf.stack(products, axis=1)
        gates = tf.reshape(gates, [-1, 2, 4, units])
        opened, candidate = tf.sigmoid(gates), tf.tanh(gates[:, :, 2])
        cell = opened[:, :, 1] * cell + opened[:, :, 0] * candidate
        hidden = opened[:, :, 3] * tf.tanh(cell)
        activated = tf.concat(
            [opened[:, :, :2], candidate[:, :, tf.newaxis], opened[:, :, 3:]], 2
        )
        arrays = tuple(
            array.write(t, value)
            for array, value in zip(arrays, (hidden, cell, activated), strict=True)
        )
        return t + 1, hidden, cell, *arrays

    zeros = tf.zeros([batch_sizes[0], 2, units], projected.dtype)
    state_shape = tf.TensorShape([None, 2, units])
    shapes = [state_shape, state_shape, tf.TensorShape([None, 2, 4, units])]
    arrays = [_tensor_array(time, shape, projected.dtype) for shape in shapes]
    _, _, _, *arrays = tf.while_loop(
        lambda t, *_: t < time,
        step,
        [0, zeros, zeros, *arrays],
        shape_invariants=[
            tf.TensorShape([]),
            *shapes[:2],
            *(tf.TensorShape(None) for _ in arrays),
        ],
    )
    hidden_states, cell_states, gates = (
        tf.ensure_shape(array.concat(), shape)
        for array, shape in zip(arrays, shapes, strict=True)
    )
    return hidden_states, cell_states, gates


def _tensor_array(size: tf.Tensor, shape: Any, dtype: tf.DType) -> tf.TensorArray:
    return tf.TensorArray(dtype, size, infer_shape=False, element_shape=shape)


@tf.custom_gradient
def _lstm_with_fast_gradient(
    projected: tf.Tensor, recurrent: tf.Tensor, batch_sizes: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, None]]]:
    """Returns the hidden states of `_lstm`, with a faster gradient.

    The gradient of the recurrent kernels is one product over all steps. TensorFlow's
    own gradient of a loop adds up one array per step, a megabyte per direction at 256
    units, and stacks the intermediate results of every step.
    """
    hidden_states, cell_states, gates = _lstm(projected, recurrent, batch_sizes)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        # The steps after the first time, and the previous step of the same row.
        later = tf.range(batch_sizes[0], tf.shape(hidden_states)[0])
        previous = later - tf.repeat(batch_sizes[:-1], batch_sizes[1:])
        zeros = tf.zeros_like(cell_states[: batch_sizes[0]])
        previous_cells = tf.concat([zeros, tf.gather(cell_states, previous)], axis=0)
        entering, forget, candidate, output = tf.unstack(gates, axis=2)
        activated_cells = tf.tanh(cell_states)
        # The derivatives of the cell state (output gate: of the hidden state) by the
        # gates' inputs.
        gate_slopes = tf.stack(
            [
                candidate * entering * (1 - entering),
                previous_cells * forget * (1 - forget),
                entering * (1 - tf.square(candidate)),
                activated_cells * output * (1 - output),
            ],
            axis=2,
        )
        cell_slopes = output * (1 - tf.square(activated_cells))
        gate_gradients = _backpropagate(
            upstream, cell_slopes, forget, gate_slopes, recurrent, batch_sizes
        )
        previous_hidden = tf.transpose(tf.gather(hidden_states, previous), [1, 2, 0])
        later_gates = tf.transpose(gate_gradients[batch_sizes[0] :], [1, 0, 2])
        recurrent_gradients = tf.cast(previous_hidden, recurrent.dtype) @ tf.cast(
            later_gates, recurrent.dtype
        )
        return gate_gradients, recurrent_gradients, None

    return hidden_states, gradient


def _backpropagate(
    upstream: tf.Tensor,
    cell_slopes: tf.Tensor,
    forget: tf.Tensor,
    gate_slopes: tf.Tensor,
    recurrent: tf.Tensor,
    batch_sizes: tf.Tensor,
) -> tf.Tensor:
    """Propagates a gradient through the steps, from the last to the first.

    Args:
        upstream: The gradient of the hidden states, float ``[steps, 2, units]``.
        cell_slopes: The derivatives of the hidden states by the cell states, of the
            same shape.
        forget: The forget gates, of the same shape.
        gate_slopes: The derivatives of the states by the gates' inputs, float
            ``[steps, 2, 4, units]``.
        recurrent: The recurrent kernels, float ``[2, units, 4 * units]``.
        batch_sizes: How many rows have a step at each time, int32 ``[time]``.

    Returns:
        The gradient of the gates' inputs, float ``[steps, 2, 4 * units]``.
    """
    units = recurrent.shape[1]
    time = tf.size(batch_sizes)
    starts = tf.cumsum(batch_sizes, exclusive=True)
    transposed = tf.unstack(tf.transpose(recurrent, [0, 2, 1]))

    def step(
        t: tf.Tensor, hidden: tf.Tensor, cell: tf.Tensor, array: tf.TensorArray
    ) -> tuple[tf.Tensor, ...]:
        steps = slice(starts[t], starts[t] + batch_sizes[t])
        # Rows that end at this time get no gradient from later steps.
        padding = [[0, batch_sizes[t] - tf.shape(hidden)[0]], [0, 0], [0, 0]]
        hidden = upstream[steps] + tf.pad(hidden, padding)
        cell = tf.pad(cell, padding) + hidden * cell_slopes[steps]
        gates = gate_slopes[steps] * tf.stack([cell, cell, cell, hidden], axis=2)
        gates = tf.reshape(gates, [-1, 2, 4 * units])
        products = [product(gates[:, i], kernel) for i, kernel in enumerate(transposed)]
        return (
            t - 1,
            tf.stack(products, axis=1),
            cell * forget[steps],
            array.write(t, gates),
        )

    no_rows = tf.zeros([0, 2, units], upstream.dtype)
    shape = tf.TensorShape([None, 2, units])
    array = _tensor_array(time, [None, 2, 4 * units], upstream.dtype)
    *_, array = tf.while_loop(
        lambda t, *_: t >= 0,
        step,
        [time - 1, no_rows, no_rows, array],
        shape_invariants=[tf.TensorShape([]), shape, shape, tf.TensorShape(None)],
    )
    return tf.ensure_shape(array.concat(), [None, 2, 4 * units])
