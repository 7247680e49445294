"""Tests of the objectives against numpy."""

import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.distributed.batch_shard import BatchEncodings, FullBatch
from object2vec_tf.losses.in_batch_softmax import InBatchSoftmax, in_batch_metrics
from object2vec_tf.model.batch_inputs import Batch
from object2vec_tf.model.objectives import (
    InBatchSoftmaxObjective,
    PairObjective,
    make_objective,
)

FIRST = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, -1.0]], np.float32)
SECOND = np.array([[2.0, 0.5], [1.0, 1.0], [-1.0, 1.0]], np.float32)
LABELS = np.array([1, 0, 2])
WEIGHTS = np.array([1.0, 5.0, 3.0], np.float32)
FREQUENCIES = np.array([[0.5, 0.1], [0.5, 0.3], [0.2, 0.6]])
TEMPERATURE = 0.5


def ragged(rows):
    return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


INPUTS = {
    "in0": ragged([[1], [2], [3]]),
    "in1": ragged([[7], [8], [9]]),
    "log_frequencies": tf.constant(np.log(FREQUENCIES), tf.float32),
}


def encode(first=FIRST, second=SECOND):
    """Encodings of a whole batch; gradients reach variables that are given."""
    return BatchEncodings(
        FullBatch(), (tf.convert_to_tensor(first), tf.convert_to_tensor(second))
    )


def softmax_objective(popularity_correction=False):
    softmax = InBatchSoftmax("inner_product", "in0_to_in1", TEMPERATURE)
    return make_objective(softmax, in_batch_metrics(), popularity_correction)


def expected_losses_and_hits(correct):
    """Cross-entropies of in0 to in1 and hits, float ``[batch]`` each."""
    logits = FIRST.astype(float) @ SECOND.T / TEMPERATURE
    if correct:
        logits -= np.log(FREQUENCIES[:, 1])
    own = np.diag(logits)
    return np.log(np.exp(logits).sum(axis=1)) - own, own == logits.max(axis=1)


def test_without_a_softmax_only_the_comparator_has_a_loss():
    objective = make_objective(None, (), False)

    assert type(objective) is PairObjective
    assert objective.needs_all_pairs == (False, False)
    assert list(objective.metrics) == []
    loss = objective.encoder_loss(
        encode(), Batch(INPUTS, tf.constant(LABELS)), training=True
    )
    assert float(loss) == 0.0


def test_pairs_train_encoders_through_the_comparator():
    first = tf.Variable(FIRST)
    with tf.GradientTape() as tape:
        encodings = PairObjective().comparator_encodings(encode(first=first))
        loss = tf.reduce_sum(2 * encodings.own[0])

    np.testing.assert_array_equal(tape.gradient(loss, first), np.full((3, 2), 2.0))


