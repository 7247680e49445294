"""Negative sampling that reuses the encodings of the batch.

A negative is the in1 of another pair of the batch; it is identified by the index of
that pair.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from object2vec_tf.losses.positive_mask import BatchObjects
from object2vec_tf.losses.random_numbers import uniform

# Hard negatives are drawn with the weights exp(HARDNESS * cosine).
HARDNESS = 5.0
# Subtracted from the scores of positive pairs; larger than any difference of scores.
_POSITIVE_PENALTY = 1e3


def uniform_negatives(
    batch: tf.Tensor,
    rate: int,
    seeds: keras.random.SeedGenerator,
    pairs: tf.Tensor | None = None,
) -> tf.Tensor:
    """Draws negatives for every pair of a batch, all with the same probability.

    Each negative of pair i is the in1 of pair ``(i + s) mod batch`` for a random shift
    ``s`` in ``1..batch - 1``. It is never the pair's own in1, a pair gets no negative
    twice while ``rate < batch``, and every in1 of the batch is used equally often.
    Because batches are shuffled, a shift for the whole batch is as random as one per
    pair.

    Args:
        batch: Number of rows, an int32 scalar.
        rate: Negatives per pair.
        seeds: Source of randomness; its state is part of the model's state.
        pairs: Number of pairs, int32 scalar, if rows after them are padding.

    Returns:
        int32 ``[rate * batch]``: element n is a negative of pair ``n % batch``. Empty
        for a batch of one pair, which has no negatives. With ``pairs``, -1 where there
        is no negative.
    """
    order = uniform([batch - 1], seeds)
    if pairs is not None:
        return _padded_uniform_negatives(order, rate, pairs)
    shifts = 1 + tf.argsort(order)
    # Keras's fit traces without autograph: no Python `if` on a tensor here.
    draws = tf.range(tf.where(batch > 1, rate, 0))
    chosen = tf.gather(shifts, draws % tf.maximum(batch - 1, 1))
    return tf.reshape((chosen[:, tf.newaxis] + tf.range(batch)) % batch, [-1])


def _padded_uniform_negatives(
    order: tf.Tensor, rate: int, pairs: tf.Tensor
) -> tf.Tensor:
    """Returns the same as `uniform_negatives` for a batch with padding.

    Args:
        order: Random numbers, float ``[rows - 1]``. The first ``pairs - 1`` order the
            shifts.
        rate: Negatives per pair.
        pairs: Number of pairs, int32 scalar.
    """
    rows = order.shape[0] + 1
    order = tf.where(tf.range(rows - 1) < pairs - 1, order, order.dtype.max)
    shifts = 1 + tf.argsort(order)
    chosen = tf.gather(shifts, tf.range(rate) % tf.maximum(pairs - 1, 1))
    own = tf.range(rows)
    exists = (own < pairs) & (pairs > 1)
    return tf.reshape(tf.where(exists, (chosen[:, tf.newaxis] + own) % pairs, -1), [-1])


def frequency_negatives(
    log_frequencies: tf.Tensor,
    power: float,
    rate: int,
    seeds: keras.random.SeedGenerator,
    pairs: tf.Tensor | None = None,
) -> tf.Tensor:
    """Draws negatives by their frequency in the whole channel, raised to a power.

    The in1 of a batch occur with their frequencies in the channel, so drawing them with
    the weights ``frequency ** (power - 1)`` gives ``frequency ** power``. A pair gets
    no negative twice. word2vec uses a power of 0.75; 0 draws all objects equally often,
    and 1 gives the distribution of `uniform_negatives`.

    Sources: Mikolov et al. 2013, "Distributed Representations of Words and Phrases and
    their Compositionality". Sampling without replacement takes the highest sums of log
    weight and Gumbel noise: Kool et al. 2019, "Stochastic Beams and Where to Find
    Them".

    Args:
        log_frequencies: Log of the fraction of pairs that contain each pair's in1,
            float ``[batch]``.
        power: The power, from 0 to 1.
        rate: Negatives per pair.
        seeds: Source of randomness.
        pairs: As for `uniform_negatives`.

    Returns:
        The same as `uniform_negatives`, with at most ``batch - 1`` negatives per pair.
    """
    noise = _gumbel(tf.size(log_frequencies), seeds, pairs)
    return _highest(noise + (power - 1) * log_frequencies, rate, pairs)


def hard_negatives(
    first: tf.Tensor,
    second: tf.Tensor,
    positives: tf.Tensor,
    rate: int,
    seeds: keras.random.SeedGenerator,
    pairs: tf.Tensor | None = None,
) -> tf.Tensor:
    """Draws negatives that are similar to their pair's in0, by the cosine.

    The weights are ``exp(HARDNESS * cosine)``, and a pair gets no negative twice. Do
    not take only the most similar in1: the comparator then does not learn to reject the
    others. On Wikipedia articles that gave a hits@1 of 0.04, and random negatives 0.67.

    Source of the weights: Robinson et al. 2021, "Contrastive Learning with Hard
    Negative Samples".

    Args:
        first: Encodings of in0, float ``[batch, enc_dim]``.
        second: Encodings of in1, float ``[batch, enc_dim]``.
        positives: Whether an in0 (row) and an in1 (column) of the batch form a positive
            pair, bool ``[batch, batch]``. Positive pairs are drawn last.
        rate: Negatives per pair.
        seeds: Source of randomness.
        pairs: As for `uniform_negatives`.

    Returns:
        The same as `uniform_negatives`, with at most ``batch - 1`` negatives per pair.
    """
    similarities = cosines(first, second)
    noise = _gumbel(tf.shape(similarities)[0], seeds, pairs)
    scores = HARDNESS * similarities + tf.cast(noise, similarities.dtype)
    scores -= _POSITIVE_PENALTY * tf.cast(positives, scores.dtype)
    return _highest(scores, rate, pairs)


def cosines(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns the cosines of all pairs of encodings, float ``[batch, batch]``.

    Args:
        first: Encodings of in0, float ``[batch, enc_dim]``.
        second: Encodings of in1, float ``[batch, enc_dim]``.
    """
    first, second = (tf.math.l2_normalize(e, axis=1) for e in (first, second))
    return tf.matmul(first, second, transpose_b=True)


