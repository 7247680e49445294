"""Distinct tokens by each method, against numpy's sets."""

import numpy as np
import pytest

from object2vec_tf.data import unique_tokens
from object2vec_tf.data.unique_tokens import TokenFinder
from object2vec_tf.errors import DataError


@pytest.mark.parametrize("vocab_size", [1, 40, 10_000, 2**31 - 1, 2**60])
@pytest.mark.parametrize(("batches", "many"), [(1, 1), (5, 1), (5, 1 << 20)])
def test_tokens_are_found_by_batch(vocab_size, batches, many, monkeypatch):
    """Together if they have few tokens on average, otherwise one by one."""
    monkeypatch.setattr(unique_tokens, "_MANY_TOKENS", many)
    random, finder = np.random.default_rng(1), TokenFinder()
    # Twice, as a finder's buffers must not keep tokens of earlier calls.
    for _ in range(2):
        arrays, splits = [], []
        for _ in range(2):
            # The first batch of the first array has no tokens.
            sizes = random.integers(0, 30, batches) * (len(arrays) > 0)
            sizes[-1] += 10
            splits.append(np.concatenate([[0], np.cumsum(sizes)]))
            high = min(vocab_size, 2**31 - 1)
            arrays.append(random.integers(0, high, splits[-1][-1]).astype(np.int32))
        found = finder.find(arrays, splits, vocab_size)
        stop = 0
        for i in range(batches):
            parts = [a[s[i] : s[i + 1]] for a, s in zip(arrays, splits, strict=True)]
            expected, inverse = np.unique(np.concatenate(parts), return_inverse=True)
            start, stop = stop, stop + found.counts[i]
            assert found.ids[start:stop].tolist() == expected.tolist()
            positions = [
                p[s[i] : s[i + 1]] for p, s in zip(found.positions, splits, strict=True)
            ]
            assert np.concatenate(positions).tolist() == inverse.tolist()
        assert stop == len(found.ids)
        assert found.ids.dtype == found.positions[0].dtype == np.int32


def test_without_tokens_nothing_is_found():
    found = TokenFinder().find([np.zeros(0, np.int32)], [np.zeros(4, int)], 9)
    assert (found.ids.size, found.counts.tolist()) == (0, [0, 0, 0])


@pytest.mark.parametrize("marks", [0, 1 << 20])
@pytest.mark.parametrize("wrong", [10, -1])
def test_ids_outside_the_vocabulary_are_errors(marks, wrong, monkeypatch):
    monkeypatch.setattr(unique_tokens, "_MAX_MARKS", marks)
    tokens = np.array([3, wrong, 5], np.int32)
    with pytest.raises(DataError, match=f"from 0 to 9, got {wrong}"):
        TokenFinder().find([tokens], [np.array([0, 3])], 10)
