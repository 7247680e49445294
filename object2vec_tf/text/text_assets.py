"""What a run knows of words: tokenizers, and pretrained token vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import xxhash

from object2vec_tf.errors import UserError
from object2vec_tf.files.channels import Source, open_file
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.text.pretrained_vectors import PretrainedVectors, read_vectors
from object2vec_tf.text.tokenizer_loading import (
    Tokenizers,
    auxiliary_file,
    read_tokenizers,
)
from object2vec_tf.text.vocabularies import parse_vocabulary


@dataclasses.dataclass(frozen=True)
class TextAssets:
    """What the auxiliary channel gives a run.

    Attributes:
        tokenizers: Of in0 and of in1; None for a side of ids.
        vectors: Pretrained token vectors by encoder, 0 or 1; of encoder 0 alone where
            the table is tied.
    """

    tokenizers: Tokenizers
    vectors: Mapping[int, PretrainedVectors]

    @property
    def fingerprints(self) -> dict[str, str]:
        """Digests of the vocabularies and vectors, by what they are."""
        vocabularies = {
            f"vocabulary of in{i}": tokenizer.fingerprint
            for i, tokenizer in enumerate(self.tokenizers)
            if tokenizer
        }
        vectors = {
            f"pretrained vectors of enc{i}": xxhash.xxh3_128_hexdigest(
                held.rows.tobytes()
            )
            for i, held in self.vectors.items()
        }
        return vocabularies | vectors


def read_text_assets(
    hyperparameters: Hyperparameters, auxiliary: Source | None, seed: int
) -> TextAssets:
    """Reads vocabularies and pretrained vectors.

    Args:
        hyperparameters: The settings that name them.
        auxiliary: The channel that holds them.
        seed: Of the vectors of words that have no pretrained one.

    Raises:
        UserError: A file is not there, or is not what it should be.
    """
    tokenizers = read_tokenizers(hyperparameters, auxiliary)
    vectors: dict[int, PretrainedVectors] = {}
    for encoder in (0,) if hyperparameters.tied_token_embedding_weight else (0, 1):
        if hyperparameters.of_encoder(encoder, "pretrained_embedding_file"):
            if 0 in vectors and _alike(hyperparameters):
                vectors[encoder] = vectors[0]
            else:
                vectors[encoder] = _read(hyperparameters, encoder, auxiliary, seed)
    return TextAssets(tokenizers, vectors)


def _alike(hyperparameters: Hyperparameters) -> bool:
    """Whether both encoders begin with the same vectors."""
    names = (
        "pretrained_embedding_file",
        "vocab_file",
        "vocab_size",
        "token_embedding_dim",
    )
    of_encoder = hyperparameters.of_encoder
    return all(of_encoder(1, name) == of_encoder(0, name) for name in names)


def _read(
    hyperparameters: Hyperparameters,
    encoder: int,
    auxiliary: Source | None,
    seed: int,
) -> PretrainedVectors:
    of_encoder = hyperparameters.of_encoder
    if of_encoder(encoder, "tokenizer") == "sentencepiece":
        raise UserError(
            f"enc{encoder}_pretrained_embedding_file: the pieces of sentencepiece have "
            f"no pretrained vectors; leave it out, or set enc{encoder}_tokenizer to "
            "another one"
        )
    setting = f"enc{encoder}_vocab_file"
    vocabulary = auxiliary_file(auxiliary, of_encoder(encoder, "vocab_file"), setting)
    with open_file(vocabulary) as file:
        words = parse_vocabulary(file.read(), str(vocabulary))
    size = of_encoder(encoder, "vocab_size")
    if max(words.values()) >= size:
        raise UserError(
            f"enc{encoder}_vocab_size: is {size}, and {vocabulary} has ids up to "
            f"{max(words.values())}; raise it, or leave it out"
        )
    setting = f"enc{encoder}_pretrained_embedding_file"
    path = auxiliary_file(
        auxiliary, of_encoder(encoder, "pretrained_embedding_file"), setting
    )
    width = f"enc{encoder}_token_embedding_dim"
    if hyperparameters.network(encoder) == "pooled_embedding":
        width = "enc_dim"
    return read_vectors(
        path,
        words,
        size,
        of_encoder(encoder, "token_embedding_dim"),
        setting=width,
        seed=seed,
    )
