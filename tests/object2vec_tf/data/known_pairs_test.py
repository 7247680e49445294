"""Known pairs against sets of tuples."""

import numpy as np
import pytest

from object2vec_tf.data import known_pairs, pair_filter
from object2vec_tf.data.known_pairs import KnownPairs
from object2vec_tf.ragged.column import RaggedColumn


@pytest.fixture(params=["exact", "bloom"])
def table(request, monkeypatch):
    """Both kinds of filter; few bits make false positives of the Bloom filter."""
    if request.param == "bloom":
        monkeypatch.setattr(pair_filter, "_MAX_BITS_PER_PAIR", 0)
        monkeypatch.setattr(pair_filter, "_MAX_SMALL_TABLE_BITS", 0)
        monkeypatch.setattr(pair_filter, "_MIN_BLOOM_BITS_PER_PAIR", 2)


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("reads_per_lookup", [0, 8])
@pytest.mark.parametrize(("count0", "count1"), [(5, 40), (40, 5), (1, 1), (12, 12)])
def test_known_pairs_are_those_of_a_set(count0, count1, reads_per_lookup, monkeypatch):
    monkeypatch.setattr(known_pairs, "_READS_PER_LOOKUP", reads_per_lookup)
    random = np.random.default_rng(count0)
    for _ in range(10):
        rows = int(random.integers(1, 200))
        first, second = (
            random.integers(0, count0, rows),
            random.integers(0, count1, rows),
        )
        labels = random.integers(-1, 3, rows)
        known = KnownPairs.of(
            RaggedColumn.from_rows([[int(n), 7] for n in first]),
            RaggedColumn.from_rows([[3] * int(n) for n in second]),
            labels,
        )
        pairs = zip(first, second, labels, strict=True)
        expected = {(a, b) for a, b, label in pairs if label > 0}
        i, j = random.integers(0, rows, (2, 60))

        found = known.contains(known.numbers[0][i], known.numbers[1][j])

        wanted = [(first[a], second[b]) in expected for a, b in zip(i, j, strict=True)]
        assert found.tolist() == wanted
        objects0 = dict(zip(known.numbers[0], first, strict=True))
        objects1 = dict(zip(known.numbers[1], second, strict=True))
        some0 = random.permutation(np.unique(known.numbers[0][i]))
        some1 = np.unique(known.numbers[1][j])
        assert known.among(some0, some1).tolist() == [
            [(objects0[a], objects1[b]) in expected for b in some1] for a in some0
        ]


def test_partners_are_listed_for_the_side_where_objects_have_fewer():
    many, few = RaggedColumn.from_rows([[i] for i in range(9)]), [[1], [1], [2]] * 3
    labels = np.ones(9)
    assert KnownPairs.of(many, RaggedColumn.from_rows(few), labels).side == 0
    known = KnownPairs.of(RaggedColumn.from_rows(few), many, labels)
    assert known.side == 1
    assert np.diff(known.splits).tolist() == [1] * 9


def test_a_channel_without_positive_pairs_knows_none():
    column = RaggedColumn.from_rows([[1], [2]])
    known = KnownPairs.of(column, column, np.zeros(2))
    numbers = known.numbers[0]
    assert not known.contains(numbers, numbers).any()
    assert not known.among(np.array([0, 1]), np.array([0, 1])).any()
