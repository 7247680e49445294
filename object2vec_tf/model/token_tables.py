"""The token tables of `Object2Vec`: vectors and weights by token, and their start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.data.document_frequencies import (
    document_frequencies,
    inverse_document_frequencies,
)
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.layers.subword_embedding import SubwordEmbedding
from object2vec_tf.layers.table_placement import Table
from object2vec_tf.model.builders import token_embedding_of, token_weights_of
from object2vec_tf.model.table_names import named_tables
from object2vec_tf.ragged.column import Column
from object2vec_tf.text.tokenizer import Tokenizer
from object2vec_tf.text.tokenizer_loading import Tokenizers

Weights = npt.NDArray[np.float32]


def initial_log_weights(
    hyperparameters: Hyperparameters, pairs: Pairs, tokenizers: Tokenizers
) -> dict[int, Weights]:
    """Returns the logarithms of the token weights with which training starts.

    A weight is the token's inverse document frequency among the objects of its side; of
    both sides, if both have the same weights. A token that no object has keeps the
    weight 1, the lowest, if its vector says nothing: that of the unknown token, and
    that of a table of one side that was not pretrained. Words that only have n-grams
    share a weight, that of a word that no object has.

    Args:
        hyperparameters: The hyperparameters.
        pairs: The training pairs.
        tokenizers: The tokenizers of both sides.

    Returns:
        float32 ``[vocab_size, 1]``, with one row more for subwords, by encoder; only
        once if both have the same ones.
    """
    sides = [side for side in (0, 1) if hyperparameters.weights_tokens(side)]
    shared = hyperparameters.tied_token_embedding_weight and len(sides) == 2
    groups = [sides] if shared else [[side] for side in sides]
    columns = (pairs.in0, pairs.in1)
    return {
        group[0]: _log_weights(
            hyperparameters, tokenizers[group[0]], group, [columns[i] for i in group]
        )
        for group in groups
    }


def _log_weights(
    hyperparameters: Hyperparameters,
    tokenizer: Tokenizer | None,
    sides: Sequence[int],
    columns: list[Column],
) -> Weights:
    """Returns the logarithms of the initial token weights of sides that share them."""
    side = sides[0]
    has_subwords = hyperparameters.subwords(side) is not None
    frequencies = document_frequencies(
        columns, hyperparameters.of_encoder(side, "vocab_size")
    )
    if has_subwords:
        frequencies = np.append(frequencies, 0)
    weights = inverse_document_frequencies(frequencies, sum(map(len, columns)))
    if not (
        hyperparameters.tied_token_embedding_weight
        or hyperparameters.of_encoder(side, "pretrained_embedding_file")
        or has_subwords
    ):
        weights[frequencies == 0] = 1.0
    unknown = tokenizer.unknown_id if tokenizer else None
    if unknown is not None and frequencies[unknown] == 0:
        weights[unknown] = 1.0
    return np.log(weights).astype(np.float32)[:, np.newaxis]


class TokenTables:
    """The methods of `Object2Vec` that set the start of token tables.

    Attributes:
        hyperparameters: The model's hyperparameters.
        tokenizers: The model's tokenizers.
        enc0: The encoder of in0.
        enc1: The encoder of in1.
    """

    hyperparameters: Hyperparameters
    tokenizers: Tokenizers
    enc0: keras.Model
    enc1: keras.Model

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables of both encoders; one that they share occurs once."""
        return tuple(named_tables(self).values())

    @property
    def constants(self) -> tuple[tf.Variable, ...]:
        """Variables that are no weights, which the layers need."""
        layers = (*self.enc0.layers, *self.enc1.layers)
        found = [x for x in layers if isinstance(x, SubwordEmbedding)]
        return tuple(v for layer in dict.fromkeys(found) for v in layer.constants)

    def set_token_vectors(self, encoder: int, vectors: Any) -> None:
        """Sets the token vectors of an encoder, for instance to pretrained ones.

        Args:
            encoder: 0 or 1; they are the same if the tables are tied.
            vectors: float ``[vocab_size, token_embedding_dim]``.
        """
        token_embedding_of((self.enc0, self.enc1)[encoder]).table.assign(vectors)

    def adapt_token_weights(self, pairs: Pairs) -> None:
        """Sets the token weights of ``pooling=weighted`` before training.

        They become the inverse document frequencies of tokens, as scikit-learn's
        ``TfidfTransformer`` computes them; `object2vec_tf.fit` does the same. Without
        this call, all weights are 1 at first.

        Args:
            pairs: The training pairs, as `object2vec_tf.read_pairs` returns them.

        Raises:
            UserError: The model has no token weights.

        Example:
            >>> import object2vec_tf as o2v
            >>> hyperparameters = o2v.Hyperparameters(
            ...     enc0_network="pooled_embedding",
            ...     enc0_vocab_size=4,
            ...     enc0_max_seq_len=3,
            ...     enc_dim=4,
            ...     pooling="weighted",
            ... )
            >>> rows = [{"in0": [1, 2], "in1": [3], "label": 1}] * 9
            >>> pairs = o2v.read_pairs(
            ...     [*rows, {"in0": [2], "in1": [3], "label": 1}], hyperparameters
            ... )
            >>> model = o2v.Object2Vec(hyperparameters)
            >>> model.adapt_token_weights(pairs)
            >>> [round(float(weight), 4) for weight in model.token_weights(0)]
            [1.0, 1.0953, 1.0, 1.0]
        """
        self.set_log_weights(
            initial_log_weights(self._weighted(), pairs, self.tokenizers)
        )

    def set_log_weights(self, log_weights: dict[int, Weights]) -> None:
        """Sets the logarithms of token weights; see `initial_log_weights`."""
        for encoder, values in log_weights.items():
            if layer := token_weights_of((self.enc0, self.enc1)[encoder]):
                layer.table.assign(values)

    def token_weights(self, encoder: int) -> Weights:
        """Returns the token weights of an encoder, float32 ``[vocab_size]``.

        With subwords, there is one more, that of words outside of the vocabulary.

        Args:
            encoder: 0 or 1.

        Raises:
            UserError: It has none.
        """
        layer = token_weights_of((self.enc0, self.enc1)[encoder])
        if layer is None:
            self._weighted()
            raise UserError(
                f"encoder: expected one with token weights, got {encoder}, whose "
                f"network is {self.hyperparameters.network(encoder)}."
            )
        weights: Weights = np.exp(layer.table.values())[:, 0]
        return weights

    def _weighted(self) -> Hyperparameters:
        """Returns the hyperparameters of a model with token weights."""
        hp = self.hyperparameters
        if not any(map(hp.weights_tokens, (0, 1))):
            raise UserError(
                "pooling: expected weighted, with a pooled_embedding encoder, got "
                f"{hp.pooling}, with {hp.network(0)} and {hp.network(1)}. Such a model "
                "has no token weights."
            )
        return hp
