"""Builders of the functional Keras models: encoders, and comparator with MLP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import keras
import numpy as np

from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.layers.bilstm import StackedBiLSTM
from object2vec_tf.layers.comparator import Comparator
from object2vec_tf.layers.hcnn import HierarchicalCNN
from object2vec_tf.layers.object_ids import ObjectIds
from object2vec_tf.layers.pooled_embedding import PooledEmbedding
from object2vec_tf.layers.precision import full_policy
from object2vec_tf.layers.ragged_encoder import RaggedEncoder
from object2vec_tf.layers.subword_embedding import SubwordEmbedding
from object2vec_tf.layers.table_placement import WHOLE_TABLES, Table, TablePlacement
from object2vec_tf.layers.token_embedding import TokenEmbedding
from object2vec_tf.layers.token_weights import TokenWeights
from object2vec_tf.model.encoder import Encoder

# Scale of the initial token vectors of a pooled encoder, relative to other encoders.
# With the settings of AWS's MovieLens notebook, the loss on unseen pairs is 0.850 to
# 0.874 at a scale of 0.3, and 0.866 to 0.881 at 1.
_POOLED_SCALE = 0.3

Layer: TypeAlias = keras.layers.Layer
Policy: TypeAlias = keras.DTypePolicy | None

# Distance between the seeds of two layers: a layer uses several seeds from its own on.
_SEED_STRIDE = 1000


def layer_seeds(seed: int) -> Iterator[int]:
    """Yields a seed for each layer, all determined by one number."""
    start = int(np.random.SeedSequence(seed).generate_state(1)[0]) // 4
    layer = 0
    while True:
        yield start + layer * _SEED_STRIDE
        layer += 1


def token_embedding(
    hyperparameters: Hyperparameters,
    encoder: int,
    seed: int,
    policy: Policy = None,
    placement: TablePlacement = WHOLE_TABLES,
) -> TokenEmbedding:
    """Returns the token embedding of encoder 0 or 1.

    Args:
        hyperparameters: The hyperparameters.
        encoder: 0 or 1.
        seed: Seed of the initial vectors.
        policy: The model's policy of types; by default Keras's global one.
        placement: Where the vectors are kept.
    """
    tied = hyperparameters.tied_token_embedding_weight
    pooled = hyperparameters.network(encoder) == "pooled_embedding"
    scale = _POOLED_SCALE if pooled else 1.0
    size = (
        hyperparameters.of_encoder(encoder, "vocab_size"),
        hyperparameters.of_encoder(encoder, "token_embedding_dim"),
    )
    options: dict[str, Any] = {
        "scale": scale * hyperparameters.token_embedding_init_scale,
        "seed": seed,
        # A table that both encoders share returns the same to both.
        "returns_ids": any(
            hyperparameters.weights_tokens(side)
            for side in ((0, 1) if tied else (encoder,))
        ),
        "placement": placement,
        "dtype": policy,
        "name": "token_embedding" if tied else f"token_embedding{encoder}",
    }
    is_trained = not hyperparameters.freezes(encoder)
    subwords = hyperparameters.subwords(encoder)
    if subwords is None:
        return TokenEmbedding(*size, trainable=is_trained, **options)
    return SubwordEmbedding(
        *size,
        shortest=subwords.shortest,
        longest=subwords.longest,
        buckets=subwords.buckets,
        trains_words=is_trained,
        **options,
    )


def with_small_tables(hyperparameters: Hyperparameters) -> dict[str, Any]:
    """Returns the settings of a model of the same layers, with tiny token tables."""
    settings = hyperparameters.to_dict()
    for encoder in (0, 1):
        settings[f"enc{encoder}_vocab_size"] = 2
        if hyperparameters.subwords(encoder) is not None:
            settings[f"enc{encoder}_subword_buckets"] = 1
    return settings


def token_embedding_of(encoder: keras.Model) -> TokenEmbedding:
    """Returns the token embedding of a functional model that `encoder_network` made."""
    return next(x for x in encoder.layers if isinstance(x, TokenEmbedding))


def token_weights_of(encoder: keras.Model) -> TokenWeights | None:
    """Returns the token weights of such a model; None if its pooling has none."""
    found = (x for x in encoder.layers if isinstance(x, TokenWeights))
    return next(found, None)


def tables_of(encoder: keras.Model) -> dict[str, Table]:
    """Returns the tables by token and by n-gram of such a model, by attribute."""
    tokens, weights = token_embedding_of(encoder), token_weights_of(encoder)
    tables = {"embeddings": tokens.table}
    if isinstance(tokens, SubwordEmbedding):
        tables["ngrams"] = tokens.ngram_table
    if weights:
        tables["log_weights"] = weights.table
    return tables


def token_tables_of(encoder: keras.Model) -> dict[str, keras.Variable]:
    """Returns the variables of the `tables_of` a model that has all their rows."""
    tables = {name: table.variable for name, table in tables_of(encoder).items()}
    return {name: table for name, table in tables.items() if table is not None}


def token_weights(
    hyperparameters: Hyperparameters,
    policy: Policy = None,
    placement: TablePlacement = WHOLE_TABLES,
) -> tuple[TokenWeights | None, TokenWeights | None]:
    """Returns the token weights of both encoders; None for one without.

    Two pooled encoders that share their token embedding share its weights too.

    Args:
        hyperparameters: The hyperparameters.
        policy: The model's policy of types; by default Keras's global one.
        placement: Where the weights are kept.
    """
    first, second = (
        TokenWeights(
            hyperparameters.of_encoder(encoder, "vocab_size"),
            weights_unseen=hyperparameters.subwords(encoder) is not None,
            squares=hyperparameters.pooling == "weighted_sqrtn",
            placement=placement,
            dtype=policy,
            name=f"token_weights{encoder}",
        )
        if hyperparameters.weights_tokens(encoder)
        else None
        for encoder in (0, 1)
    )
    if first and second and hyperparameters.tied_token_embedding_weight:
        return first, first
    return first, second


def encoder_network(
    hyperparameters: Hyperparameters,
    encoder: int,
    tokens: TokenEmbedding,
    seed: int,
    policy: Policy = None,
    weights: TokenWeights | None = None,
    layer: Layer | None = None,
) -> keras.Model:
    """Returns encoder 0 or 1.

    Args:
        hyperparameters: The hyperparameters.
        encoder: 0 or 1.
        tokens: The token embedding; tied encoders share one object.
        seed: Seed of initial weights and dropout.
        policy: The model's policy of types; by default Keras's global one.
        weights: The token weights, which tied encoders share too; None without.
        layer: The layer that encodes the token vectors, with its weights, of another
            encoder; a new one by default.

    Returns:
        A functional model from ids, RaggedTensor ``[batch, (time)]``, to embeddings
        float32 ``[batch, enc_dim]``.
    """
    inputs = keras.Input((None,), dtype="int64", ragged=True, name=f"in{encoder}")
    limits = hyperparameters.id_limits(encoder)
    ids = ObjectIds(
        limits.size,
        limits.max_len,
        inputs.name,
        limits.continued_from,
        name="object_ids",
        dtype=policy,
    )(inputs)
    network = hyperparameters.network(encoder)
    layer = layer or _ENCODERS[network](hyperparameters, encoder, seed, policy)
    found = tokens(ids)
    found = weights(found) if weights else found[:2]
    model = Encoder(inputs, layer(found), name=f"enc{encoder}")
    return _with_policy(model, policy)


def encoding_layer(encoder: keras.Model) -> RaggedEncoder:
    """Returns the layer of an encoder that encodes token vectors."""
    (layer,) = (each for each in encoder.layers if isinstance(each, RaggedEncoder))
    return layer


def _with_policy(model: keras.Model, policy: Policy) -> keras.Model:
    """Sets the policy of a functional model, which Keras's constructor cannot do."""
    if policy is not None:
        model.dtype_policy = policy
    return model


