"""The encodings of a batch, and of the share of it that a replica has."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from object2vec_tf.distributed.batch_shard import FullBatch


@dataclasses.dataclass(frozen=True)
class Encodings:
    """Encodings of in0 and of in1.

    Attributes:
        share: Which pairs of the batch are this replica's.
        own: Those of its pairs, float ``[own, enc_dim]`` each.
        every: Those of the batch, float ``[batch, enc_dim]`` each; None where the other
            replicas' have not been asked for.
    """

    share: FullBatch
    own: tuple[tf.Tensor, tf.Tensor]
    every: tuple[tf.Tensor | None, tf.Tensor | None] = (None, None)

    def of_batch(self, side: int) -> tf.Tensor:
        """Returns those of the batch, of in0 or of in1."""
        held = self.every[side]
        return self.share.gathered(self.own[side]) if held is None else held

    def constant(self) -> Encodings:
        """Returns the same, without gradients."""
        own, every = (
            [None if each is None else tf.stop_gradient(each) for each in held]
            for held in (self.own, self.every)
        )
        return Encodings(self.share, (own[0], own[1]), (every[0], every[1]))