def test_a_softmax_needs_the_encodings_of_all_pairs():
    objective = softmax_objective()

    assert type(objective) is InBatchSoftmaxObjective
    assert objective.needs_all_pairs == (True, True)
    names = [metric.name for metric in objective.metrics]
    assert names == ["in_batch_cross_entropy", "in_batch_accuracy"]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("correction", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_loss_is_the_weighted_mean_over_positive_pairs(
    weights, correction, training
):
    objective = softmax_objective(correction)

    loss = objective.encoder_loss(
        encode(),
        Batch(
            INPUTS,
            tf.constant(LABELS),
            None if weights is None else tf.constant(weights),
        ),
        training,
    )

    # Pair 1 has label 0 and so no loss. Only training corrects for frequencies.
    losses, hits = expected_losses_and_hits(correction and training)
    weight0, weight2 = (1, 1) if weights is None else (1, 3)
    total = weight0 + weight2
    expected = (weight0 * losses[0] + weight2 * losses[2]) / total
    accuracy = (weight0 * hits[0] + weight2 * hits[2]) / total
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    cross_entropy, found = (metric.result() for metric in objective.metrics)
    assert float(cross_entropy) == pytest.approx(expected, rel=1e-5)
    assert float(found) == pytest.approx(accuracy)


def test_partners_in_other_pairs_are_no_candidates():
    inputs = {**INPUTS, "in0": ragged([[1], [2], [1]])}
    loss = softmax_objective().encoder_loss(
        encode(), Batch(inputs, tf.constant([1, 0, 1])), training=True
    )

    # in0 of pairs 0 and 2 is the same, so that each excludes the in1 of the other.
    logits = FIRST.astype(float) @ SECOND.T / TEMPERATURE
    expected = np.mean(
        [
            np.log(np.exp(logits[pair, [pair, 1]]).sum()) - logits[pair, pair]
            for pair in (0, 2)
        ]
    )
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_positive_pairs_has_no_loss():
    objective = softmax_objective()
    labels = tf.zeros(3, tf.int32)

    assert float(objective.encoder_loss(encode(), Batch(INPUTS, labels), True)) == 0.0
    assert [float(metric.result()) for metric in objective.metrics] == [0.0, 0.0]


def test_the_comparator_of_a_softmax_does_not_train_the_encoders():
    first, weight = tf.Variable(FIRST), tf.Variable(1.0)
    with tf.GradientTape() as tape:
        encodings = softmax_objective().comparator_encodings(encode(first=first))
        loss = weight * tf.reduce_sum(encodings.own[0])

    np.testing.assert_array_equal(encodings.own[0], FIRST)
    np.testing.assert_array_equal(encodings.own[1], SECOND)
    gradients = tape.gradient(loss, [first, weight])
    assert gradients[0] is None
    assert float(gradients[1]) == FIRST.sum()


def test_the_softmax_trains_the_encoders():
    first = tf.Variable(FIRST)
    with tf.GradientTape() as tape:
        loss = softmax_objective().encoder_loss(
            encode(first=first), Batch(INPUTS, tf.constant(LABELS)), training=True
        )

    # The gradient of a row is (probabilities - one-hot) @ second / temperature, divided
    # by the two positive pairs.
    logits = FIRST.astype(float) @ SECOND.T / TEMPERATURE
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = (probabilities - np.eye(3)) @ SECOND / TEMPERATURE / 2
    expected[1] = 0
    gradient = tape.gradient(loss, first)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_known_pairs_of_the_dataset_are_no_candidates():
    # in0 0 is known with the in1 of pair 2, which the batch itself does not show.
    known = {
        "batch_objects": tf.constant([[0, 0], [1, 1], [2, 2]]),
        "known_pairs": tf.constant([0, 8, 2]),
    }
    labels = np.array([1, 0, 0])

    loss = softmax_objective().encoder_loss(
        encode(), Batch(INPUTS | known, tf.constant(labels)), training=True
    )

    logits = FIRST[0].astype(float) @ SECOND[:2].T / TEMPERATURE
    assert float(loss) == pytest.approx(
        np.log(np.exp(logits).sum()) - logits[0], rel=1e-5
    )


@pytest.mark.parametrize("object_key", ["tokens", "first_token"])
def test_evaluation_finds_equal_objects_by_their_key(object_key):
    inputs = {**INPUTS, "in0": ragged([[1, 4], [2], [1, 5]])}
    batch = Batch.from_data((inputs, tf.constant([1, 0, 1])), object_key)
    loss = softmax_objective().encoder_loss(encode(), batch, training=False)

    # By the first token, in0 of pairs 0 and 2 is the same.
    logits = FIRST.astype(float) @ SECOND.T / TEMPERATURE
    excluded = {0: 2, 2: 0} if object_key == "first_token" else {}
    expected = np.mean(
        [
            np.log(np.exp(np.delete(logits[pair], excluded.get(pair, []))).sum())
            - logits[pair, pair]
            for pair in (0, 2)
        ]
    )
    assert float(loss) == pytest.approx(expected, rel=1e-5)