def _pooled(hp: Hyperparameters, encoder: int, seed: int, policy: Policy) -> Layer:
    return PooledEmbedding(
        hp.dropout,
        seed,
        hp.pooling,
        hp.repeated_tokens,
        hp.token_dropout,
        dtype=policy,
        name="pooled_embedding",
    )


def _hcnn(hp: Hyperparameters, encoder: int, seed: int, policy: Policy) -> Layer:
    return HierarchicalCNN(
        hp.enc_dim,
        int(hp.of_encoder(encoder, "layers")),
        hp.of_encoder(encoder, "cnn_filter_width"),
        hp.dropout,
        seed,
        dtype=policy,
        name="hcnn",
    )


def _bilstm(hp: Hyperparameters, encoder: int, seed: int, policy: Policy) -> Layer:
    layers = int(hp.of_encoder(encoder, "layers"))
    return StackedBiLSTM(
        hp.enc_dim, layers, hp.dropout, seed, dtype=policy, name="bilstm"
    )


_ENCODERS: Mapping[str, Callable[[Hyperparameters, int, int, Policy], Layer]] = {
    "pooled_embedding": _pooled,
    "hcnn": _hcnn,
    "bilstm": _bilstm,
}


def comparator_network(
    hyperparameters: Hyperparameters, seed: int, policy: Policy = None
) -> keras.Model:
    """Returns the comparator, followed by the MLP and the output layer.

    Under a mixed policy, only the MLP has 16 bits.

    Args:
        hyperparameters: The hyperparameters.
        seed: Seed of initial weights and dropout.
        policy: The model's policy of types; by default Keras's global one.

    Returns:
        A functional model from two encodings, float ``[batch, enc_dim]`` each, to
        scores ``[batch, num_classes]`` (probabilities) or ``[batch, 1]`` (values).
    """
    encodings = [
        keras.Input((hyperparameters.enc_dim,), name=f"encoding{i}") for i in (0, 1)
    ]
    policy = policy or keras.config.dtype_policy()
    hidden = Comparator(hyperparameters.operators, dtype=policy, name="compare")(
        encodings
    )
    for layer in range(hyperparameters.mlp_layers):
        hidden = keras.layers.Dense(
            hyperparameters.mlp_dim,
            hyperparameters.mlp_activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed + 2 * layer),
            dtype=policy,
            name=f"mlp_{layer}",
        )(hidden)
        if hyperparameters.dropout:
            hidden = keras.layers.Dropout(
                hyperparameters.dropout,
                seed=seed + 2 * layer + 1,
                dtype=policy,
                name=f"drop_{layer}",
            )(hidden)
    scores = keras.layers.Dense(
        hyperparameters.output_dim,
        kernel_initializer=keras.initializers.GlorotUniform(seed + _SEED_STRIDE - 1),
        dtype=full_policy(policy),
        name="output",
    )(hidden)
    if hyperparameters.output_layer == "softmax":
        scores = keras.layers.Softmax(dtype=full_policy(policy), name="softmax")(scores)
    return _with_policy(keras.Model(encodings, scores, name="comparator"), policy)
