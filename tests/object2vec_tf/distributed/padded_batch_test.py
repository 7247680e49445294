import numpy as np
import tensorflow as tf

from object2vec_tf.distributed.batch_shard import GradientScope, PairCounts
from object2vec_tf.distributed.padded_batch import (
    PaddedBatch,
    PaddedShard,
    padded_data,
)
from object2vec_tf.distributed.sharded_batch import batch_shard_of
from object2vec_tf.ragged.static_layout import BatchShape, Layout, SideLayout

OWN = GradientScope.OWN_PAIRS


def test_a_loss_is_divided_by_the_pairs_without_padding():
    shard = PaddedBatch(tf.constant(3), rows=8)
    losses, weights = np.arange(8.0), np.array([1, 2, 0.5, 0, 0, 0, 0, 0])

    mean = tf.constant((losses * weights).sum() / 8, tf.float32)
    # Three pairs and 4 negatives, in rows for 2 negatives per pair.
    counts = PairCounts(tf.constant(7), tf.constant(7), rows=24)

    np.testing.assert_allclose(shard.contribution(mean), 3.0 / 3)
    np.testing.assert_allclose(shard.contribution(mean, counts), 3.0 / 8 * 24 / 7)
    assert shard.metric_count(tf.zeros([8])).numpy() == 3
    assert shard.metric_count(tf.zeros([24]), counts).numpy() == 7


def test_a_gradient_of_rows_stays_rows_and_a_dense_one_is_a_table():
    rows = tf.IndexedSlices(
        tf.constant([[1.0], [2.0]]), tf.constant([2, 0]), tf.constant([3, 1])
    )
    shard = PaddedBatch(tf.constant(1), rows=2)

    as_rows, none = shard.reduce_gradients([rows, None], True, False, [OWN] * 2)
    (dense,) = shard.reduce_gradients([rows], False, False, [OWN])

    assert as_rows is rows
    assert none is None
    np.testing.assert_array_equal(dense, [[2.0], [0.0], [1.0]])


def test_the_arrays_of_a_vector_are_the_inputs_of_a_step():
    sides = SideLayout(width=1), SideLayout(width=1)
    layout = Layout(sides, False, (9, 9), real_labels=False)
    shape = BatchShape(layout, 2, (2, 2), (3, 3), (1, 1))
    vector = np.arange(shape.size, dtype=np.int32)
    fields = shape.fields()
    vector[fields["count"].start] = 1
    start = fields["weights"].start
    vector[start : start + 2] = np.array([0.5, 0], np.float32).view(np.int32)

    inputs, labels, weights = padded_data(tf.constant(vector), shape)

    assert set(inputs) == set(fields)
    np.testing.assert_array_equal(inputs.rows(1).cells, inputs["cells1"])
    np.testing.assert_array_equal(labels, vector[fields["labels"].start :][:2])
    np.testing.assert_array_equal(weights, [0.5, 0])
    shard = batch_shard_of(inputs)
    assert isinstance(shard, PaddedBatch)
    assert (shard.real_pairs.numpy(), shard.rows) == (1, 2)


def shard_of(replica):
    """Replica 0, 1 or 2 of a batch with 5 pairs, which have 4 rows each."""
    return PaddedShard(tf.constant(5), rows=4, start=4 * replica, batch_rows=12)


def test_a_shard_has_its_pairs_and_their_negatives():
    rows, first, second = tf.range(12), 100 + np.arange(12), 200 + np.arange(12)
    negatives = tf.constant(np.concatenate([first, second]))

    counts = [int(shard_of(replica).own_count) for replica in range(3)]

    assert counts == [4, 1, 0]
    np.testing.assert_array_equal(shard_of(1).own_pairs(rows), [4, 5, 6, 7])
    own = [104, 105, 106, 107, 204, 205, 206, 207]
    np.testing.assert_array_equal(shard_of(1).own_negatives(negatives), own)


def test_the_parts_of_replicas_sum_to_the_loss_of_the_batch():
    losses = np.array([1, 2, 3, 4, 10.0, 0, 0, 0, 0, 0, 0, 0], np.float32)
    parts = [
        float(shard_of(i).contribution(tf.constant(losses[4 * i : 4 * i + 4].mean())))
        for i in range(3)
    ]
    means = [float(shard_of(i).own_mean(tf.constant(parts[i]))) for i in range(3)]

    np.testing.assert_allclose(parts, [10 / 5, 10 / 5, 0])
    np.testing.assert_allclose(means, [10 / 4, 10, 0])
    # With negatives, 3 of 8 pairs in 8 rows.
    counts = PairCounts(tf.constant(3), tf.constant(8), rows=8)
    part = shard_of(1).contribution(tf.constant(6.0 / 8), counts)
    np.testing.assert_allclose(part, 6 / 8)
    np.testing.assert_allclose(shard_of(1).own_mean(part, counts), 6 / 3)
    assert shard_of(1).metric_count(tf.zeros([8]), counts).numpy() == 3


def test_a_replica_gets_its_labels_and_weights():
    sides = SideLayout(width=1), SideLayout(width=1)
    layout = Layout(sides, False, (9, 9), real_labels=False, replicas=2)
    shape = BatchShape(layout, 2, (2, 2), (3, 3), (1, 1))
    vector = np.zeros(shape.size, np.int32)
    fields = shape.fields()
    vector[fields["labels"].start : fields["labels"].stop] = [5, 6, 7, 8]
    weights = np.array([0.5, 1, 2, 0], np.float32).view(np.int32)
    vector[fields["weights"].start : fields["weights"].stop] = weights
    vector[fields["count"].start] = 3

    inputs, labels, weights = padded_data(tf.constant(vector), shape, replica=1)

    np.testing.assert_array_equal(labels, [7, 8])
    np.testing.assert_array_equal(weights, [2, 0])
    shard = batch_shard_of(inputs)
    assert (int(shard.own_count), int(shard.real_pairs)) == (1, 3)
