"""Tests of object2vec_tf/text/table_words.py."""

from object2vec_tf.text.table_words import table_words
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer

WORDS = b'{"[UNK]": 0, "cat": 3, "dog": 1}'


def test_rows_have_the_words_of_the_first_side_with_a_vocabulary():
    tokenizer = Tokenizer(Tokenization("whitespace", num_oov_buckets=2), WORDS)
    words = ["[UNK]", "dog", None, "cat", None, None, None]
    assert table_words(7, [0, 1], (None, tokenizer), (None, None)) == words
    assert table_words(7, [0], (None, tokenizer), (None, None)) is None
    assert table_words(2, [0, 1], (None, tokenizer), (b"a\nb\nc", None)) == ["a", "b"]
