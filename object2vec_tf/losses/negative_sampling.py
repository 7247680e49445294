"""Negative sampling from encodings that the batch already has.

Partners are told by the number of their pair.
"""

from __future__ import annotations

import keras
import tensorflow as tf

# A negative that is more alike by a cosine of 1 is drawn so often: e to this power.
_HARDNESS = 5.0
# More than what any scores differ by.
_NEVER = 1e3


def uniform_negatives(
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


def frequency_negatives(
    log_frequencies: tf.Tensor,
    power: float,
    rate: int,
    seeds: keras.random.SeedGenerator,
) -> tf.Tensor:
    """Draws partners by their frequency in the whole channel, to a power.

    In a batch, objects stand as often as in the channel: they are drawn from it,
    without repeats for a pair, with the weights that the power lacks. ``word2vec`` has
    .75, 0 draws all objects alike, 1 is what `uniform_negatives` does.

    Source: Mikolov and others, "Distributed Representations of Words and Phrases"
    (2013). Draws without repeats are the highest of the logarithms of the weights with
    Gumbel noise (Kool and others, 2019).

    Args:
        log_frequencies: Log of the fraction of pairs that contain each pair's in1,
            float ``[batch]``.
        power: The power, from 0 to 1.
        rate: Negatives for each pair.
        seeds: Source of randomness.

    Returns:
        As `uniform_negatives`; ``batch - 1`` for a pair at the most.
    """
    batch = tf.shape(log_frequencies)[0]
    noise = _gumbel(tf.stack([batch, batch]), seeds)
    return _highest(noise + (power - 1) * log_frequencies, rate)


def hard_negatives(
    first: tf.Tensor,
    second: tf.Tensor,
    known: tf.Tensor,
    rate: int,
    seeds: keras.random.SeedGenerator,
) -> tf.Tensor:
    """Draws in1 of the batch that the encoders rather take for partners, and are none.

    Without repeats for a pair, with weights of e to the power of `_HARDNESS` times the
    cosine. Of the most alike alone, a comparator would not learn to refuse the others:
    hits@1 among Wikipedia's articles was .04 where random ones gave .67.

    Source: Robinson and others, "Contrastive Learning with Hard Negative Samples"
    (2021), whose weights these are.

    Args:
        first: Encodings of in0, float ``[batch, enc_dim]``.
        second: Encodings of in1, float ``[batch, enc_dim]``.
        known: Whether a pair's in0 (row) and another's in1 (column) are partners, bool
            ``[batch, batch]``; they come last.
        rate: Negatives for each pair.
        seeds: Source of randomness.

    Returns:
        As `uniform_negatives`; ``batch - 1`` for a pair at the most.
    """
    first, second = (tf.math.l2_normalize(e, axis=1) for e in (first, second))
    cosines = tf.matmul(first, second, transpose_b=True)
    scores = _HARDNESS * cosines + _gumbel(tf.shape(cosines), seeds)
    return _highest(scores - _NEVER * tf.cast(known, scores.dtype), rate)


def _gumbel(shape: tf.Tensor, seeds: keras.random.SeedGenerator) -> tf.Tensor:
    even = keras.random.uniform(tuple(tf.unstack(shape)), minval=1e-7, seed=seeds)
    return -tf.math.log(-tf.math.log(even))


def _highest(scores: tf.Tensor, rate: int) -> tf.Tensor:
    """Returns the columns of each row's highest scores, without its own column."""
    batch = tf.shape(scores)[0]
    others = tf.linalg.set_diag(scores, tf.fill([batch], scores.dtype.min))
    _, columns = tf.math.top_k(others, tf.minimum(rate, batch - 1))
    return tf.reshape(tf.transpose(columns), [-1])


def add_negatives(
    first: tf.Tensor,
    second: tf.Tensor,
    labels: tf.Tensor,
    partners: tf.Tensor,
    pool: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Appends negatives for every pair, labelled 0.

    Args:
        first: Encodings of in0, float ``[batch, enc_dim]``.
        second: Encodings of in1, float ``[batch, enc_dim]``.
        labels: ``[batch]``.
        partners: For place n the partner of pair ``n % batch``, int32
            ``[rate * batch]``.
        pool: Encodings that partners are numbers of, float ``[pool, enc_dim]``; by
            default ``second``.

    Returns:
        The three with ``batch * (1 + rate)`` rows, the given pairs first.
    """
    batch = tf.shape(first)[0]
    copies = tf.size(partners) // tf.maximum(batch, 1)
    pool = second if pool is None else pool
    return (
        tf.tile(first, [1 + copies, 1]),
        tf.concat([second, tf.gather(pool, partners)], axis=0),
        tf.concat([labels, tf.zeros_like(partners, labels.dtype)], axis=0),
    )
