"""Which objects of a batch form positive pairs."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from object2vec_tf.layers.token_embedding import as_ragged
from object2vec_tf.layers.unique_rows import unique_rows


@dataclasses.dataclass(frozen=True)
class BatchObjects:
    """The distinct objects of a batch, and which of them form positive pairs.

    Attributes:
        index0: The number of each pair's in0, int32 ``[batch]``; equal objects have
            the same number.
        index1: The same for in1, int32 ``[batch]``.
        positives: Whether an in0 (row) and an in1 (column) form a positive pair, bool
            ``[objects of in0, objects of in1]``.
        pairs: The number of pairs, int32 scalar, if rows after them are padding; None
            if every row is a pair.
    """

    index0: tf.Tensor
    index1: tf.Tensor
    positives: tf.Tensor
    pairs: tf.Tensor | None = None

    @classmethod
    def of(cls, in0: Any, in1: Any, labels: tf.Tensor) -> BatchObjects:
        """Returns the objects of a batch, with the positive pairs of its own labels.

        Args:
            in0: Token ids, RaggedTensor ``[batch, (time)]``.
            in1: Token ids of the second objects, of the same shape.
            labels: ``[batch]``; a pair is positive if its label is above 0.
        """
        objects0, index0 = unique_rows(as_ragged(in0))
        objects1, index1 = unique_rows(as_ragged(in1))
        counts = tf.scatter_nd(
            tf.stack([index0, index1], axis=1),
            tf.cast(labels > 0, tf.int32),
            tf.cast(tf.stack([objects0.nrows(), objects1.nrows()]), tf.int32),
        )
        return cls(index0, index1, counts > 0)

    @classmethod
    def from_known(cls, numbers: tf.Tensor, known: tf.Tensor) -> BatchObjects:
        """Returns the objects of a batch whose known pairs a dataset provides.

        Args:
            numbers: Numbers of in0 and of in1, int32 ``[batch, 2]``.
            known: ``number of in0 * objects of in1 + number of in1`` for each known
                pair, int32 ``[known]``.
        """
        index0, index1 = tf.unstack(numbers, axis=1)
        objects0, objects1 = tf.unstack(tf.reduce_max(numbers, axis=0) + 1)
        counts = tf.scatter_nd(
            known[:, tf.newaxis], tf.ones_like(known), [objects0 * objects1]
        )
        return cls(index0, index1, tf.reshape(counts > 0, [objects0, objects1]))

    @classmethod
    def padded(
        cls, numbers: tf.Tensor, known: tf.Tensor, pairs: tf.Tensor
    ) -> BatchObjects:
        """Returns the objects of a batch whose last rows may be padding.

        Args:
            numbers: Numbers of in0 and of in1, all below the number of rows, int32
                ``[rows, 2]``.
            known: ``number of in0 * rows + number of in1`` for each known pair;
                ``rows ** 2`` is padding. int32 ``[known]``.
            pairs: The number of pairs, int32 scalar.
        """
        rows = numbers.shape[0]
        index0, index1 = tf.unstack(numbers, axis=1)
        counts = tf.scatter_nd(
            known[:, tf.newaxis], tf.ones_like(known), [rows * rows + 1]
        )
        positives = tf.reshape(counts[:-1] > 0, [rows, rows])
        return cls(index0, index1, positives, pairs)

    def positive_mask(self) -> tf.Tensor:
        """Returns whether rows of the batch form a positive pair.

        Returns:
            bool ``[batch, batch]``, by row of in0 and row of in1. True for padding,
            which is thus no candidate for anything.
        """
        mask = tf.gather(tf.gather(self.positives, self.index0), self.index1, axis=1)
        if self.pairs is None:
            return mask
        is_padding = tf.range(tf.size(self.index1)) >= self.pairs
        return mask | is_padding | is_padding[:, tf.newaxis]

    def negative_mask(self) -> tf.Tensor:
        """Returns which rows of the batch can be the negatives of which.

        Returns:
            bool ``[batch, batch]``: whether the in1 of a column is another object than
            the in1 of the row, is in the first row of its object, and does not form a
            positive pair with the in0 of the row.
        """
        rows = tf.range(tf.size(self.index1))
        is_first = tf.equal(self._first_rows(), rows)
        is_other = tf.not_equal(self.index1[:, tf.newaxis], self.index1)
        return tf.logical_not(self.positive_mask()) & is_other & is_first

    def counts1(self) -> tf.Tensor:
        """Returns how many rows of the batch have each row's in1, int32 ``[batch]``."""
        ones = tf.ones_like(self.index1)
        objects = tf.shape(self.positives)[1]
        counts = tf.math.unsorted_segment_sum(ones, self.index1, objects)
        return tf.gather(counts, self.index1)

    def _first_rows(self) -> tf.Tensor:
        """Returns the first row with each row's in1, int32 ``[batch]``."""
        rows = tf.range(tf.size(self.index1))
        objects = tf.shape(self.positives)[1]
        first = tf.math.unsorted_segment_min(rows, self.index1, objects)
        return tf.gather(first, self.index1)


def positive_mask(in0: Any, in1: Any, labels: tf.Tensor) -> tf.Tensor:
    """Returns which in0 and in1 of a batch form a positive pair of the batch.

    Equal objects are recognized: if one pair is positive, so is every combination of
    rows that hold the same two objects.

    Args:
        in0: Token ids, RaggedTensor ``[batch, (time)]``.
        in1: Token ids of the second objects, of the same shape.
        labels: ``[batch]``; a pair is positive if its label is above 0.

    Returns:
        bool ``[batch, batch]``, by row of in0 and row of in1.
    """
    return BatchObjects.of(in0, in1, labels).positive_mask()
