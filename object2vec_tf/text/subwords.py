"""Character n-grams of words, hashed as fastText does.

A word is written between ``<`` and ``>``. Its n-grams of ``shortest`` to ``longest``
characters, except the two boundaries alone, are hashed by FNV-1a over their UTF-8
bytes. As in fastText, bytes of 128 and more are extended with their sign, and every
byte that continues a character in UTF-8 belongs to the character before it, also in
text that is not valid UTF-8.

Source: Bojanowski et al. 2017, Enriching Word Vectors with Subword Information;
fastText 0.9.2, src/dictionary.cc, ``Dictionary::computeSubwords`` and
``Dictionary::hash``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from object2vec_tf.devices import on_host
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.ragged.token_ids import SubwordIds
from object2vec_tf.text.vocabularies import UNKNOWN_TOKENS

# Words without n-grams: those for unknown words, and fastText's end of a sentence.
WHOLE_WORDS = frozenset({*UNKNOWN_TOKENS, "</s>"})
# Only n-grams that begin in the first characters of a word are used, so that the number
# of n-grams of an object is bounded. fastText has no such limit.
MAX_CHARACTERS = 256

_OFFSET, _PRIME, _MASK = 2166136261, 16777619, 0xFFFFFFFF
# Vocabulary words that are hashed at a time.
_WORDS_PER_CALL = 1 << 16


@on_host()
def ngram_buckets(words: tf.Tensor, subwords: SubwordIds) -> tf.RaggedTensor:
    """Returns the buckets of the n-grams of words, in fastText's order.

    Args:
        words: Strings ``[words]``.
        subwords: The lengths of n-grams, and the number of buckets.

    Returns:
        int64 ``[words, (n-grams)]``.

    Example:
        >>> from object2vec_tf.ragged.token_ids import SubwordIds
        >>> subwords = SubwordIds(100, shortest=3, longest=4, buckets=1000)
        >>> ngram_buckets(tf.constant(["the"]), subwords).to_list()
        [[151, 726, 980, 934, 280]]
    """
    data = tf.io.decode_raw(
        tf.strings.reduce_join(tf.strings.join(["<", words, ">"])), tf.uint8
    )
    # The first byte of each character, and the first character of each word.
    starts = tf.where((data & 0xC0) != 0x80)[:, 0]
    byte_splits = tf.pad(tf.cumsum(tf.strings.length(words) + 2), [[1, 0]])
    word_splits = tf.searchsorted(starts, tf.cast(byte_splits, tf.int64))
    lengths = word_splits[1:] - word_splits[:-1]
    hashes, is_ngram = _hashes(
        tf.cast(tf.bitcast(data, tf.int8), tf.int64) & _MASK,
        starts,
        tf.repeat(word_splits[:-1], lengths),
        tf.repeat(word_splits[1:], lengths),
        subwords,
    )
    counts = tf.reduce_sum(tf.cast(is_ngram, tf.int64), axis=1)
    splits = tf.gather(tf.pad(tf.cumsum(counts), [[1, 0]]), word_splits)
    buckets = tf.boolean_mask(hashes, is_ngram) % subwords.buckets
    return tf.RaggedTensor.from_row_splits(buckets, splits, validate=False)


def _hashes(
    data: tf.Tensor,
    starts: tf.Tensor,
    first: tf.Tensor,
    end: tf.Tensor,
    subwords: SubwordIds,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the hashes of the strings that begin at each character.

    Args:
        data: The bytes of all words, end to end, as int64 that keep 32 bits of the
            bytes' sign extension, ``[bytes]``.
        starts: The first byte of each character, int64 ``[characters]``.
        first: The first character of each character's word, int32 ``[characters]``.
        end: The character after each character's word, int32 ``[characters]``.
        subwords: The lengths of n-grams.

    Returns:
        The hashes of n-grams of the lengths of ``subwords``, int64 ``[characters,
        lengths]``, and which of them are n-grams of words, bool of the same shape.
    """
    count, total = tf.size(starts), tf.size(data, tf.int64)
    sizes = tf.concat([starts[1:], [total]], axis=0)[: tf.size(starts)] - starts
    widest = tf.reduce_max(tf.concat([sizes, [0]], axis=0))
    character = tf.range(count)
    is_in_reach = character - first < MAX_CHARACTERS
    state = tf.fill([count], tf.constant(_OFFSET, tf.int64))
    hashes, are_ngrams = [], []
    for length in range(1, subwords.longest + 1):
        last = character + length - 1
        exists = is_in_reach & (last < end)
        last = tf.minimum(last, count - 1)
        state = _with_character(
            state,
            data,
            tf.gather(starts, last),
            tf.where(exists, tf.gather(sizes, last), 0),
            widest,
        )
        if length >= subwords.shortest:
            is_boundary = (character == first) | (character == end - 1)
            hashes.append(state)
            are_ngrams.append(exists & ~is_boundary if length == 1 else exists)
    return tf.stack(hashes, axis=1), tf.stack(are_ngrams, axis=1)


