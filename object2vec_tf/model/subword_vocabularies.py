"""Gives the words of the vocabularies to token embeddings with subwords."""

from __future__ import annotations

from collections.abc import Sequence

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.layers.subword_embedding import SubwordEmbedding
from object2vec_tf.layers.token_embedding import TokenEmbedding
from object2vec_tf.text.subwords import vocabulary_ngrams
from object2vec_tf.text.tokenizer_loading import Tokenizers


def set_vocabularies(
    tokens: Sequence[TokenEmbedding],
    hyperparameters: Hyperparameters,
    tokenizers: Tokenizers,
) -> None:
    """Sets the n-grams of the words of the vocabularies.

    Args:
        tokens: The token embeddings of enc0 and of enc1, which may be the same.
        hyperparameters: The model's.
        tokenizers: The model's. Embeddings of a side without a tokenizer stay as they
            are.

    Raises:
        UserError: A tokenizer has other subwords than the model.
    """
    done: set[SubwordEmbedding] = set()
    for encoder, (layer, tokenizer) in enumerate(zip(tokens, tokenizers, strict=True)):
        if tokenizer is None:
            continue
        expected = hyperparameters.subwords(encoder)
        given = tokenizer.tokenization.subwords
        if expected != given:
            raise UserError(
                f"tokenizers: expected one of in{encoder} with the subwords of the "
                f"hyperparameters, {expected}, got {given}. Create it with "
                "read_tokenizers(hyperparameters, auxiliary)."
            )
        if isinstance(layer, SubwordEmbedding) and layer not in done:
            ngrams = vocabulary_ngrams(tokenizer.vocabulary(), layer.subwords)
            layer.set_vocabulary(ngrams)
            done.add(layer)
