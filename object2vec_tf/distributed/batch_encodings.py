"""The encodings of a batch's pairs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from object2vec_tf.distributed.batch_shard import BatchShard


@dataclasses.dataclass(frozen=True)
class BatchEncodings:
    """Encodings of in0 and of in1.

    Attributes:
        shard: The part of the batch that this replica trains on; on a single device
            the whole batch.
        own: Encodings of this replica's pairs, float ``[own, enc_dim]`` for each side.
        all: Encodings of all pairs of the batch, float ``[batch, enc_dim]`` for each
            side; None for a side where they were not gathered.
    """

    shard: BatchShard
    own: tuple[tf.Tensor, tf.Tensor]
    all: tuple[tf.Tensor | None, tf.Tensor | None] = (None, None)

    def all_pairs(self, side: int) -> tf.Tensor:
        """Returns the encodings of all pairs of the batch, of in0 (0) or in1 (1)."""
        encodings = self.all[side]
        return self.shard.all_pairs(self.own[side]) if encodings is None else encodings

    def without_gradient(self) -> BatchEncodings:
        """Returns the same encodings as constants."""

        def constant(encodings: tf.Tensor | None) -> tf.Tensor | None:
            return None if encodings is None else tf.stop_gradient(encodings)

        return BatchEncodings(
            self.shard,
            (constant(self.own[0]), constant(self.own[1])),
            (constant(self.all[0]), constant(self.all[1])),
        )
