import numpy as np
import pytest

from object2vec_tf.text.row_matching import TableRows, match_rows
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer


def words(text):
    return {word: row for row, word in enumerate(text.split())}


@pytest.mark.parametrize(
    ("rows", "earlier", "expected"),
    [
        # Ids: the vocabulary grows, shrinks.
        (TableRows(5), TableRows(3), [0, 1, 2, -1, -1]),
        (TableRows(2), TableRows(3), [0, 1]),
        # Words: reordered, with a new one and without an old one.
        (
            TableRows(4, words("b new a [UNK]")),
            TableRows(4, words("[UNK] a b gone")),
            [2, -1, 1, 0],
        ),
        # The unknown word is spelled in another way.
        (TableRows(2, words("a <unk>")), TableRows(2, words("[UNK] a")), [1, 0]),
        # Only one side has words: by id.
        (TableRows(2, words("a b")), TableRows(3), [0, 1]),
        (TableRows(3), TableRows(2, words("a b")), [0, 1, -1]),
        # Rows 2 and 3 are neither words nor buckets; row 2 exists in both tables.
        (TableRows(4, words("a b")), TableRows(3, words("c a")), [1, -1, 2, -1]),
        # 3 buckets from row 2 on; earlier ones start at row 1.
        (
            TableRows(5, words("a b"), 2, 3),
            TableRows(4, words("a"), 1, 3),
            [0, -1, 1, 2, 3],
        ),
        # 4 buckets continue 2: h % 4 is 0 or 2 where h % 2 is 0.
        (
            TableRows(5, words("a"), 1, 4),
            TableRows(3, words("a"), 1, 2),
            [0, 1, 2, 1, 2],
        ),
        # 3 buckets mix the words of 2.
        (
            TableRows(4, words("a"), 1, 3),
            TableRows(3, words("a"), 1, 2),
            [0, -1, -1, -1],
        ),
    ],
)
def test_rows_are_matched(rows, earlier, expected):
    np.testing.assert_array_equal(match_rows(rows, earlier), expected)


def test_rows_of_a_tokenizer_are_its_words_and_buckets():
    tokenization = Tokenization("whitespace", num_oov_buckets=2)
    tokenizer = Tokenizer(tokenization, b'{"a": 0, "b": 3}')
    rows = TableRows.of_input(8, tokenizer)
    assert rows == TableRows(8, {"a": 0, "b": 3}, 4, 2)
    np.testing.assert_array_equal(np.flatnonzero(rows.unnamed()), [1, 2, 6, 7])
    assert TableRows.of_input(8, None) == TableRows(8)
    assert TableRows.of_input(3, None, b"a\nb\nc\nd") == TableRows(
        3, {"a": 0, "b": 1, "c": 2}, 3
    )
