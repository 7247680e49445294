"""The in-batch softmax: each object is to find its partner among those of its batch.

Source: Henderson and others, "Efficient Natural Language Response Suggestion for Smart
Reply" (2017); for popular items, Yi and others, "Sampling-Bias-Corrected Neural
Modeling for Large Corpus Item Recommendations" (RecSys 2019).
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.hyperparameters import IN_BATCH_LOSS, Hyperparameters
from object2vec_tf.layers.token_embedding import as_ragged
from object2vec_tf.layers.unique_rows import unique_rows
from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class InBatchSoftmax(keras.layers.Layer):
    """Cross-entropy of finding each pair's partner among all objects of the batch.

    Similarities are divided by the temperature; the softmax runs over the batch's in1
    for an in0, over its in0 for an in1, or both, of which the mean counts. Objects that
    are partners by another pair of the batch are left out of the choice, and pairs
    labelled 0 offer objects to choose from but look for none.

    Args:
        similarity: cosine or inner_product.
        direction: in0_to_in1, in1_to_in0 or both.
        temperature: The temperature, or where learning it starts.
        learn_temperature: Whether it is learnt.
    """

    def __init__(
        self,
        similarity: str = "cosine",
        direction: str = "both",
        temperature: float = 0.05,
        learn_temperature: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.similarity = similarity
        self.direction = direction
        self.temperature = temperature
        self.learn_temperature = learn_temperature
        # By its logarithm it stays above zero, and moves by shares of itself.
        self.log_temperature = self.add_weight(
            name="log_temperature",
            shape=(),
            initializer=keras.initializers.Constant(math.log(temperature)),
            trainable=learn_temperature,
        )
        self.built = True

    def call(
        self,
        first: tf.Tensor,
        second: tf.Tensor,
        partners: tf.Tensor,
        log_frequencies: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what finding each pair's partner costs, and whether it is found.

        Args:
            first: Encodings of in0, float ``[batch, enc_dim]``.
            second: Encodings of in1, float ``[batch, enc_dim]``.
            partners: Whether an in0 (row) and an in1 (column) of the batch are known
                to be partners, bool ``[batch, batch]``.
            log_frequencies: Log of the fraction of pairs that contain a row's in0, and
                its in1, float ``[batch]`` each; subtracted from the logits. None
                subtracts nothing.

        Returns:
            Cross-entropies, in nats, and whether the partner is the most similar (1 or
            0), float ``[batch]`` each; of both directions the means.
        """
        if self.similarity == "cosine":
            first, second = (tf.math.l2_normalize(e, axis=1) for e in (first, second))
        logits = tf.matmul(first, second, transpose_b=True)
        logits *= tf.exp(-tf.cast(self.log_temperature.value, logits.dtype))
        own = tf.eye(tf.shape(logits)[0], dtype=tf.bool)
        others = tf.logical_and(partners, tf.logical_not(own))
        views = {
            "in0_to_in1": (logits, others, 1),
            "in1_to_in0": (tf.transpose(logits), tf.transpose(others), 0),
        }
        told = []
        for direction, (choice, wrong, side) in views.items():
            if self.direction not in ("both", direction):
                continue
            if log_frequencies is not None:
                choice -= tf.cast(log_frequencies[side], choice.dtype)
            told.append(_found(tf.where(wrong, choice.dtype.min, choice)))
        costs, hits = zip(*told, strict=True)
        return tf.add_n(costs) / len(costs), tf.add_n(hits) / len(hits)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "similarity": self.similarity,
            "direction": self.direction,
            "temperature": self.temperature,
            "learn_temperature": self.learn_temperature,
        }


def _found(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns each row's cross-entropy of its own column, and whether it is highest."""
    own = tf.linalg.diag_part(logits)
    costs = tf.reduce_logsumexp(logits, axis=1) - own
    return costs, tf.cast(own >= tf.reduce_max(logits, axis=1), logits.dtype)


def positive_mask(in0: Any, in1: Any, labels: tf.Tensor) -> tf.Tensor:
    """Tells which in0 and in1 of a batch are partners, by any of its pairs.

    Args:
        in0: Token ids, RaggedTensor ``[batch, (time)]``.
        in1: The same of the second objects.
        labels: ``[batch]``; pairs of a label above 0 are partners.

    Returns:
        bool ``[batch, batch]``: whether the in0 of a row goes with the in1 of a column.
    """
    rows0, places0 = unique_rows(as_ragged(in0))
    rows1, places1 = unique_rows(as_ragged(in1))
    held = tf.scatter_nd(
        tf.stack([places0, places1], axis=1),
        tf.cast(labels > 0, tf.int32),
        tf.cast(tf.stack([rows0.nrows(), rows1.nrows()]), tf.int32),
    )
    return tf.gather(tf.gather(held, places0), places1, axis=1) > 0


def in_batch_softmax(hyperparameters: Hyperparameters) -> InBatchSoftmax | None:
    """Returns the objective that hyperparameters ask for; None for AWS's own."""
    if hyperparameters.objective != "in_batch_softmax":
        return None
    return InBatchSoftmax(
        hyperparameters.in_batch_similarity,
        hyperparameters.in_batch_direction,
        hyperparameters.temperature,
        hyperparameters.learn_temperature,
        name="in_batch_softmax",
    )


def in_batch_metrics() -> tuple[keras.metrics.Mean, keras.metrics.Mean]:
    """Returns the metrics of what `InBatchSoftmax` gives."""
    return (
        keras.metrics.Mean(name=IN_BATCH_LOSS),
        keras.metrics.Mean(name="in_batch_accuracy"),
    )
