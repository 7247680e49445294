"""Which integers are the token ids of an input, and how many ids a token has.

Without subwords, every id is a token. With subwords, the ids below ``vocab_size`` are
words of the vocabulary. A word that the vocabulary lacks is a run of ids, one for each
of its character n-grams. An n-gram of bucket ``b`` has the id ``vocab_size + b`` if it
is the first one of its word, and ``vocab_size + buckets + b`` if it continues the word.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple


class IdLimits(NamedTuple):
    """The limits of the objects of an input.

    Attributes:
        size: All ids are below it.
        max_len: The largest number of tokens of an object.
        continued_from: Ids from this one on belong to the token before them; None if
            every id is a token.
    """

    size: int
    max_len: int
    continued_from: int | None = None


def token_end(ids: Sequence[int], tokens: int, continued_from: int | None) -> int:
    """Returns the number of ids that the first tokens of an object have.

    Args:
        ids: The ids of the object.
        tokens: The number of tokens.
        continued_from: Ids from this one on belong to the token before them; None if
            every id is a token.

    Example:
        >>> from object2vec_tf.ragged.token_ids import token_end
        >>> token_end([1, 7, 9, 9, 2], tokens=2, continued_from=8)
        4
    """
    if continued_from is None:
        return min(tokens, len(ids))
    begun = 0
    for position, id_ in enumerate(ids):
        begun += id_ < continued_from
        if begun > tokens:
            return position
    return len(ids)


@dataclasses.dataclass(frozen=True)
class SubwordIds:
    """The character n-grams of words, and their ids.

    Attributes:
        vocab_size: The ids of words are below it.
        shortest: The number of characters of the shortest n-grams.
        longest: The number of characters of the longest n-grams.
        buckets: The number of hash buckets that n-grams share.

    Example:
        >>> from object2vec_tf.ragged.token_ids import SubwordIds
        >>> ids = SubwordIds(vocab_size=100, shortest=3, longest=6, buckets=10)
        >>> ids.continued_from, ids.size
        (110, 120)
    """

    vocab_size: int
    shortest: int
    longest: int
    buckets: int

    @property
    def continued_from(self) -> int:
        """N-grams with ids from this one on continue the word before them."""
        return self.vocab_size + self.buckets

    def has_same_ngrams(self, other: SubwordIds) -> bool:
        """Returns whether words have the same n-grams in the same buckets."""
        own = (self.shortest, self.longest, self.buckets)
        return own == (other.shortest, other.longest, other.buckets)

    @property
    def size(self) -> int:
        """All ids are below it."""
        return self.vocab_size + 2 * self.buckets
