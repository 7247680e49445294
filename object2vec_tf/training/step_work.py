"""The work of a training step, estimated from hyperparameters by hand formulas."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import tensorflow as tf

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.training.memory import TABLE_SLOTS

# What a GPU of 2022 reaches in such steps, below its peaks: products in float32 or
# TF32 per second, and bytes moved per second.
_FLOPS_PER_SECOND = 2e13
_BYTES_PER_SECOND = 2e12
# A GPU launches the kernels of a step in several times this time.
_SMALL_SECONDS = 2e-5

_SMALL_STEP = "a step of this model is small: a CPU may be as fast (--device=cpu)"

_FLOAT_BYTES = 4
# Values that an optimizer keeps for each weight that is not in a table.
_SLOTS = TABLE_SLOTS | {"rowwise_adagrad": 1}
# A backward pass computes the gradients of inputs and of weights.
_PASSES = 3


@dataclasses.dataclass(frozen=True)
class StepWork:
    """The work of a training step.

    Attributes:
        flops: Floating-point operations of the products; a multiplication and an
            addition are two.
        bytes: Bytes of weights, of their slots and of token vectors that are read or
            written.
    """

    flops: float
    bytes: float

    @property
    def gpu_seconds(self) -> float:
        """The time that a GPU needs for it, without launching kernels."""
        return self.flops / _FLOPS_PER_SECOND + self.bytes / _BYTES_PER_SECOND

    @property
    def is_small(self) -> bool:
        """Whether a GPU spends most of a step's time on launching kernels."""
        return self.gpu_seconds < _SMALL_SECONDS


def step_work(
    hyperparameters: Hyperparameters,
    lengths: tuple[float, float],
    batch_size: int | None = None,
) -> StepWork:
    """Returns the work of a training step.

    Args:
        hyperparameters: The hyperparameters.
        lengths: Mean number of tokens of in0 and of in1.
        batch_size: Pairs per step; ``mini_batch_size`` by default.

    Example:
        >>> from object2vec_tf import Hyperparameters
        >>> small = Hyperparameters(
        ...     enc0_network="pooled_embedding", enc0_vocab_size=944,
        ...     enc0_max_seq_len=1, enc_dim=64, mlp_dim=256, mini_batch_size=64,
        ... )
        >>> step_work(small, (1, 1)).is_small
        True
    """
    hp = hyperparameters
    batch = batch_size or hp.mini_batch_size
    pairs = batch * (1 + hp.negative_sampling_rate)
    dense = [*_encoder_weights(hp), *_comparator_weights(hp)]
    flops = 2.0 * pairs * sum(_comparator_weights(hp))
    for encoder, length in enumerate(lengths):
        flops += 2.0 * batch * length * sum(_layer_weights(hp, encoder))
    if hp.objective == "in_batch_softmax":
        flops += 2.0 * batch * batch * hp.enc_dim
    # Weights and slots are read and written; gradients are written and read.
    size: float = 2 * (2 + _SLOTS[hp.optimizer]) * sum(dense)
    traffic = 2 * (2 + TABLE_SLOTS[hp.optimizer])
    size += _table_values(hp, lengths, batch, traffic)
    return StepWork(_PASSES * flops, float(_FLOAT_BYTES * size))


def mean_lengths(pairs: Pairs) -> tuple[float, float]:
    """Returns the mean number of tokens of in0 and of in1."""
    count = max(len(pairs), 1)
    return pairs.in0.tokens / count, pairs.in1.tokens / count


def small_step_message(pairs: Pairs) -> str | None:
    """Returns a hint for users of a GPU that is faster than the model needs.

    Args:
        pairs: The pairs to train on.

    Returns:
        None if no GPU is used, or if it has enough to do.
    """
    if not tf.config.get_visible_devices("GPU"):
        return None
    work = step_work(pairs.hyperparameters, mean_lengths(pairs))
    return _SMALL_STEP if work.is_small else None


def _layer_weights(hp: Hyperparameters, encoder: int) -> Iterator[int]:
    """Yields the weights of an encoder that multiply each token, by layer."""
    network = hp.network(encoder)
    if network == "pooled_embedding":
        return
    layers = int(hp.of_encoder(encoder, "layers"))
    width = hp.of_encoder(encoder, "token_embedding_dim")
    for _ in range(layers):
        if network == "hcnn":
            filters = hp.enc_dim // layers
            yield hp.of_encoder(encoder, "cnn_filter_width") * width * filters
            width = filters
        else:
            units = hp.enc_dim // 2
            yield 2 * 4 * units * (width + units)
            width = hp.enc_dim


def _encoder_weights(hp: Hyperparameters) -> Iterator[int]:
    for encoder in (0,) if hp.tied_encoders else (0, 1):
        yield from _layer_weights(hp, encoder)


def _comparator_weights(hp: Hyperparameters) -> Iterator[int]:
    """Yields the weights of the MLP and of the output layer."""
    width = hp.enc_dim * (len(hp.operators) + ("concat" in hp.operators))
    for _ in range(hp.mlp_layers):
        yield width * hp.mlp_dim
        width = hp.mlp_dim
    yield width * hp.output_dim


def _table_values(
    hp: Hyperparameters, lengths: tuple[float, float], batch: int, traffic: int
) -> float:
    """Returns the number of values of token vectors that a step reads or writes."""
    values, words, used = 0.0, 0.0, 0.0
    for encoder, length in enumerate(lengths):
        if not hp.tied_token_embedding_weight:
            words, used = 0.0, 0.0
        tokens = batch * length
        vocab_size = hp.of_encoder(encoder, "vocab_size")
        width = hp.of_encoder(encoder, "token_embedding_dim")
        # Each token's vector is read, and its gradient written.
        values += 2 * tokens * width
        rows = words = min(words + tokens, vocab_size)
        # Each of a word's n-grams is read too; a word has about four of each length.
        if subwords := hp.subwords(encoder):
            lengths_of_ngrams = subwords.longest - subwords.shortest + 1
            rows += min(4 * lengths_of_ngrams * words, subwords.buckets)
            vocab_size += subwords.buckets
        if hp.token_embedding_storage_type == "dense":
            rows = vocab_size
        values += traffic * (rows - used) * width
        used = rows
    return values
