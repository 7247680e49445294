"""Ragged rows ordered by time, for recurrent layers that must not run over padding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.layers.ragged_sum import ragged_sum


@dataclasses.dataclass(frozen=True)
class TimeMajor:
    """The first tokens of all rows, then the second tokens of those that have any, ...

    Rows stand from long to short, so that those that go on are always the first. One
    row more, of a single step of zeros, sees to it that there always is a step.

    Attributes:
        steps: float ``[cells, dim]``, a cell for each token.
        counts: How many rows have a step at that time, int32 ``[time]``.
        rows: The row of each cell, int64 ``[cells]``.
        backwards: The cell that stands in a cell's place when every row is read from
            its end, int64 ``[cells]``.
    """

    steps: tf.Tensor
    counts: tf.Tensor
    rows: tf.Tensor
    backwards: tf.Tensor


def to_time_major(
    vectors: tf.Tensor, places: tf.RaggedTensor, training: bool | None = None
) -> TimeMajor:
    """Orders a batch by time.

    Args:
        vectors: float ``[distinct, dim]``.
        places: RaggedTensor int32 ``[batch, (time)]``, indices into ``vectors``.
        training: Whether a gradient will be asked for.
    """
    splits = places.row_splits
    count = tf.size(splits, tf.int64) - 1
    lengths = tf.concat([splits[1:] - splits[:-1], [1]], axis=0)
    order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    lengths = tf.gather(lengths, order)
    alive = tf.transpose(tf.sequence_mask(lengths, lengths[0]))
    counts = tf.reduce_sum(tf.cast(alive, tf.int32), axis=1)
    first = tf.cumsum(tf.cast(counts, tf.int64), exclusive=True)
    time, rank = tf.unstack(tf.where(alive), axis=1)
    rows = tf.cast(tf.gather(order, rank), tf.int64)
    last = tf.gather(lengths, rank) - 1
    held = rows < count
    tokens = tf.boolean_mask(tf.gather(splits, rows) + time, held)
    cells = tf.RaggedTensor.from_row_splits(
        tf.gather(places.values, tokens),
        tf.pad(tf.cumsum(tf.cast(held, tf.int64)), [[1, 0]]),
        validate=False,
    )
    return TimeMajor(
        ragged_sum(vectors, cells, training),
        counts,
        rows,
        tf.gather(first, last - time) + rank,
    )


def bidirectional(
    forward: keras.layers.LSTM,
    backward: keras.layers.LSTM,
    batch: TimeMajor,
    training: bool | None = None,
) -> tf.Tensor:
    """Runs two LSTMs over every row, one from its start and one from its end.

    Each step takes the rows that have it, and both directions at once; the products
    with the inputs are taken for all steps beforehand.

    Args:
        forward: Holds the weights of the direction from the start.
        backward: Holds those of the direction from the end; of the same width.
        batch: The rows.
        training: Whether a gradient will be asked for; without it there is one too,
            but slower. A SavedModel cannot hold the fast one.

    Returns:
        float ``[cells, 2 * units]``: at each cell, what both gave there.
    """
    directions = [
        [tf.convert_to_tensor(weight.value) for weight in layer.weights]
        for layer in (forward, backward)
    ]
    inputs = [batch.steps, tf.gather(batch.steps, batch.backwards)]
    projected = tf.stack(
        [
            x @ kernel + bias
            for x, (kernel, _, bias) in zip(inputs, directions, strict=True)
        ],
        axis=1,
    )
    recurrent = tf.stack([weights[1] for weights in directions])
    if training:
        outputs = _trained_states(projected, recurrent, batch.counts)
    else:
        outputs = _recurrence(projected, recurrent, batch.counts)[0]
    # What the backward direction gave for a cell stands where it read it.
    ahead, back = outputs[:, 0], tf.gather(outputs[:, 1], batch.backwards)
    return tf.concat([ahead, back], axis=1)


def _recurrence(
    projected: tf.Tensor, recurrent: tf.Tensor, counts: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Runs the steps of two LSTMs.

    Args:
        projected: Their inputs' products, float ``[cells, 2, 4 * units]``.
        recurrent: The weights of their states, float ``[2, units, 4 * units]``.
        counts: How many rows have a step at that time, int32 ``[time]``.

    Returns:
        At each cell the states and the memories, float ``[cells, 2, units]``, and the
        gates, activated: in, forget, new, out, float ``[cells, 2, 4, units]``.
    """
    units = recurrent.shape[1]
    time, sides = tf.size(counts), tf.unstack(recurrent)
    entering = _array(time, [None, 2, 4 * units], projected.dtype)
    entering = entering.split(projected, counts)

    def step(
        i: tf.Tensor, state: tf.Tensor, memory: tf.Tensor, *kept: tf.TensorArray
    ) -> tuple[tf.Tensor, ...]:
        rows = counts[i]
        state, memory = state[:rows], memory[:rows]
        products = [state[:, side] @ weights for side, weights in enumerate(sides)]
        gates = entering.read(i) + tf.stack(products, axis=1)
        gates = tf.reshape(gates, [-1, 2, 4, units])
        opened, new = tf.sigmoid(gates), tf.tanh(gates[:, :, 2])
        memory = opened[:, :, 1] * memory + opened[:, :, 0] * new
        state = opened[:, :, 3] * tf.tanh(memory)
        activated = tf.concat(
            [opened[:, :, :2], new[:, :, tf.newaxis], opened[:, :, 3:]], 2
        )
        kept = tuple(
            array.write(i, value)
            for array, value in zip(kept, (state, memory, activated), strict=True)
        )
        return i + 1, state, memory, *kept

    zeros = tf.zeros([counts[0], 2, units], projected.dtype)
    flat = tf.TensorShape([None, 2, units])
    shapes = [flat, flat, tf.TensorShape([None, 2, 4, units])]
    kept = [_array(time, shape, projected.dtype) for shape in shapes]
    _, _, _, *kept = tf.while_loop(
        lambda i, *_: i < time,
        step,
        [0, zeros, zeros, *kept],
        shape_invariants=[
            tf.TensorShape([]),
            *shapes[:2],
            *(tf.TensorShape(None) for _ in kept),
        ],
    )
    states, memories, gates = (
        tf.ensure_shape(array.concat(), shape)
        for array, shape in zip(kept, shapes, strict=True)
    )
    return states, memories, gates


