"""The hyperparameters of subwords: their defaults, and the rules between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from object2vec_tf.hyperparameters.choices import LOOKUP_TOKENIZERS

# fastText has 2,000,000, which take ten times the memory.
DEFAULT_SUBWORD_BUCKETS = 200_000
# Token ids are int32.
_MAX_IDS = 2**31 - 1


def ngram_lengths(text: str) -> tuple[int, int]:
    """Returns the lengths of the shortest and of the longest n-grams.

    Args:
        text: A valid ``encX_subword_ngrams``.

    Example:
        >>> from object2vec_tf.hyperparameters.subwords import ngram_lengths
        >>> ngram_lengths("3..6")
        (3, 6)
    """
    shortest, _, longest = text.partition("..")
    return int(shortest), int(longest)


def resolve_buckets(effective: dict[str, Any], encoder: int) -> None:
    """Replaces 0 buckets by the default number where n-grams are used."""
    name = f"enc{encoder}_subword_buckets"
    if effective[f"enc{encoder}_subword_ngrams"] and effective[name] == 0:
        effective[name] = DEFAULT_SUBWORD_BUCKETS


def check_subwords(effective: Mapping[str, Any], problems: list[str]) -> None:
    """Checks that n-grams have words, and buckets n-grams."""
    if None in [effective[f"enc{encoder}_subword_ngrams"] for encoder in (0, 1)]:
        return
    for encoder in (0, 1):
        prefix = f"enc{encoder}_"
        ngrams, buckets = f"{prefix}subword_ngrams", f"{prefix}subword_buckets"
        if not effective[ngrams]:
            if effective[buckets]:
                problems.append(
                    f"{buckets}: only applies to {ngrams}. Set that, for instance to "
                    f"3..6, or remove {buckets}."
                )
            continue
        tokenizer = effective[f"enc{encoder}_tokenizer"]
        if tokenizer is not None and tokenizer not in LOOKUP_TOKENIZERS:
            problems.append(
                f"{ngrams}: only applies to words and ids. Set enc{encoder}_tokenizer "
                f"to {' or '.join(LOOKUP_TOKENIZERS)}, or remove {ngrams}."
            )
        if oov_buckets := effective[f"{prefix}num_oov_buckets"]:
            problems.append(
                f"{prefix}num_oov_buckets: expected 0 with {ngrams}, whose n-grams "
                f"distinguish out-of-vocabulary words, got {oov_buckets}. Remove one "
                "of the two."
            )
        _check_id_range(effective, encoder, problems)


def _check_id_range(
    effective: Mapping[str, Any], encoder: int, problems: list[str]
) -> None:
    """Checks that words and n-grams have ids of 32 bits."""
    size = effective.get(f"enc{encoder}_vocab_size") or 0
    buckets = effective[f"enc{encoder}_subword_buckets"] or 0
    limit = (_MAX_IDS - size) // 2
    if buckets > limit:
        problems.append(
            f"enc{encoder}_subword_buckets: expected at most {limit} with "
            f"enc{encoder}_vocab_size={size}, got {buckets}. Lower it."
        )
