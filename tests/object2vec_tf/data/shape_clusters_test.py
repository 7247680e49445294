"""Clusters of batches, against all divisions of a few batches."""

import itertools

import numpy as np

from object2vec_tf.data import shape_clusters
from object2vec_tf.data.shape_clusters import clusters


def cost(needs, members, factors):
    return sum(len(m) * needs[m].max(axis=0) @ factors for m in members)


def test_three_clusters_are_found_as_by_trying_all(monkeypatch):
    monkeypatch.setattr(shape_clusters, "_MAX_CLUSTERS", 3)
    factors = np.array([1.0, 2.0])
    needs = np.array([[8, 1], [30, 9], [9, 1], [31, 8], [10, 2], [90, 3], [95, 3]])
    found = clusters(needs, factors, 1.0)
    assert len(found) == 3
    best = min(
        cost(needs, [np.flatnonzero(np.array(d) == k) for k in set(d)], factors)
        for d in itertools.product(range(3), repeat=len(needs))
    )
    assert cost(needs, found, factors) == best
    assert sorted(np.concatenate(found).tolist()) == list(range(len(needs)))


def test_similar_batches_have_a_single_shape():
    needs = np.array([[1000 + n % 7, 5] for n in range(50)])
    [members] = clusters(needs, np.ones(2), 1.05)
    assert members.tolist() == list(range(50))


def test_there_are_few_clusters_however_different_batches_are():
    needs = np.random.default_rng(0).integers(1, 10_000, (3000, 4))
    found = clusters(needs, np.ones(4), 1.05)
    assert 1 < len(found) <= 12
    assert sorted(np.concatenate(found).tolist()) == list(range(3000))
