"""Tokenizers and vocabulary sizes from the files of the auxiliary channel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from object2vec_tf.errors import UserError
from object2vec_tf.files.channels import Source, channel_files
from object2vec_tf.files.file_content import read_content
from object2vec_tf.hyperparameters import MAX_VOCAB_SIZE, Hyperparameters, defaults
from object2vec_tf.hyperparameters.arguments import as_hyperparameters
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer, vocabulary_size

# Numbers with as many digits are invalid, which is reported elsewhere.
_MAX_DIGITS = 18
# The tokenizers of in0 and in1; None for a side with ids.
Tokenizers = tuple[Tokenizer | None, Tokenizer | None]


def auxiliary_file(auxiliary: Source | None, name: str, setting: str) -> Path:
    """Returns the path of a file in the auxiliary channel.

    Args:
        auxiliary: The channel: a directory, files, globs.
        name: The file's name.
        setting: The hyperparameter that has the name, for messages.

    Raises:
        UserError: There is no such file, or no channel.
    """
    if not auxiliary:
        raise UserError(
            f"{setting}: expected {name!r} in the auxiliary channel, got no auxiliary "
            "channel. Give --auxiliary=DIRECTORY."
        )
    files = channel_files(auxiliary, "auxiliary", by_name=True)
    for path in files:
        if path.name == name:
            return path
    names = ", ".join(sorted(path.name for path in files)[:5])
    raise UserError(
        f"{setting}: expected {name!r} in the auxiliary channel, got {names}. Add the "
        "file or correct the name."
    )


def read_tokenizers(
    hyperparameters: Hyperparameters | Mapping[str, Any], auxiliary: Source | None
) -> Tokenizers:
    """Returns the tokenizers of in0 and in1, with their vocabularies.

    Args:
        hyperparameters: Has ``encX_tokenizer``, ``encX_vocab_file`` and the settings of
            normalization. A mapping has them by name.
        auxiliary: The channel with the vocabularies.

    Returns:
        The same object twice if both sides have equal tokenizers. None for a side with
        ids.

    Raises:
        HyperparameterError: A mapping has invalid or unknown hyperparameters.
        UserError: A vocabulary is missing or damaged, or has an id that is not below
            ``encX_vocab_size``.

    Example:
        >>> from pathlib import Path
        >>> import object2vec_tf as o2v
        >>> _ = Path("words.json").write_text('{"[UNK]": 0, "the": 1, "cat": 2}')
        >>> hyperparameters = o2v.Hyperparameters(
        ...     enc0_network="pooled_embedding",
        ...     enc0_max_seq_len=10,
        ...     enc0_vocab_size=3,
        ...     enc0_tokenizer="whitespace",
        ...     enc0_vocab_file="words.json",
        ... )
        >>> in0, in1 = o2v.read_tokenizers(hyperparameters, "words.json")
        >>> in0.vocab_size
        3
        >>> in0 is in1  # enc1 shares all settings of enc0 by default
        True
    """
    settings = as_hyperparameters(hyperparameters)
    first, second = (_read_tokenizer(settings, i, auxiliary) for i in (0, 1))
    return shared_tokenizers(first, second)


def _read_tokenizer(
    hyperparameters: Hyperparameters, encoder: int, auxiliary: Source | None
) -> Tokenizer | None:
    if f"in{encoder}" not in hyperparameters.texts:
        return None
    name = hyperparameters.of_encoder(encoder, "vocab_file")
    path = auxiliary_file(auxiliary, name, f"enc{encoder}_vocab_file")
    return make_tokenizer(hyperparameters, encoder, read_content(path), f"{path}")


def make_tokenizer(
    hyperparameters: Hyperparameters, encoder: int, data: bytes, file: str
) -> Tokenizer:
    """Returns the tokenizer of a side.

    Args:
        hyperparameters: The settings.
        encoder: 0 or 1.
        data: The content of the vocabulary file.
        file: Its name, for messages.

    Raises:
        UserError: The vocabulary does not fit the settings.
    """
    tokenization = tokenization_of(hyperparameters, encoder)
    tokenizer = Tokenizer(tokenization, data, file)
    limit = hyperparameters.of_encoder(encoder, "vocab_size")
    if tokenizer.vocab_size > limit:
        buckets = tokenization.num_oov_buckets
        with_buckets = f" with {buckets} buckets" if buckets else ""
        fix = f"Set it to {tokenizer.vocab_size} or leave it out."
        if tokenizer.vocab_size > MAX_VOCAB_SIZE:
            fix = f"Lower enc{encoder}_num_oov_buckets, or number the words from 0."
        raise UserError(
            f"enc{encoder}_vocab_size: expected at least {tokenizer.vocab_size} for "
            f"the ids in {file}{with_buckets}, got {limit}. {fix}"
        )
    return tokenizer


def tokenization_of(hyperparameters: Hyperparameters, encoder: int) -> Tokenization:
    """Returns how the text of a side is split into tokens.

    Args:
        hyperparameters: The settings.
        encoder: 0 or 1.
    """
    of_encoder = hyperparameters.of_encoder
    return Tokenization(
        of_encoder(encoder, "tokenizer"),
        of_encoder(encoder, "lowercase"),
        of_encoder(encoder, "unicode_normalization"),
        of_encoder(encoder, "num_oov_buckets"),
        hyperparameters.subwords(encoder),
    )


def shared_tokenizers(first: Tokenizer | None, second: Tokenizer | None) -> Tokenizers:
    """Returns the two tokenizers, as a single object if they are equal."""
    if (
        first
        and second
        and first.tokenization == second.tokenization
        and first.data == second.data
    ):
        second = first
    return first, second


def with_vocab_sizes(
    values: Mapping[str, Any], auxiliary: Source | None
) -> dict[str, Any]:
    """Returns settings with missing vocabulary sizes set to those of the files.

    Runs no TensorFlow op, since several workers have to be connected before the first.

    Args:
        values: Hyperparameters by name, typed or as strings.
        auxiliary: The channel with the vocabularies.

    Raises:
        UserError: A vocabulary is missing or damaged.
    """
    result = dict(values)
    for encoder in (0, 1):
        size, file = f"enc{encoder}_vocab_size", f"enc{encoder}_vocab_file"
        name = values.get(file)
        if not name or values.get(size) is not None:
            continue
        kind = values.get(f"enc{encoder}_tokenizer") or defaults()["enc0_tokenizer"]
        path = auxiliary_file(auxiliary, str(name), file)
        words = vocabulary_size(str(kind), read_content(path), f"{path}")
        result[size] = max(words + _num_oov_buckets(values, encoder), 2)
    return result


def _num_oov_buckets(values: Mapping[str, Any], encoder: int) -> int:
    """Returns a side's buckets; 0 for an invalid value, which is reported later."""
    value = values.get(f"enc{encoder}_num_oov_buckets")
    if value is None and values.get("enc1_network") in (None, "enc0"):
        value = values.get("enc0_num_oov_buckets")
    text = str(value)
    return int(text) if text.isdecimal() and len(text) < _MAX_DIGITS else 0
