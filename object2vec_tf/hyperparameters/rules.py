"""Rules between hyperparameters.

Each ``check_*`` adds one message per broken rule to a list of problems. A value of None
is one that is invalid already, which the rules ignore.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from object2vec_tf.hyperparameters.choices import (
    LOOKUP_TOKENIZERS,
    SAGEMAKER_OPTIMIZERS,
)

# The largest vocabulary that Amazon SageMaker's Object2Vec accepts.
SAGEMAKER_VOCAB_SIZE = 3_000_000
# The warnings that this process has shown. Python's own record of them is cleared when
# any library changes its filters.
_shown: set[str] = set()
AUTO_LAYERS: Mapping[str, int | str] = {
    "hcnn": 4,
    "bilstm": 1,
    "pooled_embedding": "auto",
}


def resolve_encoder(
    effective: dict[str, Any], given: Mapping[str, Any], encoder: int, network: Any
) -> None:
    """Replaces auto layers and, for pooled_embedding, the token_embedding_dim."""
    layers = f"enc{encoder}_layers"
    if network in AUTO_LAYERS and (
        effective[layers] == "auto" or network == "pooled_embedding"
    ):
        effective[layers] = AUTO_LAYERS[network]
    width, enc_dim = f"enc{encoder}_token_embedding_dim", effective["enc_dim"]
    if network == "pooled_embedding" and enc_dim is not None:
        if given.get(width) not in (None, enc_dim):
            warnings.warn(
                f"Inconsistent enc_dim and token_embedding_dim found: enc_dim is "
                f"{enc_dim}, {width} is {given[width]}. Setting token embedding dim "
                f"to be {enc_dim}",
                stacklevel=5,  # the caller of Hyperparameters()
            )
        effective[width] = enc_dim


def copy_enc0(
    effective: dict[str, Any], given: Mapping[str, Any], problems: list[str]
) -> None:
    """Copies every value of enc0 to enc1; a value given for enc1 must be the same."""
    network = effective["enc0_network"]
    for source in [name for name in effective if name.startswith("enc0_")]:
        if source == "enc0_network":
            continue
        name = source.replace("enc0_", "enc1_")
        value, expected = given.get(name), effective.get(source)
        if expected is None:
            continue
        effective[name] = expected
        is_pooled = network == "pooled_embedding"
        has_no_effect = (is_pooled and name.endswith(("layers", "embedding_dim"))) or (
            value == "auto"
        )
        is_same = value is None or value in (expected, given.get(source))
        if not (is_same or has_no_effect):
            problems.append(
                f"{name}: expected {expected!r}, the value of {source}, since "
                f"enc1_network=enc0 copies all of them, got {value!r}. Remove {name} "
                f"or set enc1_network={network}."
            )


def check_enc_dim(effective: Mapping[str, Any], problems: list[str]) -> None:
    """Checks that each network can split ``enc_dim`` into equal parts."""
    enc_dim = effective["enc_dim"]
    if enc_dim is None:
        return
    for divisor, reason in _enc_dim_divisors(effective):
        if enc_dim % divisor:
            below = enc_dim // divisor * divisor
            above = below + divisor
            nearest = f"{below} or {above}" if below >= 4 else f"{above}"
            problems.append(
                f"enc_dim: expected a multiple of {divisor} with {reason}, "
                f"got {enc_dim}. Use {nearest}."
            )


def enc_dim_divisor(effective: Mapping[str, Any]) -> int:
    """Returns the number that must divide ``enc_dim``."""
    return math.lcm(*(divisor for divisor, _ in _enc_dim_divisors(effective)))


def _enc_dim_divisors(effective: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Yields for each encoder the number that must divide ``enc_dim``, and why."""
    for encoder in (0, 1):
        network = effective[f"enc{encoder}_network"]
        layers = effective[f"enc{encoder}_layers"]
        if network == "hcnn" and isinstance(layers, int):
            yield layers, f"enc{encoder}_layers={layers} of hcnn"
        elif network == "bilstm":
            yield 2, f"the two directions of enc{encoder}_network=bilstm"


def warn_of_values_beyond_sagemaker(given: Mapping[str, Any]) -> None:
    """Warns once of each value that Amazon SageMaker's Object2Vec rejects."""
    for message in _values_beyond_sagemaker(given):
        if message not in _shown:
            _shown.add(message)
            warnings.warn(message, stacklevel=1)


def skip_warnings_of_saved(values: Mapping[str, Any]) -> None:
    """Takes the warnings of a saved model's values as shown: its training showed them.

    Args:
        values: Its hyperparameters, typed; invalid values are ignored.
    """
    _shown.update(_values_beyond_sagemaker(values))


def _values_beyond_sagemaker(given: Mapping[str, Any]) -> Iterator[str]:
    for name in ("enc0_vocab_size", "enc1_vocab_size"):
        size = given.get(name)
        if isinstance(size, int) and size > SAGEMAKER_VOCAB_SIZE:
            yield (
                f"{name}: {size} is above {SAGEMAKER_VOCAB_SIZE}, the maximum of "
                "Amazon SageMaker's Object2Vec, which would reject it"
            )
    optimizer = given.get("optimizer")
    if optimizer is not None and optimizer not in SAGEMAKER_OPTIMIZERS:
        yield (
            f"optimizer: {optimizer} is not an optimizer of Amazon SageMaker's "
            "Object2Vec, which would reject it"
        )