def _with_character(
    state: tf.Tensor,
    data: tf.Tensor,
    start: tf.Tensor,
    size: tf.Tensor,
    widest: tf.Tensor,
) -> tf.Tensor:
    """Returns FNV-1a states after one more character.

    Args:
        state: The states, int64 ``[characters]``.
        data: As for `_hashes`.
        start: The first byte of the added characters, int64 ``[characters]``.
        size: Their numbers of bytes; 0 leaves a state as it is.
        widest: The largest number of bytes of a character.
    """
    last = tf.size(data, tf.int64) - 1

    def add_byte(offset: tf.Tensor, state: tf.Tensor) -> list[tf.Tensor]:
        byte = tf.gather(data, tf.minimum(start + offset, last))
        added = (tf.bitwise.bitwise_xor(state, byte) * _PRIME) & _MASK
        return [offset + 1, tf.where(offset < size, added, state)]

    return tf.while_loop(
        lambda offset, _: offset < widest, add_byte, [tf.constant(0, tf.int64), state]
    )[1]


@on_host()
def with_ngrams(
    words: tf.RaggedTensor,
    ids: tf.RaggedTensor,
    subwords: SubwordIds,
    unknown_id: int | None,
) -> tf.RaggedTensor:
    """Returns ids, with the run of its n-grams for each word without an id.

    Args:
        words: Strings ``[batch, (words)]``.
        ids: The words' ids, int64 ``[batch, (words)]``; -1 for words without one.
        subwords: The ids of n-grams.
        unknown_id: The id of words without an id and without n-grams; None drops them.

    Returns:
        int64 ``[batch, (ids)]``.

    Example:
        >>> from object2vec_tf.ragged.token_ids import SubwordIds
        >>> subwords = SubwordIds(100, shortest=3, longest=4, buckets=1000)
        >>> words = tf.ragged.constant([["a", "the"], ["a"]])
        >>> ids = tf.ragged.constant([[7, -1], [7]], dtype=tf.int64)
        >>> with_ngrams(words, ids, subwords, None).to_list()
        [[7, 251, 1826, 2080, 2034, 1380], [7]]
    """

    def spell() -> tuple[tf.Tensor, tf.Tensor]:
        is_missing = ids.values < 0
        ngrams = ngram_buckets(tf.boolean_mask(words.values, is_missing), subwords)
        lengths = ngrams.row_lengths()
        position = tf.range(tf.size(ngrams.values, tf.int64)) - tf.repeat(
            ngrams.row_splits[:-1], lengths
        )
        runs = ngrams.values + tf.where(
            position > 0,
            tf.constant(subwords.continued_from, tf.int64),
            tf.constant(subwords.vocab_size, tf.int64),
        )
        known = tf.boolean_mask(ids.values, ~is_missing)
        unknown = tf.constant([] if unknown_id is None else [unknown_id], tf.int64)
        # The ids of known words, those of each run, and those of a word without any.
        rows = tf.RaggedTensor.from_row_lengths(
            tf.concat([known, runs, unknown], axis=0),
            tf.concat([tf.ones_like(known), lengths, [tf.size(unknown)]], axis=0),
            validate=False,
        )
        number = tf.cumsum(tf.cast(is_missing, tf.int64))
        run = tf.where(lengths > 0, tf.range(tf.size(lengths)), tf.size(lengths))
        run = tf.cast(tf.concat([[0], run], axis=0), tf.int64)
        order = tf.where(
            is_missing,
            tf.size(known, tf.int64) + tf.gather(run, number),
            tf.range(tf.size(number, tf.int64)) - number,
        )
        found = tf.gather(rows, order)
        return found.values, tf.gather(found.row_splits, ids.row_splits)

    values, splits = tf.cond(
        tf.reduce_any(ids.values < 0), spell, lambda: (ids.values, ids.row_splits)
    )
    return tf.RaggedTensor.from_row_splits(values, splits, validate=False)


def vocabulary_ngrams(words: Mapping[str, int], subwords: SubwordIds) -> RaggedColumn:
    """Returns the buckets of the n-grams of each word of a vocabulary, by its id.

    Args:
        words: The ids by word.
        subwords: The lengths of n-grams, and the number of buckets.

    Returns:
        ``vocab_size`` rows; empty for ids without a word and for `WHOLE_WORDS`.
    """
    named = sorted((id_, w) for w, id_ in words.items() if w not in WHOLE_WORDS)
    lengths = np.zeros(subwords.vocab_size, np.int64)
    values = [np.zeros(0, np.int32)]
    for start in range(0, len(named), _WORDS_PER_CALL):
        part = named[start : start + _WORDS_PER_CALL]
        buckets = ngram_buckets(tf.constant([word for _, word in part]), subwords)
        values.append(buckets.values.numpy().astype(np.int32))
        lengths[[id_ for id_, _ in part]] = buckets.row_lengths().numpy()
    splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return RaggedColumn(np.concatenate(values), splits)
