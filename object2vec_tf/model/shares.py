"""A replica's rows of a batch that several replicas learn from together.

Whatever looks at more than a row of its own (negatives, the in-batch softmax, the mean
of the loss) looks at the whole batch, so that what is learnt does not depend on the
number of replicas beyond rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from object2vec_tf.model.exchange import current
from object2vec_tf.optimizers.gradients import Gradient, summed, summed_of_several

# Of a dataset's inputs: int32 [3], the number of the replica's first row, of its rows,
# and of the batch's.
SHARE = "share"


class Whole:
    """A batch that one replica has to itself: nothing is to be done."""

    def gathered(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the rows of all replicas, in the batch's order.

        Args:
            rows: This replica's, numbers ``[own, ...]``. What the gathered rows'
                gradients are on every replica comes back to these, summed.

        Returns:
            ``[batch, ...]``.
        """
        return rows

    def gathered_ids(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """Returns the token ids of all replicas, ``[batch, (time)]``."""
        return ids

    def own(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns this replica's rows out of the batch's."""
        return rows

    def own_partners(self, partners: tf.Tensor) -> tf.Tensor:
        """Returns the partners of this replica's pairs.

        Args:
            partners: For place n the partner of pair ``n % batch``, ``[rate * batch]``.

        Returns:
            The same of this replica's pairs, ``[rate * own]``; numbers of the batch.
        """
        return partners

    def part(self, mean: tf.Tensor) -> tf.Tensor:
        """Returns what a Keras loss, of own rows, adds to that of the batch."""
        return mean

    def mean(self, part: tf.Tensor) -> tf.Tensor:
        """Returns the mean over own rows that adds so much to that over the batch."""
        return part

    def total(self, value: tf.Tensor) -> tf.Tensor:
        """Returns the sum of what all replicas have."""
        return value

    def counted(self, rows: Any) -> Any:
        """Returns those of this replica's rows that metrics are told of."""
        return rows

    def summed(
        self, gradients: Sequence[Gradient | None], as_rows: bool, distinct: bool
    ) -> list[Gradient | None]:
        """Returns the sums of all replicas' gradients, repeated tokens summed.

        Args:
            gradients: This replica's; None for a variable that has none.
            as_rows: Whether rows stay rows (see `summed`).
            distinct: Whether rows are known to have each index once.
        """
        return [summed(gradient, as_rows, distinct) for gradient in gradients]


@dataclasses.dataclass(frozen=True)
class Share(Whole):
    """Neighbouring rows of a batch; the replicas' shares follow one another.

    A replica without rows has one that stands in, the batch's row 0, and counts for
    nothing: encoders need not know how to encode no object.

    Attributes:
        start: The number of the first row in the batch, int32 scalar.
        count: The number of the rows, int32 scalar.
        batch: The number of the batch's rows, int32 scalar.
    """

    start: tf.Tensor
    count: tf.Tensor
    batch: tf.Tensor

    def gathered(self, rows: tf.Tensor) -> tf.Tensor:
        """See `Whole`."""
        return current().gathered(rows[: self.count], self.start, self.batch)

    def gathered_ids(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """See `Whole`."""
        ids = ids[: self.count]
        splits = tf.pad(tf.cumsum(self.gathered(ids.row_lengths())), [[1, 0]])
        before, count = splits[self.start], splits[-1]
        values = current().gathered(
            ids.values, tf.cast(before, tf.int32), tf.cast(count, tf.int32)
        )
        return tf.RaggedTensor.from_row_splits(values, splits, validate=False)

    def own(self, rows: tf.Tensor) -> tf.Tensor:
        """See `Whole`."""
        return rows[self.start : self.start + tf.maximum(self.count, 1)]

    def own_partners(self, partners: tf.Tensor) -> tf.Tensor:
        """See `Whole`."""
        by_pair = tf.transpose(tf.reshape(partners, [-1, self.batch]))
        return tf.reshape(tf.transpose(self.own(by_pair)), [-1])

    def part(self, mean: tf.Tensor) -> tf.Tensor:
        """See `Whole`."""
        # Keras 3.15 divides losses by this number (keras/src/losses/loss.py).
        share = current().replicas * self.count / self.batch
        return mean * tf.cast(share, mean.dtype)

    def mean(self, part: tf.Tensor) -> tf.Tensor:
        """See `Whole`."""
        share = tf.cast(self.count / self.batch, part.dtype)
        return tf.math.divide_no_nan(part, share)

    def total(self, value: tf.Tensor) -> tf.Tensor:
        """See `Whole`."""
        return current().total(value)

    def counted(self, rows: Any) -> Any:
        """See `Whole`."""
        if rows is None:
            return None
        return rows[: tf.where(self.count > 0, tf.shape(rows)[0], 0)]

    def summed(
        self, gradients: Sequence[Gradient | None], as_rows: bool, distinct: bool
    ) -> list[Gradient | None]:
        """See `Whole`; rows travel as rows, a token's from each replica that has it."""
        own = [summed(gradient, True, distinct) for gradient in gradients]
        rows = [each for each in own if isinstance(each, tf.IndexedSlices)]
        dense = [each for each in own if isinstance(each, tf.Tensor)]
        all_rows, totals = (
            iter(current().rows(rows)),
            iter(current().totals(dense)),
        )
        told: list[Gradient | None] = []
        for each in own:
            if isinstance(each, tf.IndexedSlices):
                told.append(summed_of_several(next(all_rows), as_rows))
            else:
                told.append(None if each is None else next(totals))
        return told


def share_of(inputs: Mapping[str, Any]) -> Whole:
    """Returns the share of its batch that a dataset's inputs are."""
    if SHARE not in inputs:
        return Whole()
    start, count, batch = tf.unstack(tf.ensure_shape(inputs[SHARE], [3]))
    return Share(start, count, batch)
