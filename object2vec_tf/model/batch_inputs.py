"""The batch of a training step, and values that depend on all of its pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.data.batch_negatives import BATCH_OBJECTS, KNOWN_PAIRS
from object2vec_tf.distributed.batch_shard import BatchShard
from object2vec_tf.distributed.padded_batch import LABELS, WEIGHTS, PaddedInputs
from object2vec_tf.layers.object_ids import first_tokens
from object2vec_tf.layers.token_embedding import as_ragged
from object2vec_tf.losses.positive_mask import BatchObjects

# Key of a dataset's inputs: logarithms of the fractions of a channel's pairs that have
# the same in0, and the same in1, float [batch, 2].
LOG_FREQUENCIES = "log_frequencies"


@dataclasses.dataclass(frozen=True)
class Batch:
    """The data that a step gets.

    Attributes:
        inputs: Token ids in0 and in1, and further inputs of the dataset.
        labels: ``[pairs]``; or ``[pairs, outputs]`` for a loss that takes such labels.
        weights: float ``[pairs]``; None if all pairs count once.
        object_key: The hyperparameter.
        continued_from: Ids of in0 and of in1 from these on belong to the token before
            them; None if every id is a token.
        in_column: Whether the labels were given as ``[pairs, 1]``.
    """

    inputs: Mapping[str, Any]
    labels: Any
    weights: Any = None
    object_key: str = "tokens"
    continued_from: Sequence[int | None] = (None, None)
    in_column: bool = False

    @classmethod
    def from_data(
        cls,
        data: Any,
        object_key: str = "tokens",
        continued_from: Sequence[int | None] = (None, None),
    ) -> Batch:
        """Returns ``(inputs, labels)`` or ``(inputs, labels, weights)`` as a batch.

        Args:
            data: The data.
            object_key: The hyperparameter.
            continued_from: See the attribute.
        """
        inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        if getattr(labels, "dtype", None) == tf.bool:
            labels = tf.cast(labels, tf.int32)
        in_column = _is_column(labels)
        return cls(
            inputs,
            tf.squeeze(labels, axis=1) if in_column else labels,
            tf.squeeze(weights, axis=1) if _is_column(weights) else weights,
            object_key,
            continued_from,
            in_column,
        )

    def as_given(self, labels: Any) -> Any:
        """Returns labels ``[pairs]`` in the shape in which the batch's were given.

        Keras's losses take either shape; a function of the user may need its own.
        """
        return labels[:, tf.newaxis] if self.in_column else labels

    def check_labels(self) -> None:
        """Checks that there is one label per pair, which negatives need.

        Raises:
            ValueError: There are several.
        """
        shape = _shape(self.labels)
        if shape.rank not in (None, 1):
            raise ValueError(
                f"labels: expected class ids or values [batch], got {shape}, which "
                "negative_sampling_rate and objective=in_batch_softmax cannot use. "
                "Give class ids, for instance labels.argmax(axis=1)."
            )


def _is_column(values: Any) -> bool:
    """Returns whether values are ``[pairs, 1]``, as some Keras code has them."""
    shape = _shape(values)
    return shape.rank == 2 and shape[1] == 1


def _shape(values: Any) -> tf.TensorShape:
    """Returns a shape, of unknown rank if the values are no tensor and no array."""
    return tf.TensorShape(getattr(values, "shape", None))


def batch_objects(shard: BatchShard, batch: Batch) -> BatchObjects:
    """Returns the distinct objects of the batch, and their positive pairs.

    These are the positive pairs of the whole channel if the dataset provides them, as
    `Pairs.dataset` does with ``negative_exclude_known``; otherwise those of the batch.
    """
    if isinstance(batch.inputs, PaddedInputs):
        return BatchObjects.padded(
            batch.inputs["objects"], batch.inputs["known"], batch.inputs.count
        )
    if BATCH_OBJECTS in batch.inputs:
        return BatchObjects.from_known(
            batch.inputs[BATCH_OBJECTS], batch.inputs[KNOWN_PAIRS]
        )
    ids = (as_ragged(batch.inputs[name]) for name in ("in0", "in1"))
    if batch.object_key == "first_token":
        ids = (
            first_tokens(rows, 1, continued_from)
            for rows, continued_from in zip(ids, batch.continued_from, strict=True)
        )
    in0, in1 = (shard.all_ids(side) for side in ids)
    return BatchObjects.of(in0, in1, shard.all_pairs(batch.labels))


def positive_pairs(shard: BatchShard, batch: Batch) -> tf.Tensor:
    """Returns which in0 and in1 of the batch form positive pairs.

    Returns:
        bool ``[batch, batch]``: whether the in0 of a row and the in1 of a column form a
        pair with a label above 0, or are padding; see `batch_objects`.
    """
    return batch_objects(shard, batch).positive_mask()


def positive_weights(
    labels: tf.Tensor, weights: tf.Tensor | None, dtype: tf.DType
) -> tf.Tensor:
    """Returns the weight of each pair with a label above 0, and 0 for the others.

    Args:
        labels: ``[pairs]``.
        weights: float ``[pairs]``; None if all pairs count once.
        dtype: The type of the result.
    """
    positive = tf.cast(labels > 0, dtype)
    return positive if weights is None else positive * tf.cast(weights, dtype)


def total_positive_weight(shard: BatchShard, batch: Batch, own: tf.Tensor) -> tf.Tensor:
    """Returns the sum of the weights of the positive pairs of the batch.

    Args:
        shard: The rows of this replica.
        batch: The batch.
        own: The `positive_weights` of these rows.
    """
    if isinstance(batch.inputs, PaddedInputs):
        labels, weights = batch.inputs[LABELS], batch.inputs[WEIGHTS]
        return tf.reduce_sum(positive_weights(labels, weights, own.dtype))
    return shard.total(tf.reduce_sum(own))


def log_frequencies(shard: BatchShard, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the log frequencies of in0 and of in1, float ``[batch]`` each.

    Raises:
        ValueError: The dataset does not provide them.
    """
    if LOG_FREQUENCIES not in batch.inputs:
        raise ValueError(
            f"inputs: expected the key {LOG_FREQUENCIES!r}, float [batch, 2], which "
            "popularity_correction and negative_frequency_power need. Use "
            "Pairs.dataset(shuffle=True), which provides it."
        )
    frequencies = batch.inputs[LOG_FREQUENCIES]
    if not isinstance(batch.inputs, PaddedInputs):  # which has those of all pairs
        frequencies = shard.all_pairs(frequencies)
    return tuple(tf.unstack(frequencies, axis=1))
