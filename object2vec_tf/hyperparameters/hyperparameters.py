"""The public class `Hyperparameters`: every setting of a model and its training."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from object2vec_tf.hyperparameters import choices
from object2vec_tf.hyperparameters.completion import effective_values
from object2vec_tf.hyperparameters.json_file import read_json, without_platform_entries
from object2vec_tf.hyperparameters.rules import skip_warnings_of_saved
from object2vec_tf.hyperparameters.specification import SPECIFICATIONS, Specification
from object2vec_tf.hyperparameters.subwords import ngram_lengths
from object2vec_tf.ragged.token_ids import IdLimits, SubwordIds

# Name of the loss of the in-batch softmax in metrics and log lines.
IN_BATCH_LOSS = "in_batch_cross_entropy"


# What hyperparameters mean for runs and models that were saved without them.
FORMER_VALUES: Mapping[str, Any] = {
    "negative_exclude_known": False,
    "object_key": "tokens",
    "enc0_subword_buckets": 0,
    "enc0_subword_ngrams": "",
    "enc1_subword_buckets": 0,
    "enc1_subword_ngrams": "",
    "repeated_tokens": "count",
    "tied_encoders": False,
    "token_dropout": 0.0,
}


class _Enc0Value:
    """Default of what is required unless enc1 copies enc0."""

    def __repr__(self) -> str:
        return "<value of enc0>"


_ENC0_VALUE: Any = _Enc0Value()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """The settings of one model and its training, validated and complete.

    Values may be typed or strings. After construction, every attribute has the
    effective value, typed. ``enc1_*`` values that are not given are copied from enc0 if
    ``enc1_network`` is ``enc0``; otherwise they have the defaults below, and
    ``enc1_max_seq_len`` and ``enc1_vocab_size`` are required.

    Raises:
        HyperparameterError: A ``ValueError`` that names every hyperparameter that is
            missing, unknown, out of range or inconsistent with another one.

    Source: Amazon SageMaker developer guide, Object2Vec hyperparameters.

    Example:
        >>> import object2vec_tf as o2v
        >>> hyperparameters = o2v.Hyperparameters(
        ...     enc0_max_seq_len=50, enc0_vocab_size=5000, enc0_network="bilstm"
        ... )
        >>> hyperparameters.enc1_vocab_size, hyperparameters.enc1_layers
        (5000, 1)
        >>> hyperparameters.learning_rate
        0.0004
    """

    enc0_max_seq_len: int
    enc0_vocab_size: int
    enc1_max_seq_len: int = _ENC0_VALUE
    enc1_vocab_size: int = _ENC0_VALUE
    bucket_width: int = 0
    comparator_list: str = "hadamard, concat, abs_diff"
    dropout: float = 0.0
    early_stopping_patience: int = 3
    early_stopping_tolerance: float = 0.01
    enc_dim: int = 4096
    enc0_network: choices.Network = "hcnn"
    enc1_network: choices.Enc1Network = "enc0"
    enc0_cnn_filter_width: int = 3
    enc1_cnn_filter_width: int = 3
    enc0_freeze_pretrained_embedding: bool = True
    enc1_freeze_pretrained_embedding: bool = True
    enc0_layers: int | Literal["auto"] = "auto"
    enc1_layers: int | Literal["auto"] = "auto"
    enc0_pretrained_embedding_file: str = ""
    enc1_pretrained_embedding_file: str = ""
    enc0_token_embedding_dim: int = 300
    enc1_token_embedding_dim: int = 300
    enc0_vocab_file: str = ""
    enc1_vocab_file: str = ""
    enc0_tokenizer: choices.Tokenizer = "none"
    enc1_tokenizer: choices.Tokenizer = "none"
    enc0_lowercase: bool = False
    enc1_lowercase: bool = False
    enc0_unicode_normalization: choices.UnicodeNormalization = "none"
    enc1_unicode_normalization: choices.UnicodeNormalization = "none"
    enc0_num_oov_buckets: int = 0
    enc1_num_oov_buckets: int = 0
    enc0_subword_ngrams: str = ""
    enc1_subword_ngrams: str = ""
    enc0_subword_buckets: int = 0
    enc1_subword_buckets: int = 0
    epochs: int = 30
    learning_rate: float = 0.0004
    mini_batch_size: int = 32
    mlp_activation: choices.Activation = "linear"
    mlp_dim: int = 512
    mlp_layers: int = 2
    negative_sampling_rate: int = 0
    num_classes: int = 2
    optimizer: choices.Optimizer = "adam"
    output_layer: choices.OutputLayer = "softmax"
    tied_token_embedding_weight: bool = False
    token_embedding_init_scale: float = 1.0
    token_embedding_storage_type: choices.StorageType = "dense"
    weight_decay: float = 0.0
    objective: choices.Objective = "pairs"
    in_batch_similarity: choices.Similarity = "cosine"
    in_batch_direction: choices.Direction = "both"
    temperature: float = 0.05
    learn_temperature: bool = False
    popularity_correction: bool = False
    negative_mining: choices.NegativeMining = "random"
    negative_frequency_power: float = 1.0
    negative_exclude_known: bool = True
    object_key: choices.ObjectKey = "tokens"
    pooling: choices.Pooling = "mean"
    repeated_tokens: choices.RepeatedTokens = "count"
    token_dropout: float = 0.0
    label_smoothing: float = 0.0
    learning_rate_warmup_epochs: float = 0.0
    learning_rate_decay: choices.Decay = "none"
    tied_encoders: bool = False

    if not TYPE_CHECKING:
        # Type checkers and editors see the constructor that the fields define. The
        # real one takes any keyword, so that misspelled, missing and invalid values
        # are reported together, and so that a default that was passed differs from a
        # value that was not.
        def __init__(self, **values: Any) -> None:
            effective = effective_values(values, specifications(), defaults())
            for name, value in effective.items():
                object.__setattr__(self, name, value)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Hyperparameters:
        """Builds from a mapping that may contain SageMaker's own entries.

        Args:
            values: Name to value, typed or as a string. Names that start with an
                underscore (``_kvstore``, ``_num_gpus``, ...) belong to the platform and
                are ignored, and so are values of None.
        """
        return cls(**without_platform_entries(values))

    @classmethod
    def from_saved(cls, values: Mapping[str, Any]) -> Hyperparameters:
        """Builds those of a saved model, without the warnings that its training showed.

        Args:
            values: The values of `to_dict`.
        """
        skip_warnings_of_saved(values)
        return cls.from_mapping(values)

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Hyperparameters:
        """Reads a ``hyperparameters.json``: SageMaker's (all strings) or a run's."""
        return cls.from_mapping(read_json(path))

    def to_dict(self) -> dict[str, Any]:
        """Returns every effective value, typed, by name."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Returns the text of a ``hyperparameters.json``."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @property
    def operators(self) -> tuple[str, ...]:
        """The comparator's operators, in order."""
        return tuple(self.comparator_list.split(", "))

    @property
    def loss_name(self) -> str:
        """Name of the training loss in metrics and log lines."""
        if self.objective == "in_batch_softmax":
            return IN_BATCH_LOSS
        return "cross_entropy" if self.output_layer == "softmax" else self.output_layer

    @property
    def needs_frequencies(self) -> bool:
        """Whether training needs the frequencies of objects in the train channel."""
        return self.popularity_correction or (
            self.negative_sampling_rate > 0 and self.negative_frequency_power < 1
        )

    @property
    def output_dim(self) -> int:
        """Number of outputs for each pair."""
        return self.num_classes if self.output_layer == "softmax" else 1

    def network(self, encoder: int) -> str:
        """Returns the network of encoder 0 or 1, with ``enc0`` resolved."""
        if encoder == 1 and self.enc1_network != "enc0":
            return self.enc1_network
        return self.enc0_network

    @property
    def texts(self) -> tuple[str, ...]:
        """Those of the inputs in0 and in1 that have a tokenizer."""
        return tuple(
            f"in{i}" for i in (0, 1) if self.of_encoder(i, "tokenizer") != "none"
        )

    @property
    def external_ids(self) -> tuple[str, ...]:
        """Those of the inputs in0 and in1 that contain ids of any kind."""
        return tuple(
            f"in{i}" for i in (0, 1) if self.of_encoder(i, "tokenizer") == "id"
        )

    def freezes(self, encoder: int) -> bool:
        """Whether an encoder has pretrained token embeddings that are not trained."""
        return bool(
            self.of_encoder(encoder, "pretrained_embedding_file")
            and self.of_encoder(encoder, "freeze_pretrained_embedding")
        )

    def subwords(self, encoder: int) -> SubwordIds | None:
        """Returns the n-grams of an encoder's words; None without subwords."""
        ngrams = self.of_encoder(encoder, "subword_ngrams")
        if not ngrams:
            return None
        shortest, longest = ngram_lengths(ngrams)
        return SubwordIds(
            self.of_encoder(encoder, "vocab_size"),
            shortest,
            longest,
            self.of_encoder(encoder, "subword_buckets"),
        )

    def id_limits(self, encoder: int) -> IdLimits:
        """Returns the limits of the objects of in0 or in1."""
        max_len = int(self.of_encoder(encoder, "max_seq_len"))
        subwords = self.subwords(encoder)
        if subwords is None:
            return IdLimits(int(self.of_encoder(encoder, "vocab_size")), max_len)
        return IdLimits(subwords.size, max_len, subwords.continued_from)

    def weights_tokens(self, encoder: int) -> bool:
        """Whether an encoder has a learned weight for each token."""
        is_pooled = self.network(encoder) == "pooled_embedding"
        return is_pooled and self.pooling in choices.WEIGHTED

    def of_encoder(self, encoder: int, name: str) -> Any:
        """Returns a value of encoder 0 or 1: ``of_encoder(1, "layers")``."""
        return getattr(self, f"enc{encoder}_{name}")


def specifications() -> dict[str, Specification]:
    """Returns every hyperparameter's specification by name, in the docs' order."""
    return {
        field.name: SPECIFICATIONS[field.name]
        for field in dataclasses.fields(Hyperparameters)
    }


def defaults() -> dict[str, Any]:
    """Returns the defaults by name, without required hyperparameters."""
    return {
        field.name: field.default
        for field in dataclasses.fields(Hyperparameters)
        if field.default is not dataclasses.MISSING and field.default is not _ENC0_VALUE
    }


def _signature() -> inspect.Signature:
    """Returns the constructor's signature as the fields define it."""
    types = get_type_hints(Hyperparameters)
    return inspect.Signature(
        [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=(
                    inspect.Parameter.empty
                    if field.default is dataclasses.MISSING
                    else field.default
                ),
                annotation=types[field.name],
            )
            for field in dataclasses.fields(Hyperparameters)
        ]
    )


Hyperparameters.__signature__ = _signature()  # type: ignore[attr-defined]
