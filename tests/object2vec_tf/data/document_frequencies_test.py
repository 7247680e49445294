import numpy as np

from object2vec_tf.data import document_frequencies as module
from object2vec_tf.data.document_frequencies import (
    document_frequencies,
    inverse_document_frequencies,
)
from object2vec_tf.ragged.column import RaggedColumn


def test_a_token_counts_once_for_each_object(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_ROWS", 7)
    random = np.random.default_rng(2)
    rows = [random.integers(0, 30, random.integers(0, 40)).tolist() for _ in range(60)]
    columns = [RaggedColumn.from_rows(rows[:50]), RaggedColumn.from_rows(rows[50:])]

    frequencies = document_frequencies(columns, 1000)

    expected = [sum(token in row for row in rows) for token in range(30)]
    assert frequencies[:30].tolist() == expected
    assert len(frequencies) == 1000
    assert not frequencies[30:].any()
    assert document_frequencies([], 3).tolist() == [0, 0, 0]


def test_inverse_document_frequencies_are_those_of_scikit_learn():
    # TfidfVectorizer().fit(["a1 b1", "a1 c1", "a1", "a1 b1"]).idf_, scikit-learn 1.9.
    expected = [1.0, 1.5108256237659907, 1.916290731874155]
    received = inverse_document_frequencies(np.array([4, 2, 1]), objects=4)
    np.testing.assert_allclose(received, expected, rtol=1e-12)
