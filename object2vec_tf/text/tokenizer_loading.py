"""The auxiliary channel: vocabularies and what tokenizes by them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from object2vec_tf.errors import UserError
from object2vec_tf.files.channels import Source, channel_files, open_file
from object2vec_tf.hyperparameters import Hyperparameters, defaults
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer

# Of in0 and of in1; None where the side holds ids.
Tokenizers = tuple[Tokenizer | None, Tokenizer | None]


def auxiliary_file(auxiliary: Source | None, name: str, setting: str) -> Path:
    """Returns the path of a file of the auxiliary channel.

    Args:
        auxiliary: The channel: a directory, files, globs.
        name: The file's name.
        setting: The hyperparameter that gives it, for messages.

    Raises:
        UserError: There is no such file, or no channel.
    """
    if not auxiliary:
        raise UserError(
            f"{setting}: {name!r} is looked for in the auxiliary channel, and there is "
            "none; give --auxiliary=DIRECTORY"
        )
    files = channel_files(auxiliary, "auxiliary")
    for path in files:
        if path.name == name:
            return path
    held = ", ".join(sorted(path.name for path in files)[:5])
    raise UserError(
        f"{setting}: {name!r} is not in the auxiliary channel, which holds {held}; "
        "put it there, or mend the name"
    )


def read_tokenizers(
    hyperparameters: Hyperparameters, auxiliary: Source | None
) -> Tokenizers:
    """Returns the tokenizers of in0 and in1, with their vocabularies.

    Args:
        hyperparameters: ``encX_tokenizer``, ``encX_vocab_file`` and how text is
            normalized.
        auxiliary: The channel that holds the vocabularies.

    Returns:
        One object for both sides where they tokenize alike; None for a side of ids.

    Raises:
        UserError: A vocabulary is not there, damaged, or has ids that
            ``encX_vocab_size`` does not allow.
    """
    first, second = (_tokenizer(hyperparameters, i, auxiliary) for i in (0, 1))
    return shared(first, second)


def _tokenizer(
    hyperparameters: Hyperparameters, encoder: int, auxiliary: Source | None
) -> Tokenizer | None:
    if f"in{encoder}" not in hyperparameters.texts:
        return None
    name = hyperparameters.of_encoder(encoder, "vocab_file")
    path = auxiliary_file(auxiliary, name, f"enc{encoder}_vocab_file")
    return make_tokenizer(hyperparameters, encoder, _read(path), str(path))


def make_tokenizer(
    hyperparameters: Hyperparameters, encoder: int, data: bytes, file: str
) -> Tokenizer:
    """Returns the tokenizer of a side.

    Args:
        hyperparameters: The settings.
        encoder: 0 or 1.
        data: What the vocabulary's file holds.
        file: Its name, for messages.

    Raises:
        UserError: It does not fit the settings.
    """
    of_encoder = hyperparameters.of_encoder
    tokenization = Tokenization(
        of_encoder(encoder, "tokenizer"),
        of_encoder(encoder, "lowercase"),
        of_encoder(encoder, "unicode_normalization"),
        of_encoder(encoder, "num_oov_buckets"),
    )
    tokenizer = Tokenizer(tokenization, data, file)
    limit = of_encoder(encoder, "vocab_size")
    if tokenizer.vocab_size > limit:
        buckets = tokenization.num_oov_buckets
        more = f" with {buckets} buckets" if buckets else ""
        raise UserError(
            f"enc{encoder}_vocab_size: is {limit}, and {file}{more} has ids up to "
            f"{tokenizer.vocab_size - 1}; set it to {tokenizer.vocab_size}, or leave "
            "it out"
        )
    return tokenizer


def shared(first: Tokenizer | None, second: Tokenizer | None) -> Tokenizers:
    """Returns two tokenizers, the first one twice where they are alike."""
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
    """Returns settings to which those vocabulary sizes are added that files tell.

    Args:
        values: Hyperparameters by name, typed or as strings.
        auxiliary: The channel that holds the vocabularies.

    Raises:
        UserError: A vocabulary is not there, or damaged.
    """
    complete = dict(values)
    for encoder in (0, 1):
        size, file = f"enc{encoder}_vocab_size", f"enc{encoder}_vocab_file"
        name = values.get(file)
        if not name or values.get(size) is not None:
            continue
        kind = values.get(f"enc{encoder}_tokenizer") or defaults()["enc0_tokenizer"]
        path = auxiliary_file(auxiliary, str(name), file)
        tokenization = Tokenization("whitespace" if kind == "none" else str(kind))
        held = Tokenizer(tokenization, _read(path), str(path)).vocab_size
        complete[size] = held + _buckets(values, encoder)
    return complete


def _buckets(values: Mapping[str, Any], encoder: int) -> int:
    """Returns how many a side has; a value that is no number is told later."""
    given = values.get(f"enc{encoder}_num_oov_buckets")
    if given is None and values.get("enc1_network") in (None, "enc0"):
        given = values.get("enc0_num_oov_buckets")
    return int(str(given)) if str(given).isdigit() else 0


def _read(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read()
