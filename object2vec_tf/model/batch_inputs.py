"""What a training step computes from the inputs of all pairs of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from object2vec_tf.distributed.batch_shard import BatchShard
from object2vec_tf.layers.token_embedding import as_ragged
from object2vec_tf.losses.positive_mask import positive_mask

# Key of a dataset's inputs: logarithms of the fractions of a channel's pairs that have
# the same in0, and the same in1, float [batch, 2].
LOG_FREQUENCIES = "log_frequencies"


def positive_pairs(
    shard: BatchShard, inputs: Mapping[str, Any], labels: Any
) -> tf.Tensor:
    """Returns which in0 and in1 of the batch form positive pairs.

    Returns:
        bool ``[batch, batch]``: whether the in0 of a row and the in1 of a column form a
        pair with a label above 0.
    """
    in0, in1 = (shard.all_ids(as_ragged(inputs[name])) for name in ("in0", "in1"))
    return positive_mask(in0, in1, shard.all_pairs(labels))


def log_frequencies(
    shard: BatchShard, inputs: Mapping[str, Any]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the log frequencies of in0 and of in1, float ``[batch]`` each.

    Raises:
        ValueError: The dataset does not provide them.
    """
    if LOG_FREQUENCIES not in inputs:
        raise ValueError(
            f"inputs: expected the key {LOG_FREQUENCIES!r}, float [batch, 2], which "
            "popularity_correction and negative_frequency_power need. Use "
            "Pairs.dataset(shuffle=True), which provides it."
        )
    frequencies = shard.all_pairs(inputs[LOG_FREQUENCIES])
    return tuple(tf.unstack(frequencies, axis=1))
