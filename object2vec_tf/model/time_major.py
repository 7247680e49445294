"""Ragged rows ordered by time, for recurrent layers that must not run over padding."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from object2vec_tf.model.ragged_sum import ragged_sum


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


def time_major(
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
    forward: keras.layers.LSTM, backward: keras.layers.LSTM, batch: TimeMajor
) -> tf.Tensor:
    """Runs two LSTMs over every row, one from its start and one from its end.

    Each step takes the rows that have it, and both directions at once; the products
    with the inputs are taken for all steps beforehand. For 128 rows of 15 steps on
    average and up to 82, 256 wide, a training step takes half the time of Keras's
    layers on rows padded to the longest.

    Args:
        forward: Holds the weights of the direction from the start.
        backward: Holds those of the direction from the end; of the same width.
        batch: The rows.

    Returns:
        float ``[cells, 2 * units]``: at each cell, what both gave there.
    """
    units = forward.units
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
    time = tf.size(batch.counts)
    entering = tf.TensorArray(
        projected.dtype,
        size=time,
        infer_shape=False,
        element_shape=[None, 2, 4 * units],
    ).split(projected, batch.counts)

    def step(
        i: tf.Tensor, state: tf.Tensor, memory: tf.Tensor, states: tf.TensorArray
    ) -> tuple[tf.Tensor, ...]:
        rows = batch.counts[i]
        state, memory = state[:rows], memory[:rows]
        recurrent = [
            state[:, side] @ weights[1] for side, weights in enumerate(directions)
        ]
        gates = entering.read(i) + tf.stack(recurrent, axis=1)
        gates = tf.reshape(gates, [-1, 2, 4, units])  # in, forget, new, out
        opened = tf.sigmoid(gates)
        new = opened[:, :, 0] * tf.tanh(gates[:, :, 2])
        memory = opened[:, :, 1] * memory + new
        state = opened[:, :, 3] * tf.tanh(memory)
        return i + 1, state, memory, states.write(i, state)

    zeros = tf.zeros([batch.counts[0], 2, units], batch.steps.dtype)
    shape = tf.TensorShape([None, 2, units])
    leaving = tf.TensorArray(
        zeros.dtype, size=time, infer_shape=False, element_shape=shape
    )
    *_, states = tf.while_loop(
        lambda i, *_: i < time,
        step,
        [0, zeros, zeros, leaving],
        shape_invariants=[tf.TensorShape([]), shape, shape, tf.TensorShape(None)],
    )
    outputs = tf.ensure_shape(states.concat(), shape)
    # What the backward direction gave for a cell stands where it read it.
    ahead, back = outputs[:, 0], tf.gather(outputs[:, 1], batch.backwards)
    return tf.concat([ahead, back], axis=1)