def check_texts(effective: Mapping[str, Any], problems: list[str]) -> None:
    """Checks that tokenizers and pretrained embeddings have a vocabulary."""
    for encoder in (0, 1):
        buckets = f"enc{encoder}_num_oov_buckets"
        tokenizer = effective[f"enc{encoder}_tokenizer"]
        if effective[buckets] and tokenizer not in LOOKUP_TOKENIZERS:
            problems.append(
                f"{buckets}: only applies to words and ids. Set enc{encoder}_tokenizer "
                f"to {' or '.join(LOOKUP_TOKENIZERS)}, or remove {buckets}."
            )
        for name in ("lowercase", "unicode_normalization"):
            value = effective[f"enc{encoder}_{name}"]
            if tokenizer == "id" and value not in (False, "none", None):
                problems.append(
                    f"enc{encoder}_{name}: only applies to text, but "
                    f"enc{encoder}_tokenizer is id, which compares ids as they are. "
                    f"Remove enc{encoder}_{name}."
                )
        if effective[f"enc{encoder}_vocab_file"]:
            continue
        for name, unset in (
            ("tokenizer", ("none", None)),
            ("pretrained_embedding_file", ("", None)),
        ):
            value = effective[f"enc{encoder}_{name}"]
            if value not in unset:
                problems.append(
                    f"enc{encoder}_vocab_file: required with enc{encoder}_{name}="
                    f"{value}. Set the name of the vocabulary file in the auxiliary "
                    "channel."
                )


def check_tied(effective: Mapping[str, Any], problems: list[str]) -> None:
    """Checks that one token embedding can serve both encoders."""
    if not effective["tied_token_embedding_weight"]:
        return
    for name in ("vocab_size", "token_embedding_dim"):
        first, second = effective.get(f"enc0_{name}"), effective.get(f"enc1_{name}")
        if None not in (first, second) and first != second:
            problems.append(_tied_problem(name, first, second))
    files = [effective[f"enc{i}_pretrained_embedding_file"] for i in (0, 1)]
    for name in ("pretrained_embedding_file", "freeze_pretrained_embedding"):
        first, second = effective[f"enc0_{name}"], effective[f"enc1_{name}"]
        if first != second and any(files):
            problems.append(_tied_problem(name, first, second))
    ngrams = [effective[f"enc{i}_subword_ngrams"] for i in (0, 1)]
    for name in ("subword_ngrams", "subword_buckets", "vocab_file"):
        first, second = effective[f"enc0_{name}"], effective[f"enc1_{name}"]
        if first != second and any(ngrams) and None not in (first, second):
            problems.append(_tied_problem(name, first, second))


def check_tied_encoders(effective: Mapping[str, Any], problems: list[str]) -> None:
    """Checks that one network can serve as both encoders."""
    if not effective["tied_encoders"]:
        return
    network = effective["enc1_network"]
    if network not in ("enc0", None):
        problems.append(
            f"enc1_network: expected enc0, since tied_encoders=True shares all weights "
            f"of the encoders, got {network}. Remove enc1_network or set "
            "tied_encoders=False."
        )
    if effective["tied_token_embedding_weight"] is False:
        problems.append(
            "tied_token_embedding_weight: expected True, since tied_encoders=True "
            "shares all weights of the encoders, got False. Set it or set "
            "tied_encoders=False."
        )


def _tied_problem(name: str, first: object, second: object) -> str:
    return (
        f"enc1_{name}: expected {first!r}, the value of enc0_{name}, since "
        f"tied_token_embedding_weight=True shares one embedding, got {second!r}. Make "
        "them equal or set tied_token_embedding_weight=False."
    )


def check_in_batch(effective: Mapping[str, Any], problems: list[str]) -> None:
    """Checks settings that depend on the objective ``in_batch_softmax``."""
    is_in_batch = effective["objective"] == "in_batch_softmax"
    if is_in_batch and effective["mini_batch_size"] == 1:
        problems.append(
            "mini_batch_size: expected 2 or more with objective=in_batch_softmax, "
            "got 1. Raise it: an object's partner is found among those of the batch."
        )
    for name in ("popularity_correction", "learn_temperature"):
        if effective[name] and not is_in_batch:
            problems.append(
                f"{name}: only applies to objective=in_batch_softmax. Set that or "
                f"remove {name}."
            )


def check_negatives(effective: Mapping[str, Any], problems: list[str]) -> None:
    """Checks settings that depend on negative sampling."""
    rate = effective["negative_sampling_rate"]
    if effective["negative_mining"] == "hard":
        if rate == 0:
            problems.append(
                "negative_mining: hard needs negatives. Set negative_sampling_rate to "
                "1 or more."
            )
        if effective["negative_frequency_power"] not in (1.0, None):
            problems.append(
                "negative_frequency_power: only applies to negative_mining=random. Set "
                "that or remove negative_frequency_power."
            )
    if rate and effective["mini_batch_size"] == 1:
        problems.append(
            "mini_batch_size: expected 2 or more with negative_sampling_rate > 0, "
            "got 1. Raise it: negatives are sampled from the other pairs of the batch."
        )


def check_smoothing(effective: Mapping[str, Any], problems: list[str]) -> None:
    """Checks that label smoothing has classes to smooth."""
    if effective["label_smoothing"] and effective["output_layer"] != "softmax":
        problems.append(
            "label_smoothing: only applies to output_layer=softmax. Set that or remove "
            "label_smoothing."
        )
