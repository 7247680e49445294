"""The rules that join hyperparameters; each tells what breaks it, and what to do."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

AUTO_LAYERS: Mapping[str, int | str] = {
    "hcnn": 4,
    "bilstm": 1,
    "pooled_embedding": "auto",
}
# Tokenizers that part text into words, which have ids by a table.
WORDS = ("whitespace", "unicode_script")


def settle_encoder(
    effective: dict[str, Any], given: Mapping[str, Any], encoder: int, network: Any
) -> None:
    """Replaces auto layers and, under pooling, the token width."""
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
                stacklevel=4,
            )
        effective[width] = enc_dim


def follow_enc0(
    effective: dict[str, Any], given: Mapping[str, Any], problems: list[str]
) -> None:
    """Gives enc1 every value of enc0; an explicit one must agree."""
    network = effective["enc0_network"]
    for source in [name for name in effective if name.startswith("enc0_")]:
        if source == "enc0_network":
            continue
        name = source.replace("enc0_", "enc1_")
        value, wanted = given.get(name), effective.get(source)
        if wanted is None:
            continue
        effective[name] = wanted
        pooled = network == "pooled_embedding"
        has_no_effect = (pooled and name.endswith(("layers", "embedding_dim"))) or (
            value == "auto"
        )
        agrees = value is None or value in (wanted, given.get(source))
        if not (agrees or has_no_effect):
            problems.append(
                f"{name}: is {value!r} while {source} is {wanted!r}, and "
                f"enc1_network=enc0 takes every enc0 value; leave {name} out, or set "
                f"enc1_network={network}"
            )


def check_enc_dim(effective: Mapping[str, Any], problems: list[str]) -> None:
    """Tells of a width that the networks' parts cannot share equally."""
    enc_dim = effective["enc_dim"]
    if enc_dim is None:
        return
    for divisor, reason in _sharing_enc_dim(effective):
        if enc_dim % divisor:
            below, above = (
                enc_dim // divisor * divisor,
                -(-enc_dim // divisor) * divisor,
            )
            near = f"{below} or {above}" if below >= 4 else f"{above}"
            problems.append(
                f"enc_dim: {enc_dim} cannot be shared equally by {reason}; use {near}"
            )


def enc_dim_divisor(effective: Mapping[str, Any]) -> int:
    """Returns the number of which ``enc_dim`` has to be a multiple."""
    return math.lcm(*(divisor for divisor, _ in _sharing_enc_dim(effective)))


def _sharing_enc_dim(effective: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Yields how many parts share ``enc_dim``, and which, for each encoder."""
    for encoder in (0, 1):
        network = effective[f"enc{encoder}_network"]
        layers = effective[f"enc{encoder}_layers"]
        if network == "hcnn" and isinstance(layers, int):
            yield layers, f"enc{encoder}_layers={layers} of hcnn"
        elif network == "bilstm":
            yield 2, f"the two directions of enc{encoder}_network=bilstm"


def check_texts(effective: Mapping[str, Any], problems: list[str]) -> None:
    """Tells of words without a vocabulary."""
    for encoder in (0, 1):
        buckets = f"enc{encoder}_num_oov_buckets"
        if effective[buckets] and effective[f"enc{encoder}_tokenizer"] not in WORDS:
            problems.append(
                f"{buckets}: only words have a hash; leave it out, or set "
                f"enc{encoder}_tokenizer to {' or '.join(WORDS)}"
            )
        if effective[f"enc{encoder}_vocab_file"]:
            continue
        for name, needs_none in (
            ("tokenizer", ("none", None)),
            ("pretrained_embedding_file", ("", None)),
        ):
            value = effective[f"enc{encoder}_{name}"]
            if value not in needs_none:
                problems.append(
                    f"enc{encoder}_vocab_file: required with enc{encoder}_{name}="
                    f"{value}, since it tells which word has which id; name the "
                    "vocabulary in the auxiliary channel"
                )


def check_tied(effective: Mapping[str, Any], problems: list[str]) -> None:
    """Tells of what one table cannot be for both encoders."""
    if not effective["tied_token_embedding_weight"]:
        return
    for name in ("vocab_size", "token_embedding_dim"):
        first, second = effective.get(f"enc0_{name}"), effective.get(f"enc1_{name}")
        if None not in (first, second) and first != second:
            problems.append(
                f"enc1_{name}: is {second} while enc0_{name} is {first}, and "
                f"tied_token_embedding_weight=True needs them equal; make them equal "
                f"or set tied_token_embedding_weight=False"
            )
    files = [effective[f"enc{i}_pretrained_embedding_file"] for i in (0, 1)]
    for name in ("pretrained_embedding_file", "freeze_pretrained_embedding"):
        first, second = effective[f"enc0_{name}"], effective[f"enc1_{name}"]
        if first != second and any(files):
            problems.append(
                f"enc1_{name}: is {second!r} while enc0_{name} is {first!r}, and "
                "tied_token_embedding_weight=True has one table for both; make them "
                "equal"
            )


def check_in_batch(effective: Mapping[str, Any], problems: list[str]) -> None:
    """Tells of what the choice of objective leaves without a meaning."""
    in_batch = effective["objective"] == "in_batch_softmax"
    if in_batch and effective["mini_batch_size"] == 1:
        problems.append(
            "mini_batch_size: a partner is looked for among those of the batch, so "
            "objective=in_batch_softmax needs a mini_batch_size of 2 or more"
        )
    for name, idle in (("popularity_correction", False), ("learn_temperature", False)):
        if effective[name] not in (idle, None) and not in_batch:
            problems.append(
                f"{name}: has a meaning with objective=in_batch_softmax alone; leave "
                "it out, or set that"
            )
    drawn = effective["negative_sampling_rate"]
    if effective["negative_mining"] == "hard":
        if drawn == 0:
            problems.append(
                "negative_mining: there are no negatives to mine; set "
                "negative_sampling_rate"
            )
        if effective["negative_frequency_power"] not in (1.0, None):
            problems.append(
                "negative_frequency_power: hard negatives are drawn by likeness; leave "
                "it out, or set negative_mining=random"
            )
    if effective["label_smoothing"] and effective["output_layer"] != "softmax":
        problems.append(
            "label_smoothing: only classes can be smoothed; leave it out with "
            "output_layer=mean_squared_error"
        )
