"""Every hyperparameter: its name, range, default and the rules that join them.

The names and ranges are those of Amazon SageMaker's Object2Vec. A fact about a
hyperparameter stands here, in its field, and nowhere else: the flags' help, the
validation and the docs table are made from it.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
from collections.abc import Mapping
from typing import Any, Literal

from object2vec_tf.errors import HyperparameterError, UserError
from object2vec_tf.hyperparameters.kinds import (
    Boolean,
    Choice,
    FileName,
    Integer,
    Kind,
    LayerCount,
    OrderedSubset,
    Real,
)
from object2vec_tf.hyperparameters.rules import (
    check_enc_dim,
    check_in_batch,
    check_texts,
    check_tied,
    follow_enc0,
    settle_encoder,
)

ENCODERS = ("hcnn", "bilstm", "pooled_embedding")
OPERATORS = ("hadamard", "concat", "abs_diff")
MOST_OOV_BUCKETS = 1_000_000
TOKENIZERS = ("none", "whitespace", "unicode_script", "wordpiece", "sentencepiece")
UNICODE_NORMALIZATIONS = ("none", "NFC", "NFKC", "NFD", "NFKD")
OBJECTIVES = ("pairs", "in_batch_softmax")
SIMILARITIES = ("cosine", "inner_product")
DIRECTIONS = ("both", "in0_to_in1", "in1_to_in0")
POOLINGS = ("mean", "sqrtn")
DECAYS = ("none", "linear", "cosine")
# What the in-batch softmax is called in metrics and log lines.
IN_BATCH_LOSS = "in_batch_cross_entropy"
OPTIMIZERS = ("adadelta", "adagrad", "adam", "sgd", "rmsprop")

# What SageMaker adds to hyperparameters.json for its own ends starts like this.
_PLATFORM_PREFIX = "_"
_NUM_GPUS = "_num_gpus"


@dataclasses.dataclass(frozen=True)
class Specification:
    """What is known of one hyperparameter besides its name and default.

    Attributes:
        kind: The kind of value, with its range.
        help: One line for people.
        tunable: The range AWS tunes over, as ``(low, high)`` or a tuple of choices;
            None where AWS does not tune it.
        by_factors: Whether values that differ by the same factor are equally far
            apart, so that the tuner draws on a logarithmic scale.
    """

    kind: Kind
    help: str
    tunable: tuple[Any, ...] | None = None
    log_scale: bool = False


def _field(
    kind: Kind,
    help: str,
    *,
    default: Any = dataclasses.MISSING,
    tunable: tuple[Any, ...] | None = None,
    log_scale: bool = False,
) -> Any:
    metadata = {"specification": Specification(kind, help, tunable, log_scale)}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, init=False)
class Hyperparameters:
    """The settings of one model and its training, checked and complete.

    Built from keyword arguments, typed or as strings; afterwards every attribute
    holds the value that takes effect. ``enc1_*`` left out take enc0's values when
    ``enc1_network`` is ``enc0``, and their own defaults otherwise.

    Raises:
        HyperparameterError: A ``ValueError`` that names every hyperparameter that is
            missing, unknown, out of range or at odds with another one.

    Source: Amazon SageMaker developer guide, Object2Vec hyperparameters.
    """

    enc0_max_seq_len: int = _field(
        Integer(1, 5000), "tokens of in0 that are read; what is longer is cut"
    )
    enc0_vocab_size: int = _field(
        Integer(2, 3_000_000), "token ids of in0 are below this number"
    )
    enc1_max_seq_len: int = _field(
        Integer(1, 5000), "tokens of in1 that are read; what is longer is cut"
    )
    enc1_vocab_size: int = _field(
        Integer(2, 3_000_000), "token ids of in1 are below this number"
    )
    bucket_width: int = _field(
        Integer(0, 100),
        "lengths in a batch differ by less than this, in tokens; 0: any lengths",
        default=0,
    )
    comparator_list: str = _field(
        OrderedSubset(OPERATORS),
        "how the two encodings are compared, in this order",
        default="hadamard, concat, abs_diff",
    )
    dropout: float = _field(
        Real(0.0, 1.0), "share of activations dropped", default=0.0, tunable=(0.0, 1.0)
    )
    early_stopping_patience: int = _field(
        Integer(1, 5),
        "epochs without enough progress before training stops",
        default=3,
        tunable=(1, 5),
    )
    early_stopping_tolerance: float = _field(
        Real(1e-6, 0.1),
        "fall of the validation loss that counts as progress",
        default=0.01,
        tunable=(0.001, 0.1),
        log_scale=True,
    )
    enc_dim: int = _field(
        Integer(4, 10_000),
        "width of an embedding",
        default=4096,
        tunable=(4, 4096),
        log_scale=True,
    )
    enc0_network: Literal["hcnn", "bilstm", "pooled_embedding"] = _field(
        Choice(ENCODERS), "the encoder of in0", default="hcnn"
    )
    enc1_network: Literal["enc0", "hcnn", "bilstm", "pooled_embedding"] = _field(
        Choice(("enc0", *ENCODERS)),
        "the encoder of in1; enc0 takes enc0's network and values",
        default="enc0",
    )
    enc0_cnn_filter_width: int = _field(
        Integer(1, 9), "tokens an hcnn filter spans", default=3, tunable=(1, 5)
    )
    enc1_cnn_filter_width: int = _field(
        Integer(1, 9), "tokens an hcnn filter spans", default=3, tunable=(1, 5)
    )
    enc0_freeze_pretrained_embedding: bool = _field(
        Boolean(), "keep pretrained token vectors as they are", default=True
    )
    enc1_freeze_pretrained_embedding: bool = _field(
        Boolean(), "keep pretrained token vectors as they are", default=True
    )
    enc0_layers: int | str = _field(
        LayerCount(),
        "layers of the encoder; auto: hcnn 4, bilstm 1",
        default="auto",
        tunable=(1, 4),
    )
    enc1_layers: int | str = _field(
        LayerCount(),
        "layers of the encoder; auto: hcnn 4, bilstm 1",
        default="auto",
        tunable=(1, 4),
    )
    enc0_pretrained_embedding_file: str = _field(
        FileName(), "pretrained token vectors, in the auxiliary channel", default=""
    )
    enc1_pretrained_embedding_file: str = _field(
        FileName(), "pretrained token vectors, in the auxiliary channel", default=""
    )
    enc0_token_embedding_dim: int = _field(
        Integer(2, 1000),
        "width of a token's vector",
        default=300,
        tunable=(5, 300),
        log_scale=True,
    )
    enc1_token_embedding_dim: int = _field(
        Integer(2, 1000),
        "width of a token's vector",
        default=300,
        tunable=(5, 300),
        log_scale=True,
    )
    enc0_vocab_file: str = _field(
        FileName(), 'vocabulary {"word": id}, in the auxiliary channel', default=""
    )
    enc1_vocab_file: str = _field(
        FileName(), 'vocabulary {"word": id}, in the auxiliary channel', default=""
    )
    enc0_tokenizer: str = _field(
        Choice(TOKENIZERS),
        "what makes tokens of text in in0; none: in0 holds ids",
        default="none",
    )
    enc1_tokenizer: str = _field(
        Choice(TOKENIZERS),
        "what makes tokens of text in in1; none: in1 holds ids",
        default="none",
    )
    enc0_lowercase: bool = _field(
        Boolean(), "make all letters of text small ones", default=False
    )
    enc1_lowercase: bool = _field(
        Boolean(), "make all letters of text small ones", default=False
    )
    enc0_unicode_normalization: str = _field(
        Choice(UNICODE_NORMALIZATIONS),
        "Unicode form that text is brought to",
        default="none",
    )
    enc1_unicode_normalization: str = _field(
        Choice(UNICODE_NORMALIZATIONS),
        "Unicode form that text is brought to",
        default="none",
    )
    enc0_num_oov_buckets: int = _field(
        Integer(0, MOST_OOV_BUCKETS),
        "words that the vocabulary lacks share so many ids of their own, by their hash",
        default=0,
    )
    enc1_num_oov_buckets: int = _field(
        Integer(0, MOST_OOV_BUCKETS),
        "words that the vocabulary lacks share so many ids of their own, by their hash",
        default=0,
    )
    epochs: int = _field(
        Integer(1, 100), "passes over the training data", default=30, tunable=(4, 20)
    )
    learning_rate: float = _field(
        Real(1e-6, 1.0),
        "step size of the optimizer",
        default=0.0004,
        tunable=(1e-6, 1),
        log_scale=True,
    )
    mini_batch_size: int = _field(
        Integer(1, 10_000),
        "pairs in a batch",
        default=32,
        tunable=(1, 8192),
        log_scale=True,
    )
    mlp_activation: Literal["tanh", "relu", "linear"] = _field(
        Choice(("tanh", "relu", "linear")),
        "activation of the layers behind the comparator",
        default="linear",
        tunable=("tanh", "relu", "linear"),
    )
    mlp_dim: int = _field(
        Integer(2, 10_000),
        "width of a layer behind the comparator",
        default=512,
        tunable=(16, 1024),
        log_scale=True,
    )
    mlp_layers: int = _field(
        Integer(0, 10), "layers behind the comparator", default=2, tunable=(1, 4)
    )
    negative_sampling_rate: int = _field(
        Integer(0), "negatives made for each training pair; 0: none", default=0
    )
    num_classes: int = _field(Integer(2, 30), "classes of a softmax output", default=2)
    optimizer: Literal["adadelta", "adagrad", "adam", "sgd", "rmsprop"] = _field(
        Choice(OPTIMIZERS), "the optimizer", default="adam", tunable=OPTIMIZERS
    )
    output_layer: Literal["softmax", "mean_squared_error"] = _field(
        Choice(("softmax", "mean_squared_error")),
        "classes (labels are class ids) or a real number",
        default="softmax",
    )
    tied_token_embedding_weight: bool = _field(
        Boolean(), "one token embedding for both encoders", default=False
    )
    token_embedding_init_scale: float = _field(
        Real(0.001, 1000.0),
        "initial token vectors are this many times as long as usual",
        default=1.0,
        log_scale=True,
    )
    token_embedding_storage_type: Literal["dense", "row_sparse"] = _field(
        Choice(("dense", "row_sparse")),
        "row_sparse updates only the token rows that a batch uses",
        default="dense",
    )
    weight_decay: float = _field(
        Real(0.0, 10_000.0),
        "L2: this times the weight is added to its gradient (not to biases)",
        default=0.0,
        tunable=(0.0, 1.0),
        log_scale=True,
    )
    objective: str = _field(
        Choice(OBJECTIVES),
        "what encoders learn by: pairs, their labels; in_batch_softmax, to find each "
        "object's partner among those of the batch",
        default="pairs",
    )
    in_batch_similarity: str = _field(
        Choice(SIMILARITIES),
        "in_batch_softmax: how like two encodings are",
        default="cosine",
    )
    in_batch_direction: str = _field(
        Choice(DIRECTIONS),
        "in_batch_softmax: which objects look for partners",
        default="both",
    )
    temperature: float = _field(
        Real(0.001, 100.0),
        "in_batch_softmax: similarities are divided by it",
        default=0.05,
        log_scale=True,
    )
    learn_temperature: bool = _field(
        Boolean(),
        "in_batch_softmax: learn the temperature, from the given one on",
        default=False,
    )
    popularity_correction: bool = _field(
        Boolean(),
        "in_batch_softmax: make up for frequent objects being in most batches",
        default=False,
    )
    negative_mining: str = _field(
        Choice(("random", "hard")),
        "a pair's negatives: any of the batch, or rather those that encoders find like",
        default="random",
    )
    negative_frequency_power: float = _field(
        Real(0.0, 1.0),
        "objects are drawn as negatives by their frequency to this power",
        default=1.0,
    )
    pooling: str = _field(
        Choice(POOLINGS),
        "pooled_embedding: the sum of n token vectors is divided by n, or by its root",
        default="mean",
    )
    label_smoothing: float = _field(
        Real(0.0, 0.99),
        "share of a label that is spread over all classes, in training",
        default=0.0,
    )
    learning_rate_warmup_epochs: float = _field(
        Real(0.0, 100.0),
        "epochs in which the learning rate rises from 0 to its value",
        default=0.0,
    )
    learning_rate_decay: str = _field(
        Choice(DECAYS),
        "how the learning rate falls to 0 by the last step, behind the warm-up",
        default="none",
    )

    def __init__(self, **values: Any) -> None:
        problems: list[str] = []
        given = _parse(_known(values, problems), values, problems)
        effective = _complete(given, problems)
        if problems:
            raise HyperparameterError(_message(problems))
        for name, value in effective.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Hyperparameters:
        """Builds from a mapping in which SageMaker's own entries may come along.

        Args:
            values: Name to value, typed or as a string. Names that start with an
                underscore (``_kvstore``, ``_num_gpus``, ...) are the platform's and
                are left out; None stands for a value that is not given.
        """
        ours = {
            name: value
            for name, value in values.items()
            if value is not None and not name.startswith(_PLATFORM_PREFIX)
        }
        return cls(**ours)

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Hyperparameters:
        """Reads a ``hyperparameters.json``, SageMaker's (all strings) or ours."""
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
        """The name of the loss in metrics and log lines, which training minimises."""
        if self.objective == "in_batch_softmax":
            return IN_BATCH_LOSS
        return "cross_entropy" if self.output_layer == "softmax" else self.output_layer

    @property
    def needs_frequencies(self) -> bool:
        """Whether training asks how often an object stands in its channel."""
        return self.popularity_correction or (
            self.negative_sampling_rate > 0 and self.negative_frequency_power < 1
        )

    @property
    def output_dim(self) -> int:
        """The number of scores a pair gets."""
        return self.num_classes if self.output_layer == "softmax" else 1

    def network(self, encoder: int) -> str:
        """Returns the network of encoder 0 or 1, with ``enc0`` followed."""
        if encoder == 1 and self.enc1_network != "enc0":
            return self.enc1_network
        return self.enc0_network

    @property
    def texts(self) -> tuple[str, ...]:
        """The inputs that are read as text, of in0 and in1."""
        return tuple(
            f"in{i}" for i in (0, 1) if self.of_encoder(i, "tokenizer") != "none"
        )

    def freezes(self, encoder: int) -> bool:
        """Whether an encoder's token vectors are pretrained ones, and stay so."""
        return bool(
            self.of_encoder(encoder, "pretrained_embedding_file")
            and self.of_encoder(encoder, "freeze_pretrained_embedding")
        )

    def of_encoder(self, encoder: int, name: str) -> Any:
        """Returns a value of encoder 0 or 1: ``of_encoder(1, "layers")``."""
        return getattr(self, f"enc{encoder}_{name}")


