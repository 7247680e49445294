"""Chooses the static layout of a model's batches."""

from __future__ import annotations

from object2vec_tf.data.negative_settings import NegativeSettings
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.static_layout import Layout, SideLayout

# Cells per chunk. On average, half a chunk after each row is empty, which costs hcnn a
# convolution of these cells. The loop of bilstm compiles once for each number of chunks
# of the longest row, and wide chunks have fewer.
_WIDTH = 4
_BILSTM_WIDTH = 8


def layout_of(hyperparameters: Hyperparameters, *, shuffle: bool) -> Layout:
    """Returns the layout of the batches of a model.

    Args:
        hyperparameters: The hyperparameters.
        shuffle: Whether the batches are shuffled ones, for training; see
            `Pairs.dataset`.

    Example:
        >>> from object2vec_tf import Hyperparameters
        >>> hyperparameters = Hyperparameters(
        ...     enc0_network="hcnn", enc0_vocab_size=9, enc0_max_seq_len=50,
        ...     enc1_network="pooled_embedding", enc1_vocab_size=5, enc1_max_seq_len=1,
        ... )
        >>> layout = layout_of(hyperparameters, shuffle=True)
        >>> layout.sides
        (SideLayout(width=4, gap=1), SideLayout(width=1, gap=0))
    """
    negatives = NegativeSettings.of(hyperparameters)
    return Layout(
        sides=(_side(hyperparameters, 0), _side(hyperparameters, 1)),
        tied=hyperparameters.tied_token_embedding_weight,
        vocab_sizes=(hyperparameters.enc0_vocab_size, hyperparameters.enc1_vocab_size),
        real_labels=hyperparameters.output_layer != "softmax",
        negatives=negatives.rate if shuffle and negatives.draws else 0,
        lists_known=negatives.compares_objects(shuffle),
        has_frequencies=hyperparameters.needs_frequencies and shuffle,
    )


def _side(hyperparameters: Hyperparameters, encoder: int) -> SideLayout:
    network = hyperparameters.network(encoder)
    if network == "pooled_embedding":
        is_single = hyperparameters.of_encoder(encoder, "max_seq_len") == 1
        return SideLayout(1 if is_single else _WIDTH)
    if network == "bilstm":
        return SideLayout(_BILSTM_WIDTH)
    gap = hyperparameters.of_encoder(encoder, "cnn_filter_width") // 2
    return SideLayout(max(_WIDTH, gap), gap)
