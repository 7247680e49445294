"""The words that the rows of a token table belong to."""

from __future__ import annotations

from collections.abc import Sequence

from object2vec_tf.text.row_matching import TableRows
from object2vec_tf.text.text_assets import IdWords
from object2vec_tf.text.tokenizer_loading import Tokenizers


def table_words(
    size: int, sides: Sequence[int], tokenizers: Tokenizers, id_words: IdWords
) -> list[str | None] | None:
    r"""Returns the word of each row of a table; None if no vocabulary is known.

    A row without a word, such as one of a hash bucket, has None.

    Args:
        size: Number of rows.
        sides: The sides that use the table; the first one with words counts.
        tokenizers: The tokenizers of in0 and in1.
        id_words: The contents of the vocabulary files of sides of ids.

    Example:
        >>> from object2vec_tf.text.table_words import table_words
        >>> table_words(3, [0], (None, None), (b"cat\ndog", None))
        ['cat', 'dog', None]
    """
    for side in sides:
        rows = TableRows.of_input(size, tokenizers[side], id_words[side])
        if rows.words is not None:
            words: list[str | None] = [None] * size
            for word, row in rows.words.items():
                words[row] = word
            return words
    return None
