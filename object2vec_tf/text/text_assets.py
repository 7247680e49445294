"""The text assets of a run: tokenizers and pretrained token vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import xxhash

from object2vec_tf.errors import UserError
from object2vec_tf.files.channels import Source, channel_files
from object2vec_tf.files.file_content import read_content
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.text.pretrained_vectors import read_vectors
from object2vec_tf.text.tokenizer_loading import (
    Tokenizers,
    auxiliary_file,
    read_tokenizers,
)
from object2vec_tf.text.vector_table import PretrainedVectors
from object2vec_tf.text.vocabularies import parse_vocabulary

# The contents of vocabulary files of in0 and of in1.
IdWords = tuple[bytes | None, bytes | None]


@dataclasses.dataclass(frozen=True)
class TextAssets:
    """What a run reads from the auxiliary channel.

    Attributes:
        tokenizers: The tokenizers of in0 and in1; None for a side with ids.
        vectors: Pretrained token vectors by encoder, 0 or 1. Tied encoders have those
            of encoder 0 only.
        id_words: For each side of ids, the content of its vocabulary file, if it has
            one; None for other sides.
    """

    tokenizers: Tokenizers
    vectors: Mapping[int, PretrainedVectors]
    id_words: IdWords = (None, None)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Digests of the vocabularies and vectors, by description."""
        vocabularies = {
            f"vocabulary of in{i}": tokenizer.fingerprint
            for i, tokenizer in enumerate(self.tokenizers)
            if tokenizer
        }
        vectors = {
            f"pretrained vectors of enc{i}": xxhash.xxh3_128_hexdigest(
                vectors.rows.tobytes()
            )
            for i, vectors in self.vectors.items()
        }
        return vocabularies | vectors


def read_text_assets(
    hyperparameters: Hyperparameters, auxiliary: Source | None, seed: int
) -> TextAssets:
    """Reads vocabularies and pretrained vectors.

    Args:
        hyperparameters: Has the names of the files.
        auxiliary: The channel with the files.
        seed: Seed of the vectors of words without a pretrained vector.

    Raises:
        UserError: A file is missing or invalid.
    """
    tokenizers = read_tokenizers(hyperparameters, auxiliary)
    vectors: dict[int, PretrainedVectors] = {}
    for encoder in (0,) if hyperparameters.tied_token_embedding_weight else (0, 1):
        if hyperparameters.of_encoder(encoder, "pretrained_embedding_file"):
            if 0 in vectors and _have_same_vectors(hyperparameters):
                vectors[encoder] = vectors[0]
            else:
                vectors[encoder] = _read_encoder_vectors(
                    hyperparameters, encoder, auxiliary, seed
                )
    id_words = tuple(_read_id_words(hyperparameters, i, auxiliary) for i in (0, 1))
    return TextAssets(tokenizers, vectors, (id_words[0], id_words[1]))


def _read_id_words(
    hyperparameters: Hyperparameters, encoder: int, auxiliary: Source | None
) -> bytes | None:
    """Returns the vocabulary file of a side of ids, if the channel has it."""
    name = hyperparameters.of_encoder(encoder, "vocab_file")
    if not (name and auxiliary) or f"in{encoder}" in hyperparameters.texts:
        return None
    for path in channel_files(auxiliary, "auxiliary", by_name=True):
        if path.name == name:
            data = read_content(path)
            parse_vocabulary(data, f"{path}")
            return data
    return None


def _have_same_vectors(hyperparameters: Hyperparameters) -> bool:
    """Returns whether both encoders start with the same vectors."""
    names = (
        "pretrained_embedding_file",
        "vocab_file",
        "vocab_size",
        "token_embedding_dim",
    )
    of_encoder = hyperparameters.of_encoder
    return all(of_encoder(1, name) == of_encoder(0, name) for name in names)


def _read_encoder_vectors(
    hyperparameters: Hyperparameters,
    encoder: int,
    auxiliary: Source | None,
    seed: int,
) -> PretrainedVectors:
    of_encoder = hyperparameters.of_encoder
    vectors_setting = f"enc{encoder}_pretrained_embedding_file"
    if of_encoder(encoder, "tokenizer") == "sentencepiece":
        raise UserError(
            f"{vectors_setting}: expected a tokenizer with words, got sentencepiece, "
            f"whose pieces have no pretrained vectors. Set enc{encoder}_tokenizer to "
            f"another one, or leave {vectors_setting} out."
        )
    vocabulary = auxiliary_file(
        auxiliary, of_encoder(encoder, "vocab_file"), f"enc{encoder}_vocab_file"
    )
    words = parse_vocabulary(read_content(vocabulary), str(vocabulary))
    vocab_size = of_encoder(encoder, "vocab_size")
    if max(words.values()) >= vocab_size:
        raise UserError(
            f"enc{encoder}_vocab_size: expected at least {max(words.values()) + 1} for "
            f"the ids in {vocabulary}, got {vocab_size}. Raise it or leave it out."
        )
    path = auxiliary_file(
        auxiliary, of_encoder(encoder, "pretrained_embedding_file"), vectors_setting
    )
    is_pooled = hyperparameters.network(encoder) == "pooled_embedding"
    return read_vectors(
        path,
        words,
        vocab_size,
        of_encoder(encoder, "token_embedding_dim"),
        setting="enc_dim" if is_pooled else f"enc{encoder}_token_embedding_dim",
        seed=seed,
    )
