"""The in-batch softmax: each object has to find its partner among those of its batch.

Sources: Henderson et al. 2017, "Efficient Natural Language Response Suggestion for
Smart Reply"; for the correction of popular items, Yi et al. 2019,
"Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations".
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.hyperparameters import IN_BATCH_LOSS, Hyperparameters
from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class InBatchSoftmax(keras.layers.Layer):
    """Cross-entropy of finding each pair's partner among all objects of the batch.

    The logits are similarities divided by the temperature. The softmax runs over all
    in1 of the batch for each in0, over all in0 for each in1, or over both; the loss is
    then the mean of the two. Objects that another pair of the batch makes partners are
    excluded from the candidates. Pairs with label 0 add candidates, but have no loss of
    their own. All is computed in the type of the weights under any policy.

    Args:
        similarity: cosine or inner_product.
        direction: in0_to_in1, in1_to_in0 or both.
        temperature: The temperature, or its initial value if it is learned.
        learn_temperature: Whether the temperature is learned.
    """

    def __init__(
        self,
        similarity: str = "cosine",
        direction: str = "both",
        temperature: float = 0.05,
        learn_temperature: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.similarity = similarity
        self.direction = direction
        self.temperature = temperature
        self.learn_temperature = learn_temperature
        # Stored as a logarithm, so that it stays positive and changes by a factor.
        self.log_temperature = self.add_weight(
            name="log_temperature",
            shape=(),
            initializer=keras.initializers.Constant(math.log(temperature)),
            trainable=learn_temperature,
            autocast=False,
        )
        self.built = True

    def call(
        self,
        first: tf.Tensor,
        second: tf.Tensor,
        partners: tf.Tensor,
        log_frequencies: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the loss of each pair, and whether its partner is found.

        Args:
            first: Encodings of in0, float ``[batch, enc_dim]``.
            second: Encodings of in1, float ``[batch, enc_dim]``.
            partners: Whether an in0 (row) and an in1 (column) of the batch are known
                to be partners, bool ``[batch, batch]``.
            log_frequencies: Log of the fraction of pairs that contain each in0, and of
                those that contain each in1, float ``[batch]`` each; subtracted from
                the logits of candidates. None subtracts nothing.

        Returns:
            Cross-entropies in nats, and 1 where the partner is the most similar
            candidate and 0 elsewhere, float ``[batch]`` each; means of both directions
            if there are two.
        """
        if self.similarity == "cosine":
            first, second = (tf.math.l2_normalize(e, axis=1) for e in (first, second))
        logits = tf.matmul(first, second, transpose_b=True)
        logits *= tf.exp(-tf.cast(self.log_temperature.value, logits.dtype))
        own_pairs = tf.eye(tf.shape(logits)[0], dtype=tf.bool)
        others = tf.logical_and(partners, tf.logical_not(own_pairs))
        views = {
            "in0_to_in1": (logits, others, 1),
            "in1_to_in0": (tf.transpose(logits), tf.transpose(others), 0),
        }
        results = []
        for direction, (scores, excluded, side) in views.items():
            if self.direction not in ("both", direction):
                continue
            if log_frequencies is not None:
                scores -= tf.cast(log_frequencies[side], scores.dtype)
            masked = tf.where(excluded, scores.dtype.min, scores)
            results.append(_losses_and_hits(masked))
        losses, hits = zip(*results, strict=True)
        return tf.add_n(losses) / len(losses), tf.add_n(hits) / len(hits)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "similarity": self.similarity,
            "direction": self.direction,
            "temperature": self.temperature,
            "learn_temperature": self.learn_temperature,
        }


def _losses_and_hits(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the cross-entropy of the diagonal, and 1 where it is a row's maximum.

    Args:
        logits: float ``[batch, batch]``.

    Returns:
        float ``[batch]`` each.
    """
    diagonal = tf.linalg.diag_part(logits)
    losses = tf.reduce_logsumexp(logits, axis=1) - diagonal
    hits = tf.cast(diagonal >= tf.reduce_max(logits, axis=1), logits.dtype)
    return losses, hits


def in_batch_softmax(
    hyperparameters: Hyperparameters, policy: keras.DTypePolicy | None = None
) -> InBatchSoftmax | None:
    """Returns the in-batch softmax if the hyperparameters select it, else None.

    Args:
        hyperparameters: The hyperparameters.
        policy: The model's policy of types; by default Keras's global one.
    """
    if hyperparameters.objective != "in_batch_softmax":
        return None
    return InBatchSoftmax(
        hyperparameters.in_batch_similarity,
        hyperparameters.in_batch_direction,
        hyperparameters.temperature,
        hyperparameters.learn_temperature,
        dtype=policy,
        name="in_batch_softmax",
    )


def in_batch_metrics() -> tuple[keras.metrics.Mean, keras.metrics.Mean]:
    """Returns the metrics for the losses and hits of `InBatchSoftmax`."""
    return (
        keras.metrics.Mean(name=IN_BATCH_LOSS),
        keras.metrics.Mean(name="in_batch_accuracy"),
    )
