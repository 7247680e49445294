import math

import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.distributed.strategies import SingleDevice

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 4,
    "enc0_max_seq_len": 1,
    "enc_dim": 4,
    "objective": "in_batch_softmax",
}
IDS = {"in0": [[0], [1], [2]], "in1": [[1], [2], [3]]}


@pytest.fixture
def replicas():
    def build():
        model = o2v.Object2Vec(SETTINGS)
        model.compile()
        return model

    return Replicas(SingleDevice(), build)


def measure(replicas, labels):
    inputs = {name: tf.ragged.constant(ids) for name, ids in IDS.items()}
    replicas.model.test_step((inputs, tf.constant(labels)))
    return replicas.metrics()


def test_metrics_continue_from_their_states(replicas):
    measure(replicas, [0, 1, 1])
    expected, states = replicas.metrics(), replicas.metric_states()
    assert expected.keys() > {"auc", "accuracy", "in_batch_accuracy"}
    replicas.reset_metrics()
    replicas.set_metric_states(states)
    assert replicas.metrics() == expected
    # Three replicas saved theirs: one continues from the sums, the others from 0.
    replicas.set_metric_states(np.stack([states[0], states[0], 0 * states[0]]))
    assert replicas.metrics() == pytest.approx(expected)
    np.testing.assert_array_equal(replicas.metric_states(), 2 * states)


def test_states_of_version_0_1_0_have_no_auc(replicas):
    expected = measure(replicas, [0, 1, 1])
    values = [float(v) for v in replicas.model.metrics_variables if not len(v.shape)]
    replicas.reset_metrics()
    replicas.set_metric_states(np.array([values], np.float64))
    assert replicas.metrics() == {k: v for k, v in expected.items() if k != "auc"}


def test_a_single_class_has_no_auc(replicas):
    metrics = measure(replicas, [1, 1, 1])
    assert "auc" not in metrics
    assert not any(map(math.isnan, metrics.values()))
