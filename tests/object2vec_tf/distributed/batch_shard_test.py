"""Tests of batch shards in one process; strategies_test runs several replicas."""

import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.distributed.batch_shard import (
    EncodingPlan,
    FullBatch,
    GradientScope,
    PairCounts,
    replicated_encoders,
)
from object2vec_tf.distributed.sharded_batch import ShardedBatch, batch_shard_of
from object2vec_tf.hyperparameters import Hyperparameters


def ragged(rows):
    return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


def shard_of(start, count, batch):
    return ShardedBatch(*(tf.constant(n) for n in (start, count, batch)))


@pytest.mark.parametrize(
    "method",
    [
        "all_pairs",
        "own_pairs",
        "own_negatives",
        "contribution",
        "own_mean",
        "total",
        "metric_rows",
    ],
)
def test_a_full_batch_returns_its_argument(method):
    rows = tf.constant([1.0, 2.0, 3.0])

    assert getattr(FullBatch(), method)(rows) is rows


def test_a_full_batch_returns_its_token_ids():
    ids = ragged([[1, 2], []])

    assert FullBatch().all_ids(ids) is ids
    assert FullBatch().metric_rows(None) is None


def test_a_full_batch_encodes_its_inputs():
    inputs = {"in0": ragged([[1], [2]]), "in1": ragged([[3], [4]])}
    first, second = tf.constant([[1.0], [2.0]]), tf.constant([[3.0], [4.0]])
    calls = []

    def encode(encoded_inputs):
        calls.append(encoded_inputs)
        return first, second

    shard = FullBatch()
    encodings = shard.encode(encode, inputs, EncodingPlan((0, 1), (True, True)))

    assert len(calls) == 1
    assert calls[0] is inputs
    assert encodings.shard is shard
    assert encodings.own[0] is first
    assert encodings.own[1] is second
    assert encodings.all_pairs(0) is first
    assert encodings.all_pairs(1) is second


def test_a_full_batch_sums_rows_of_repeated_tokens_only():
    dense = tf.constant([[1.0], [2.0]])
    rows = tf.IndexedSlices(
        tf.constant([[1.0], [2.0], [4.0]]), tf.constant([3, 0, 3]), tf.constant([4, 1])
    )

    reduced = FullBatch().reduce_gradients(
        [dense, None, rows],
        as_rows=True,
        distinct=False,
        scopes=[GradientScope.OWN_PAIRS] * 3,
    )

    assert reduced[0] is dense
    assert reduced[1] is None
    sums = dict(
        zip(reduced[2].indices.numpy(), reduced[2].values.numpy()[:, 0], strict=True)
    )
    assert sums == {3: 5.0, 0: 2.0}


def test_inputs_without_a_shard_are_the_full_batch():
    assert type(batch_shard_of({})) is FullBatch


def test_inputs_with_a_shard_are_rows_of_a_batch():
    shard = batch_shard_of({"shard": tf.constant([1, 2, 5], tf.int32)})

    assert type(shard) is ShardedBatch
    assert [int(n) for n in (shard.start, shard.count, shard.batch)] == [1, 2, 5]


def test_own_pairs_are_adjacent_rows_of_the_batch():
    rows = tf.range(10, 15)

    np.testing.assert_array_equal(shard_of(1, 2, 5).own_pairs(rows), [11, 12])


def test_a_shard_without_rows_has_a_placeholder_that_metrics_ignore():
    shard = shard_of(0, 0, 5)
    placeholder = shard.own_pairs(tf.range(10, 15))

    np.testing.assert_array_equal(placeholder, [10])
    assert shard.metric_rows(placeholder).shape == (0,)
    assert shard.metric_rows(None) is None
    assert float(shard.own_mean(tf.constant(3.0))) == 0.0


def test_metrics_count_all_rows_of_a_shard_with_rows():
    rows = tf.constant([5.0, 6.0])

    np.testing.assert_array_equal(shard_of(1, 2, 5).metric_rows(rows), [5, 6])


def test_own_negatives_are_those_of_own_pairs():
    # Item n is a negative of pair n % 4: pairs 1 and 2 have 11, 12 and then 21, 22.
    indices = tf.constant([10, 11, 12, 13, 20, 21, 22, 23])

    own = shard_of(1, 2, 4).own_negatives(indices)

    np.testing.assert_array_equal(own, [11, 12, 21, 22])


def test_the_own_mean_divides_by_the_fraction_of_the_batch():
    # A shard of 2 in 5 rows with the mean 10 contributes 4 to the mean of the batch.
    assert float(shard_of(1, 2, 5).own_mean(tf.constant(4.0))) == pytest.approx(10.0)


def test_missing_negatives_change_the_fraction_of_the_batch():
    # A shard with 6 of 8 pairs, negatives included, and the mean 10 contributes 7.5.
    counts = PairCounts(tf.constant(6), tf.constant(8))
    assert float(shard_of(1, 2, 5).own_mean(tf.constant(7.5), counts)) == 10.0
    assert float(shard_of(0, 0, 5).own_mean(tf.constant(7.5), counts)) == 0.0


POOLED, HCNN, BILSTM = "pooled_embedding", "hcnn", "bilstm"


@pytest.mark.parametrize(
    ("networks", "tied", "expected"),
    [
        ((POOLED, POOLED), False, (0, 1)),
        ((POOLED, POOLED), True, (0, 1)),
        ((POOLED, HCNN), False, (0,)),
        ((POOLED, HCNN), True, ()),
        ((BILSTM, POOLED), False, (1,)),
        ((BILSTM, POOLED), True, ()),
        ((HCNN, BILSTM), False, ()),
        ((HCNN, HCNN), True, ()),
        ((POOLED, "enc0"), False, (0, 1)),
        ((HCNN, "enc0"), False, ()),
    ],
)
def test_pooled_encoders_are_replicated_unless_they_share_a_table(
    networks, tied, expected
):
    settings = {"enc_dim": 8, "tied_token_embedding_weight": tied}
    for encoder, network in enumerate(networks):
        settings[f"enc{encoder}_network"] = network
        if network != "enc0":
            settings[f"enc{encoder}_vocab_size"] = 9
            settings[f"enc{encoder}_max_seq_len"] = 3
        if network in (HCNN, BILSTM):
            settings[f"enc{encoder}_token_embedding_dim"] = 8
            settings[f"enc{encoder}_layers"] = 2
    hyperparameters = Hyperparameters(**settings)

    assert replicated_encoders(hyperparameters) == expected
