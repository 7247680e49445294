"""The number of shapes that the batches of several epochs have."""

import collections
import itertools

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.data.layout_choice import layout_of
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.ragged.column import RaggedColumn

ROWS = 6000


def make_pairs(network="hcnn", **settings):
    """Returns pairs with lengths from 1 to 40 and frequent and rare tokens."""
    random = np.random.default_rng(2)
    columns = []
    for _ in range(2):
        lengths = np.clip(np.exp(random.normal(2, 0.6, ROWS)), 1, 40).astype(int)
        tokens = np.minimum(random.zipf(1.4, lengths.sum()), 3000) - 1
        splits = np.concatenate([[0], np.cumsum(lengths)])
        columns.append(RaggedColumn(tokens.astype(np.int32), splits))
    hyperparameters = o2v.Hyperparameters(
        enc0_network=network,
        enc0_vocab_size=3000,
        enc0_max_seq_len=40,
        mini_batch_size=64,
        **settings,
    )
    report = Report((), {}, {}, (), {}, "")
    return Pairs(*columns, random.integers(0, 2, ROWS), hyperparameters, report)


def shapes_of(pairs, steps, epochs=3, **arguments):
    layout = layout_of(pairs.settings, shuffle=True)
    return collections.Counter(
        group.shape
        for epoch in range(epochs)
        for group in pairs.static_groups(
            layout, steps=steps, shuffle=True, epoch=epoch, **arguments
        )
    )


@pytest.mark.parametrize(("network", "steps"), [("hcnn", 1), ("hcnn", 8)])
def test_batches_without_buckets_have_one_shape(network, steps):
    pairs = make_pairs(network)
    [shape] = shapes_of(pairs, steps)
    # Chunks have 4 cells, and a row ends with an empty cell. There is room for a sum of
    # 64 rows that is five standard deviations above the mean.
    batches = -(-ROWS // 64)
    needed = sum(
        np.ceil((column.lengths + 1) / 4).sum() for column in (pairs.in0, pairs.in1)
    )
    assert needed < batches * sum(shape.chunks) < 1.45 * needed
    assert shape.rows == 64


@pytest.mark.parametrize("network", ["hcnn", "bilstm"])
def test_bucketed_batches_have_a_dozen_shapes(network):
    pairs = make_pairs(network, bucket_width=8)
    shapes = shapes_of(pairs, 1)
    assert 4 <= len(shapes) <= 12
    # Short batches have smaller shapes than long ones.
    assert min(s.size for s in shapes) < 0.4 * max(s.size for s in shapes)


def test_shapes_do_not_depend_on_earlier_epochs_or_on_where_a_run_resumes():
    fresh, used = make_pairs(), make_pairs()
    shapes_of(used, 4, epochs=2, bucket_width=4, batch_size=32)
    layout = layout_of(fresh.settings, shuffle=True)
    whole, resumed = (
        pairs.static_groups(
            layout,
            steps=4,
            shuffle=True,
            epoch=2,
            bucket_width=4,
            batch_size=32,
            first_batch=first,
        )
        for pairs, first in ((used, 0), (fresh, 42))
    )
    expected = [g for g in whole if g.first >= 40]
    for group, other in itertools.zip_longest(expected, resumed):
        assert (group.first, group.count) == (other.first, other.count)
        assert group.shape == other.shape
        np.testing.assert_array_equal(group.vectors, other.vectors)