def _array(size: tf.Tensor, shape: Any, dtype: tf.DType) -> tf.TensorArray:
    return tf.TensorArray(dtype, size, infer_shape=False, element_shape=shape)


@tf.custom_gradient
def _trained_states(
    projected: tf.Tensor, recurrent: tf.Tensor, counts: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, None]]]:
    """Returns the states of `_recurrence`, with a gradient that sums weights once.

    TensorFlow's own gradient of a loop adds up the recurrent weights' step by step, a
    megabyte for each of 256 units, and stacks what a step has computed.
    """
    states, memories, gates = _recurrence(projected, recurrent, counts)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        # The cells that have one before them, and which that is.
        later = tf.range(counts[0], tf.shape(states)[0])
        before = later - tf.repeat(counts[:-1], counts[1:])
        none = tf.zeros_like(memories[: counts[0]])
        held = tf.concat([none, tf.gather(memories, before)], axis=0)
        entering, forget, new, out = tf.unstack(gates, axis=2)
        shown = tf.tanh(memories)
        # By these a gradient of the memory (the last: of the state) becomes the gates'.
        slopes = tf.stack(
            [
                new * entering * (1 - entering),
                held * forget * (1 - forget),
                entering * (1 - tf.square(new)),
                shown * out * (1 - out),
            ],
            axis=2,
        )
        given = _back(
            upstream, out * (1 - tf.square(shown)), forget, slopes, recurrent, counts
        )
        previous = tf.transpose(tf.gather(states, before), [1, 2, 0])
        weights = previous @ tf.transpose(given[counts[0] :], [1, 0, 2])
        return given, weights, None

    return states, gradient


def _back(
    upstream: tf.Tensor,
    exposed: tf.Tensor,
    forget: tf.Tensor,
    slopes: tf.Tensor,
    recurrent: tf.Tensor,
    counts: tf.Tensor,
) -> tf.Tensor:
    """Goes through the steps from the last to the first.

    Args:
        upstream: The gradient of the states, float ``[cells, 2, units]``.
        exposed: That of the states by the memories, of the same shape.
        forget: The forget gates, of the same shape.
        slopes: Those of the gates' inputs, float ``[cells, 2, 4, units]``.
        recurrent: float ``[2, units, 4 * units]``.
        counts: int32 ``[time]``.

    Returns:
        The gradient of the gates' inputs, float ``[cells, 2, 4 * units]``.
    """
    units = recurrent.shape[1]
    time = tf.size(counts)
    first = tf.cumsum(counts, exclusive=True)
    sides = tf.unstack(tf.transpose(recurrent, [0, 2, 1]))

    def step(
        i: tf.Tensor, state: tf.Tensor, memory: tf.Tensor, given: tf.TensorArray
    ) -> tuple[tf.Tensor, ...]:
        cells = slice(first[i], first[i] + counts[i])
        # Rows whose last step this is have no gradient from later ones.
        ended = [[0, counts[i] - tf.shape(state)[0]], [0, 0], [0, 0]]
        state = upstream[cells] + tf.pad(state, ended)
        memory = tf.pad(memory, ended) + state * exposed[cells]
        gates = slopes[cells] * tf.stack([memory, memory, memory, state], axis=2)
        gates = tf.reshape(gates, [-1, 2, 4 * units])
        products = [gates[:, side] @ weights for side, weights in enumerate(sides)]
        return (
            i - 1,
            tf.stack(products, axis=1),
            memory * forget[cells],
            given.write(i, gates),
        )

    none = tf.zeros([0, 2, units], upstream.dtype)
    shape = tf.TensorShape([None, 2, units])
    given = _array(time, [None, 2, 4 * units], upstream.dtype)
    *_, given = tf.while_loop(
        lambda i, *_: i >= 0,
        step,
        [time - 1, none, none, given],
        shape_invariants=[tf.TensorShape([]), shape, shape, tf.TensorShape(None)],
    )
    return tf.ensure_shape(given.concat(), [None, 2, 4 * units])
