"""Counts of the unknown tokens in the inputs of a model."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping

from object2vec_tf.hyperparameters import Hyperparameters


@dataclasses.dataclass(frozen=True)
class TokenCounts:
    """Counts of tokens of one input.

    Attributes:
        tokens: The number of tokens.
        unknown: The number of those that are not in the vocabulary.
        objects: The number of objects with text or with ids of any kind.
        unknown_objects: The number of those that have unknown tokens and, as far as
            they are not truncated, no others.

    Example:
        >>> from object2vec_tf.inference.token_counts import TokenCounts
        >>> TokenCounts(tokens=5, unknown=2, objects=3) + TokenCounts(tokens=1)
        TokenCounts(tokens=6, unknown=2, objects=3, unknown_objects=0)
    """

    tokens: int = 0
    unknown: int = 0
    objects: int = 0
    unknown_objects: int = 0

    def __add__(self, other: TokenCounts) -> TokenCounts:
        """Returns the sums of both counts."""
        return TokenCounts(
            self.tokens + other.tokens,
            self.unknown + other.unknown,
            self.objects + other.objects,
            self.unknown_objects + other.unknown_objects,
        )

    def __sub__(self, other: TokenCounts) -> TokenCounts:
        """Returns the differences of both counts."""
        return TokenCounts(
            self.tokens - other.tokens,
            self.unknown - other.unknown,
            self.objects - other.objects,
            self.unknown_objects - other.unknown_objects,
        )


# The counts of in0 and in1 as far as there are any.
CountsByInput = Mapping[str, TokenCounts]


def add_counts(first: CountsByInput, second: CountsByInput) -> dict[str, TokenCounts]:
    """Returns the sums of the counts of each input."""
    return {
        name: first.get(name, TokenCounts()) + second.get(name, TokenCounts())
        for name in sorted({*first, *second})
    }


def subtract_counts(
    first: CountsByInput, second: CountsByInput
) -> dict[str, TokenCounts]:
    """Returns the differences of the counts of each input."""
    return {name: n - second.get(name, TokenCounts()) for name, n in first.items()}


def counts_to_json(counts: CountsByInput) -> str:
    """Returns counts as JSON."""
    return json.dumps({name: dataclasses.asdict(n) for name, n in counts.items()})


def counts_from_json(text: str) -> dict[str, TokenCounts]:
    """Returns counts that `counts_to_json` wrote."""
    return {name: TokenCounts(**fields) for name, fields in json.loads(text).items()}


def warn_of_unknown_tokens(
    counts: CountsByInput, hyperparameters: Hyperparameters | None = None
) -> None:
    """Warns of unknown tokens, in one line for each input that has any.

    Args:
        counts: The counts by input.
        hyperparameters: The model's, to name the number of buckets.
    """
    for name, count in counts.items():
        if not count.unknown:
            continue
        text = f"{name}: {count.unknown:,} of {count.tokens:,} tokens are unknown"
        buckets = 0
        if hyperparameters is not None:
            encoder = int(name[-1])
            buckets = hyperparameters.of_encoder(encoder, "num_oov_buckets")
            if hyperparameters.subwords(encoder) is not None:
                text += " and have only the vectors of their n-grams"
        if buckets:
            text += f" and share {buckets:,} buckets"
        if count.unknown_objects:
            text += (
                f"; {count.unknown_objects:,} of {count.objects:,} objects have no "
                "known token, so that their embeddings do not distinguish them"
            )
        warnings.warn(text, stacklevel=2)
