"""The token embedding with subwords: the mean of a word's own vector and n-grams'."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.devices import gpu_is_visible, on_host
from object2vec_tf.errors import UserError
from object2vec_tf.layers.ragged_sum import ragged_sum
from object2vec_tf.layers.table_placement import TableSpec
from object2vec_tf.layers.token_embedding import TokenEmbedding, as_ragged
from object2vec_tf.layers.word_parts import WordParts, word_parts
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.ragged.token_ids import SubwordIds
from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class SubwordEmbedding(TokenEmbedding):
    """Looks up words, whose vectors are means over the word and its n-grams.

    The vector of a word of the vocabulary is the mean of its own vector and of those of
    its character n-grams. The vector of another word is the mean of those of its
    n-grams. In one batch, each word is computed once, and each vector of an n-gram is
    read once.

    The words of the vocabulary are no weights: `set_vocabulary` gives their n-grams to
    the layer.

    Source: Bojanowski et al. 2017, Enriching Word Vectors with Subword Information.
    As in fastText 0.9.2, the vectors are averaged; the paper adds them.

    Args:
        vocab_size: Number of words.
        dim: Width of a vector.
        shortest: The number of characters of the shortest n-grams.
        longest: The number of characters of the longest n-grams.
        buckets: Number of vectors of n-grams.
        trains_words: Whether the words' own vectors are trained. Those of n-grams are
            as trainable as the layer.
    """

    def __init__(
        self,
        vocab_size: int,
        dim: int,
        *,
        shortest: int,
        longest: int,
        buckets: int,
        trains_words: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocab_size, dim, **kwargs)
        self.subwords = SubwordIds(vocab_size, shortest, longest, buckets)
        self.trains_words = trains_words
        self._vocabulary: tuple[tf.Variable, tf.Variable] | None = None

    def build(self, input_shape: Any) -> None:
        """Creates the tables ``[vocab_size, dim]`` and ``[buckets, dim]``."""
        super().build(input_shape)
        limit = self.scale * self.dim**-0.5
        seed = None if self.seed is None else self.seed + 1
        self.ngram_table = self.placement.add_table(
            self,
            TableSpec(
                "ngrams",
                (self.subwords.buckets, self.dim),
                keras.initializers.RandomUniform(-limit, limit, seed=seed),
            ),
        )
        self.ngrams = self.ngram_table.variable

    @on_host()
    def set_vocabulary(self, ngrams: RaggedColumn) -> None:
        """Sets the n-grams of the words of the vocabulary.

        Args:
            ngrams: The buckets of the n-grams of each word, ``vocab_size`` rows.
        """
        arrays = ngrams.values, ngrams.row_splits
        if self._vocabulary is None:
            # Variables, because graphs store constants as text of up to 2 GB.
            self._vocabulary = tuple(
                tf.Variable(array, trainable=False, shape=[None]) for array in arrays
            )
        for variable, array in zip(self._vocabulary, arrays, strict=True):
            variable.assign(array)

    @property
    def constants(self) -> tuple[tf.Variable, ...]:
        """Variables that are no weights, which an exported model needs too."""
        return self._vocabulary or ()

    @on_host()
    def parts(self, ids: tf.RaggedTensor) -> WordParts:
        """Returns the words of a batch, and their n-grams.

        Args:
            ids: As for `call`.

        Raises:
            UserError: The layer has no words of a vocabulary.
        """
        if self._vocabulary is None:
            raise UserError(
                f"{self.name}: expected the words of the vocabulary, whose n-grams are "
                "looked up, got none. Create the model with "
                "tokenizers=read_tokenizers(hyperparameters, auxiliary)."
            )
        values, splits = self._vocabulary
        vocabulary = tf.RaggedTensor.from_row_splits(
            values.value(), splits.value(), validate=False
        )
        return word_parts(ids, vocabulary, self.subwords)

    def call(self, ids: Any, training: bool | None = None) -> tuple[Any, ...]:
        """Looks up each unique word once.

        Args:
            ids: RaggedTensor of integers ``[batch, (ids)]``; see
                `object2vec_tf.ragged.token_ids`.
            training: Whether a gradient is needed.

        Returns:
            The vectors of words, float32 ``[words, dim]``, and each token's index into
            them, RaggedTensor int32 ``[batch, (time)]``. With ``returns_ids``, the ids
            of the words too, ``[words]``; ``vocab_size`` for one that has no id.
        """
        with on_host():
            parts = self.parts(as_ragged(ids))
            known = parts.known
            if gpu_is_visible():
                known = self._checked(known)
            ngrams, indices = tf.unique(parts.ngrams.values)
            others = parts.ngrams.nrows() - tf.size(known, tf.int64)
            counts = parts.ngrams.row_lengths()
            is_known = tf.range(tf.size(counts)) < tf.size(known)
            counts += tf.cast(is_known, counts.dtype)
        own = self.table.lookup(known)
        total = tf.pad(own, [[0, others], [0, 0]]) + ragged_sum(
            self.ngram_table.lookup(ngrams),
            parts.ngrams.with_values(indices),
            training,
        )
        vectors = total / tf.cast(counts, total.dtype)[:, tf.newaxis]
        if not self.returns_ids:
            return vectors, parts.words
        with on_host():
            no_id = tf.fill([others], tf.constant(self.vocab_size, known.dtype))
            return vectors, parts.words, tf.concat([known, no_id], axis=0)

    def lookup_unique(self, unique: tf.Tensor) -> tf.Tensor:
        """Raises an error: batches of words with n-grams have no static layout."""
        raise NotImplementedError("SubwordEmbedding: has no static layout")

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "shortest": self.subwords.shortest,
            "longest": self.subwords.longest,
            "buckets": self.subwords.buckets,
            "trains_words": self.trains_words,
        }
