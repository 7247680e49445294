"""Negative sampling from encodings that the batch already has."""

from __future__ import annotations

import keras
import tensorflow as tf


def negative_partners(
    batch: tf.Tensor, rate: int, seeds: keras.random.SeedGenerator
) -> tf.Tensor:
    """Draws, for every pair of a batch, the pairs whose in1 it meets as a negative.

    Each negative of pair i is the in1 of pair ``(i + s) mod batch`` for a random shift
    ``s`` in ``1..batch - 1``: never the pair's own in1, no partner twice while
    ``rate < batch``, and every in1 of the batch is used equally often. Since batches
    are shuffled, a shift shared by the batch is as random as one for each pair.

    Args:
        batch: Number of pairs, an int32 scalar.
        rate: Negatives for each pair.
        seeds: Source of randomness; its state is part of the model's.

    Returns:
        int32 ``[rate * batch]``, the partner of pair ``n % batch`` at place n; empty
        for a batch of one pair, which has no other.
    """
    order = keras.random.uniform((batch - 1,), seed=seeds)
    shifts = 1 + tf.argsort(order)
    # Keras's fit traces without autograph: no Python `if` on a tensor here.
    wanted = tf.range(tf.where(batch > 1, rate, 0))
    chosen = tf.gather(shifts, wanted % tf.maximum(batch - 1, 1))
    return tf.reshape((chosen[:, tf.newaxis] + tf.range(batch)) % batch, [-1])


def add_negatives(
    first: tf.Tensor,
    second: tf.Tensor,
    labels: tf.Tensor,
    rate: int,
    seeds: keras.random.SeedGenerator,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Appends ``rate`` negatives for every pair, labelled 0.

    Args:
        first: Encodings of in0, float ``[batch, enc_dim]``.
        second: Encodings of in1, float ``[batch, enc_dim]``.
        labels: ``[batch]``.
        rate: Negatives for each pair.
        seeds: Source of randomness.

    Returns:
        The three with ``batch * (1 + rate)`` rows, the given pairs first.
    """
    batch = tf.shape(first)[0]
    partners = negative_partners(batch, rate, seeds)
    copies = tf.size(partners) // tf.maximum(batch, 1)
    return (
        tf.tile(first, [1 + copies, 1]),
        tf.concat([second, tf.gather(second, partners)], axis=0),
        tf.concat([labels, tf.zeros_like(partners, labels.dtype)], axis=0),
    )
