"""Builders of the functional Keras models: encoders, and comparator with MLP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import keras
import numpy as np

from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.layers.bilstm import StackedBiLSTM
from object2vec_tf.layers.comparator import Comparator
from object2vec_tf.layers.hcnn import HierarchicalCNN
from object2vec_tf.layers.pooled_embedding import PooledEmbedding
from object2vec_tf.layers.token_embedding import TokenEmbedding

# Scale of the initial token vectors of a pooled encoder, relative to other encoders.
# With the settings of AWS's MovieLens notebook, the loss on unseen pairs is 0.850 to
# 0.874 at a scale of 0.3, and 0.866 to 0.881 at 1.
_POOLED_SCALE = 0.3

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
    hyperparameters: Hyperparameters, encoder: int, seed: int
) -> TokenEmbedding:
    """Returns the token embedding of encoder 0 or 1."""
    tied = hyperparameters.tied_token_embedding_weight
    pooled = hyperparameters.network(encoder) == "pooled_embedding"
    scale = _POOLED_SCALE if pooled else 1.0
    return TokenEmbedding(
        hyperparameters.of_encoder(encoder, "vocab_size"),
        hyperparameters.of_encoder(encoder, "token_embedding_dim"),
        scale=scale * hyperparameters.token_embedding_init_scale,
        seed=seed,
        trainable=not hyperparameters.freezes(encoder),
        name="token_embedding" if tied else f"token_embedding{encoder}",
    )


def encoder_network(
    hyperparameters: Hyperparameters, encoder: int, tokens: TokenEmbedding, seed: int
) -> keras.Model:
    """Returns encoder 0 or 1.

    Args:
        hyperparameters: The hyperparameters.
        encoder: 0 or 1.
        tokens: The token embedding; tied encoders share one object.
        seed: Seed of initial weights and dropout.

    Returns:
        A functional model from ids, RaggedTensor ``[batch, (time)]``, to embeddings
        float ``[batch, enc_dim]``.
    """
    ids = keras.Input((None,), dtype="int64", ragged=True, name=f"in{encoder}")
    network = hyperparameters.network(encoder)
    layer = _ENCODERS[network](hyperparameters, encoder, seed)
    return keras.Model(ids, layer(tokens(ids)), name=f"enc{encoder}")


def _pooled(hp: Hyperparameters, encoder: int, seed: int) -> keras.layers.Layer:
    return PooledEmbedding(hp.dropout, seed, hp.pooling, name="pooled_embedding")


def _hcnn(hp: Hyperparameters, encoder: int, seed: int) -> keras.layers.Layer:
    return HierarchicalCNN(
        hp.enc_dim,
        int(hp.of_encoder(encoder, "layers")),
        hp.of_encoder(encoder, "cnn_filter_width"),
        hp.dropout,
        seed,
        name="hcnn",
    )


def _bilstm(hp: Hyperparameters, encoder: int, seed: int) -> keras.layers.Layer:
    layers = int(hp.of_encoder(encoder, "layers"))
    return StackedBiLSTM(hp.enc_dim, layers, hp.dropout, seed, name="bilstm")


_ENCODERS: Mapping[str, Callable[[Hyperparameters, int, int], keras.layers.Layer]] = {
    "pooled_embedding": _pooled,
    "hcnn": _hcnn,
    "bilstm": _bilstm,
}


def comparator_network(hyperparameters: Hyperparameters, seed: int) -> keras.Model:
    """Returns the comparator, followed by the MLP and the output layer.

    Returns:
        A functional model from two encodings, float ``[batch, enc_dim]`` each, to
        scores ``[batch, num_classes]`` (probabilities) or ``[batch, 1]`` (values).
    """
    encodings = [
        keras.Input((hyperparameters.enc_dim,), name=f"encoding{i}") for i in (0, 1)
    ]
    hidden = Comparator(hyperparameters.operators, name="compare")(encodings)
    for layer in range(hyperparameters.mlp_layers):
        hidden = keras.layers.Dense(
            hyperparameters.mlp_dim,
            hyperparameters.mlp_activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed + 2 * layer),
            name=f"mlp_{layer}",
        )(hidden)
        if hyperparameters.dropout:
            hidden = keras.layers.Dropout(
                hyperparameters.dropout, seed=seed + 2 * layer + 1, name=f"drop_{layer}"
            )(hidden)
    scores = keras.layers.Dense(
        hyperparameters.output_dim,
        kernel_initializer=keras.initializers.GlorotUniform(seed + _SEED_STRIDE - 1),
        name="output",
    )(hidden)
    if hyperparameters.output_layer == "softmax":
        scores = keras.layers.Softmax(name="softmax")(scores)
    return keras.Model(encodings, scores, name="comparator")
