"""The words of a batch, and the character n-grams that each of them consists of."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from object2vec_tf.devices import on_host
from object2vec_tf.layers.unique_rows import unique_rows
from object2vec_tf.ragged.token_ids import SubwordIds


class WordParts(NamedTuple):
    """The words of a batch.

    Words of the vocabulary come first, then others, whose only parts are n-grams. Each
    word is there once.

    Attributes:
        known: The unique ids of words of the vocabulary, ``[known]``.
        ngrams: The buckets of the n-grams of each word, int32 ``[words, (n-grams)]``.
        words: Each token's index into the words, RaggedTensor int32
            ``[batch, (time)]``.
    """

    known: tf.Tensor
    ngrams: tf.RaggedTensor
    words: tf.RaggedTensor


@on_host()
def word_parts(
    ids: tf.RaggedTensor, vocabulary: tf.RaggedTensor, subwords: SubwordIds
) -> WordParts:
    """Returns the words of a batch, and their n-grams.

    Args:
        ids: Ids of words and of n-grams; see `object2vec_tf.ragged.token_ids`.
            RaggedTensor ``[batch, (ids)]``. An id that continues a word is taken as the
            first one where there is no word to continue.
        vocabulary: The buckets of the n-grams of each word of the vocabulary, int32
            ``[vocab_size, (n-grams)]``.
        subwords: The ids of n-grams.

    Example:
        >>> from object2vec_tf.layers.word_parts import word_parts
        >>> from object2vec_tf.ragged.token_ids import SubwordIds
        >>> subwords = SubwordIds(vocab_size=3, shortest=3, longest=6, buckets=10)
        >>> vocabulary = tf.ragged.constant([[], [5, 6], [7]], tf.int32)
        >>> ids = tf.ragged.constant([[1, 3 + 8, 13 + 9, 1], [2]])
        >>> parts = word_parts(ids, vocabulary, subwords)
        >>> parts.known.numpy(), parts.words.to_list()
        (array([1, 2], dtype=int32), [[0, 2, 0], [1]])
        >>> parts.ngrams.to_list()
        [[5, 6], [7], [8, 9]]
    """
    values, splits = ids.values, ids.row_splits
    has_ngrams = tf.reduce_any(values >= subwords.vocab_size)

    def only_known() -> tuple[tf.Tensor, ...]:
        known, indices = tf.unique(values)
        ngrams = _rows(vocabulary, known)
        return known, ngrams.values, ngrams.row_splits, indices, splits

    def with_others() -> tuple[tf.Tensor, ...]:
        return _with_others(ids, vocabulary, subwords)

    known, ngrams, ngram_splits, indices, splits = tf.cond(
        has_ngrams, with_others, only_known
    )
    return WordParts(
        known,
        tf.RaggedTensor.from_row_splits(ngrams, ngram_splits, validate=False),
        tf.RaggedTensor.from_row_splits(indices, splits, validate=False),
    )


def _rows(vocabulary: tf.RaggedTensor, ids: tf.Tensor) -> tf.RaggedTensor:
    """Returns rows of a RaggedTensor; a few ops, where tf.gather adds dozens."""
    found = tf.raw_ops.RaggedGather(
        params_nested_splits=[vocabulary.row_splits],
        params_dense_values=vocabulary.values,
        indices=ids,
        OUTPUT_RAGGED_RANK=1,
    )
    return tf.RaggedTensor.from_row_splits(
        found.output_dense_values, found.output_nested_splits[0], validate=False
    )


def _with_others(
    ids: tf.RaggedTensor, vocabulary: tf.RaggedTensor, subwords: SubwordIds
) -> tuple[tf.Tensor, ...]:
    """Returns the words of a batch that has other words than those of the vocabulary.

    Returns:
        The attributes of `WordParts`, with RaggedTensors as values and row splits.
    """
    values, splits = ids.values, ids.row_splits
    is_known = values < subwords.vocab_size
    count = tf.size(values, tf.int64)
    is_first = tf.scatter_nd(
        splits[:-1, tf.newaxis], tf.ones_like(splits[:-1]), [count + 1]
    )
    follows_known = tf.concat([[True], is_known[:-1]], axis=0)
    starts = (values < subwords.continued_from) | follows_known | (is_first[:-1] > 0)
    known, known_indices = tf.unique(tf.boolean_mask(values, is_known))
    # The number of each n-gram's word among the words that the vocabulary lacks.
    number = tf.cumsum(tf.cast(starts & ~is_known, tf.int32))
    buckets = values - tf.where(
        values < subwords.continued_from,
        tf.cast(subwords.vocab_size, values.dtype),
        tf.cast(subwords.continued_from, values.dtype),
    )
    lengths = tf.math.bincount(tf.boolean_mask(number, ~is_known) - 1, dtype=tf.int64)
    runs, other_indices = unique_rows(
        tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(buckets, ~is_known), lengths, validate=False
        )
    )
    indices = tf.tensor_scatter_nd_update(
        tf.size(known) + tf.gather(other_indices, tf.maximum(number - 1, 0)),
        tf.where(is_known),
        known_indices,
    )
    ngrams = _rows(vocabulary, known)
    ends = ngrams.row_splits[-1] + runs.row_splits[1:]
    words = tf.pad(tf.cumsum(tf.cast(starts, splits.dtype)), [[1, 0]])
    return (
        known,
        tf.concat([ngrams.values, tf.cast(runs.values, tf.int32)], axis=0),
        tf.concat([ngrams.row_splits, ends], axis=0),
        tf.boolean_mask(indices, starts),
        tf.gather(words, splits),
    )