def specifications() -> dict[str, Specification]:
    """Returns every hyperparameter's specification by name, in the docs' order."""
    return {
        field.name: field.metadata["specification"]
        for field in dataclasses.fields(Hyperparameters)
    }


def defaults() -> dict[str, Any]:
    """Returns the defaults by name; required hyperparameters are left out."""
    return {
        field.name: field.default
        for field in dataclasses.fields(Hyperparameters)
        if field.default is not dataclasses.MISSING
    }


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the object in a hyperparameters file.

    Raises:
        UserError: The file cannot be read or is not a JSON object.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            values = json.load(file)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise UserError(
            f"{path}: expected a JSON object of names and values, "
            f"got {type(values).__name__}"
        )
    return values


def max_gpus(values: Mapping[str, Any]) -> int | None:
    """Returns how many GPUs SageMaker's ``_num_gpus`` allows; None for all there are.

    Args:
        values: What a hyperparameters file holds.

    Raises:
        HyperparameterError: It is neither ``auto`` nor a number.
    """
    given = str(values.get(_NUM_GPUS, "auto")).strip()
    if given == "auto":
        return None
    if not given.isdecimal():
        raise HyperparameterError(
            f"{_NUM_GPUS}: expected auto or an integer of 0 or more, got {given!r}"
        )
    return int(given)