def distinct_negatives(
    log_weights: tf.Tensor,
    objects: BatchObjects,
    rate: int,
    seeds: keras.random.SeedGenerator,
) -> tf.Tensor:
    """Draws distinct objects that do not form a positive pair with a pair's in0.

    An object is drawn with the sum of the weights of its rows, without replacement; see
    `frequency_negatives` for the source. Its rows have the same weight.

    Args:
        log_weights: Log of the weight of each row's in1, float ``[batch]``, or for each
            pair (row) and in1 (column), float ``[batch, batch]``.
        objects: The objects and positive pairs of the batch.
        rate: Negatives per pair.
        seeds: Source of randomness.

    Returns:
        int32 ``[min(rate, batch - 1) * batch]``: element n is a negative of pair
        ``n % batch``, or -1 where the pair has too few candidates.
    """
    counts = tf.cast(objects.counts1(), log_weights.dtype)
    noise = _gumbel(tf.size(objects.index1), seeds, objects.pairs)
    scores = log_weights + tf.math.log(counts) + tf.cast(noise, log_weights.dtype)
    scores = tf.where(objects.negative_mask(), scores, scores.dtype.min)
    return _chosen(scores, rate)


def _gumbel(
    batch: tf.Tensor, seeds: keras.random.SeedGenerator, pairs: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns noise of the standard Gumbel distribution.

    Args:
        batch: Number of rows, int32 scalar.
        seeds: Source of randomness.
        pairs: Number of pairs, int32 scalar, if rows after them are padding. The noise
            of pairs does not depend on the padding.

    Returns:
        float ``[batch, batch]``.
    """
    numbers = uniform([batch, batch], seeds, low=1e-7)
    if pairs is not None:
        rows = tf.range(batch)
        positions = rows[:, tf.newaxis] * pairs + rows
        # Positions of padding may be outside.
        numbers = tf.gather(
            tf.reshape(numbers, [-1]), tf.minimum(positions, batch * batch - 1)
        )
    return -tf.math.log(-tf.math.log(numbers))


def _highest(scores: tf.Tensor, rate: int, pairs: tf.Tensor | None = None) -> tf.Tensor:
    """Returns the columns of the highest scores of each row, without the diagonal.

    Args:
        scores: float ``[batch, batch]``.
        rate: Columns per row.
        pairs: As for `uniform_negatives`.

    Returns:
        int32 ``[min(rate, batch - 1) * batch]``, in the order of `uniform_negatives`.
    """
    batch = tf.shape(scores)[0]
    others = tf.linalg.set_diag(scores, tf.fill([batch], scores.dtype.min))
    if pairs is not None:
        is_pair = tf.range(batch) < pairs
        exists = is_pair & is_pair[:, tf.newaxis]
        return _chosen(tf.where(exists, others, others.dtype.min), rate)
    _, columns = tf.math.top_k(others, tf.minimum(rate, batch - 1))
    return tf.reshape(tf.transpose(columns), [-1])


def _chosen(scores: tf.Tensor, rate: int) -> tf.Tensor:
    """Returns the columns of the highest scores of each row.

    Args:
        scores: float ``[batch, batch]``; the lowest number where a column is excluded.
        rate: Columns per row.

    Returns:
        int32 ``[min(rate, batch - 1) * batch]``, in the order of `uniform_negatives`;
        -1 where there is no other column.
    """
    best, columns = tf.math.top_k(scores, tf.minimum(rate, tf.shape(scores)[0] - 1))
    chosen = tf.where(best > scores.dtype.min, columns, -1)
    return tf.reshape(tf.transpose(chosen), [-1])


def add_negatives(
    first: tf.Tensor,
    second: tf.Tensor,
    labels: tf.Tensor,
    negatives: tf.Tensor,
    pool: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Appends the negatives of every pair, with label 0.

    Args:
        first: Encodings of in0, float ``[batch, enc_dim]``.
        second: Encodings of in1, float ``[batch, enc_dim]``.
        labels: ``[batch]``.
        negatives: Indices of negatives, int32 ``[rate * batch]``; element n is a
            negative of pair ``n % batch``.
        pool: The encodings that ``negatives`` are indices into, float
            ``[pool, enc_dim]``; by default ``second``.

    Returns:
        ``first``, ``second`` and ``labels`` with ``batch * (1 + rate)`` rows, the given
        pairs first.
    """
    batch = tf.shape(first)[0]
    copies = tf.size(negatives) // tf.maximum(batch, 1)
    pool = second if pool is None else pool
    return (
        tf.tile(first, [1 + copies, 1]),
        tf.concat([second, tf.gather(pool, negatives)], axis=0),
        tf.concat([labels, tf.zeros_like(negatives, labels.dtype)], axis=0),
    )


def add_padded_negatives(
    first: tf.Tensor,
    second: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor,
    negatives: tf.Tensor,
    pool: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Appends negatives with label 0, and with weight 0 where there is none.

    Args:
        first: Encodings of in0, float ``[rows, enc_dim]``.
        second: Encodings of in1, float ``[rows, enc_dim]``.
        labels: ``[rows]``.
        weights: float ``[rows]``; 0 for padding.
        negatives: Indices of negatives, int32 ``[rate * rows]``; element n is a
            negative of pair ``n % rows``, or -1 for none.
        pool: The encodings that ``negatives`` are indices into, float
            ``[pool, enc_dim]``; by default ``second``.

    Returns:
        The same arrays with ``rows * (1 + rate)`` rows, the given ones first.
    """
    copies = negatives.shape[0] // labels.shape[0]
    pool = second if pool is None else pool
    chosen = tf.gather(pool, tf.maximum(negatives, 0))
    own_weights = tf.tile(weights, [copies])
    return (
        tf.tile(first, [1 + copies, 1]),
        tf.concat([second, chosen], axis=0),
        tf.concat([labels, tf.zeros_like(negatives, labels.dtype)], axis=0),
        tf.concat([weights, tf.where(negatives >= 0, own_weights, 0.0)], axis=0),
    )


def add_chosen_negatives(
    first: tf.Tensor,
    second: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor | None,
    negatives: tf.Tensor,
    pool: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Appends the negatives that were made, with label 0 and the weight of their pair.

    Args:
        first: Encodings of in0, float ``[batch, enc_dim]``.
        second: Encodings of in1, float ``[batch, enc_dim]``.
        labels: ``[batch]``.
        weights: float ``[batch]``; None if all pairs count once.
        negatives: Indices of negatives, int32 ``[rate * batch]``; element n is a
            negative of pair ``n % batch``, or -1 for none.
        pool: The encodings that ``negatives`` are indices into, float
            ``[pool, enc_dim]``.

    Returns:
        ``first``, ``second``, ``labels`` and ``weights`` of the given pairs, followed
        by those of the negatives.
    """
    elements = tf.where(negatives >= 0)[:, 0]
    pairs = elements % tf.shape(first, tf.int64)[0]
    chosen = tf.gather(negatives, elements)
    if weights is not None:
        weights = tf.concat([weights, tf.gather(weights, pairs)], axis=0)
    return (
        tf.concat([first, tf.gather(first, pairs)], axis=0),
        tf.concat([second, tf.gather(pool, chosen)], axis=0),
        tf.concat([labels, tf.zeros_like(chosen, labels.dtype)], axis=0),
        weights,
    )