def _message(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} hyperparameters to mend:\n  " + "\n  ".join(problems)


def _known(values: Mapping[str, Any], problems: list[str]) -> list[str]:
    """Returns the names that exist; tells of the others with a suggestion."""
    names = specifications()
    for name in values:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f": did you mean {close[0]}?" if close else ""
            problems.append(f"{name}: unknown hyperparameter{hint}")
    return [name for name in names if name in values]


def _parse(
    names: list[str], values: Mapping[str, Any], problems: list[str]
) -> dict[str, Any]:
    """Returns the typed values; a value that breaks its range is told and left out."""
    typed = {}
    for name in names:
        ranged_as = "enc_dim" if _is_pooled_width(name, values) else name
        try:
            typed[name] = specifications()[ranged_as].kind.parse(values[name])
        except ValueError as error:
            problems.append(f"{name}: {error}")
            typed[name] = None
    return typed


def _is_pooled_width(name: str, values: Mapping[str, Any]) -> bool:
    """Whether a token width is the one pooling gives it, which may be any enc_dim."""
    encoder, _, rest = name.partition("_")
    network = values.get(f"{encoder}_network")
    if encoder == "enc1" and network in (None, "enc0"):
        network = values.get("enc0_network")
    return (
        rest == "token_embedding_dim"
        and network == "pooled_embedding"
        and str(values[name]) == str(values.get("enc_dim", defaults()["enc_dim"]))
    )


def _complete(given: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Returns all effective values; tells of every cross rule that is broken."""
    effective = {**defaults(), **given}
    follows = effective["enc1_network"] in ("enc0", None)
    for name in ("enc0_max_seq_len", "enc0_vocab_size"):
        if name not in given:
            problems.append(
                f"{name}: required; give {specifications()[name].kind.valid}"
            )
    settle_encoder(effective, given, 0, effective["enc0_network"])
    if follows:
        follow_enc0(effective, given, problems)
    else:
        for name in ("enc1_max_seq_len", "enc1_vocab_size"):
            if name not in given:
                problems.append(
                    f"{name}: required when enc1_network is not enc0; "
                    f"give {specifications()[name].kind.valid}"
                )
        settle_encoder(effective, given, 1, effective["enc1_network"])
    check_enc_dim(effective, problems)
    check_texts(effective, problems)
    check_tied(effective, problems)
    check_in_batch(effective, problems)
    if effective["negative_sampling_rate"] and effective["mini_batch_size"] == 1:
        problems.append(
            "mini_batch_size: negatives come from the other pairs of a batch, so "
            "negative_sampling_rate > 0 needs a mini_batch_size of 2 or more"
        )
    return {name: effective.get(name) for name in specifications()}
