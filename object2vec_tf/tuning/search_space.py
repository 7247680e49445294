"""The search space of a study: the hyperparameters that are searched, and their ranges.

A range is the one that AWS tunes over, or one that the user wrote. Hyperparameters
without an effect on the given configuration are left out. Values that break the rules
between hyperparameters are excluded from the ranges where this is possible beforehand.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any

import optuna

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters, specifications
from object2vec_tf.hyperparameters.rules import enc_dim_divisor
from object2vec_tf.training.preparation import MAX_PAIRS_PER_STEP
from object2vec_tf.tuning.dimensions import (
    Choices,
    Dimension,
    Numbers,
    parse_dimension,
    tunable_dimension,
)
from object2vec_tf.tuning.objective import Objective

_ENCODERS = (0, 1)
# Fields of encoders that are equal where both share one table.
_OF_TIED_TABLE = ("subword_ngrams", "subword_buckets")
_OF_POOLING = ("pooling", "repeated_tokens", "token_dropout")


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The ranges of the hyperparameters that are searched.

    Attributes:
        given: The given settings, by name.
        base: The given settings as hyperparameters; the first trial uses them.
        dimensions: The range of each searched hyperparameter, by name.
    """

    given: Mapping[str, Any]
    base: Hyperparameters
    dimensions: Mapping[str, Dimension]

    def describe(self) -> dict[str, str]:
        """Returns the ranges as text, by name: ``{"dropout": "0..1"}``."""
        return {name: str(dimension) for name, dimension in self.dimensions.items()}

    def first_trial_values(self) -> dict[str, Any]:
        """Returns the given values of searched hyperparameters.

        Values outside of their range are left out: Optuna cannot record them.
        """
        return {
            name: getattr(self.base, name)
            for name, dimension in self.dimensions.items()
            if dimension.contains(getattr(self.base, name))
        }

    def sample(self, trial: optuna.trial.BaseTrial) -> Hyperparameters:
        """Returns the settings of a trial. The first trial has the given settings.

        Raises:
            HyperparameterError: The sampled values break a rule.
        """
        if trial.number == 0:
            for name in self.first_trial_values():
                self.dimensions[name].suggest(trial, name)
            return self.base
        values = {
            name: dimension.suggest(trial, name)
            for name, dimension in self.dimensions.items()
        }
        return Hyperparameters.from_mapping(self._with_dependent(values))

    def searched_values(self, hyperparameters: Hyperparameters) -> dict[str, Any]:
        """Returns the values of the searched hyperparameters in some settings."""
        return {name: getattr(hyperparameters, name) for name in self.dimensions}

    def _with_dependent(self, sampled: Mapping[str, Any]) -> dict[str, Any]:
        """Returns given and sampled values, corrected so that they fit together.

        ``enc_dim`` becomes a multiple that the encoders can divide, and token
        embeddings get the width that pooling or tied weights require, and the n-grams
        that tied weights require.
        """
        values = {**self.given, **sampled}
        effective = {**self.base.to_dict(), **sampled}
        enc1_copies_enc0 = effective["enc1_network"] == "enc0"
        for name in sampled:
            enc1_name = name.replace("enc0_", "enc1_")
            if enc1_copies_enc0 and enc1_name != name:
                effective[enc1_name] = sampled[name]
                values.pop(enc1_name, None)
        dimension = self.dimensions.get("enc_dim")
        if isinstance(dimension, Numbers):
            values["enc_dim"] = _nearest_multiple(
                sampled["enc_dim"], enc_dim_divisor(effective), dimension
            )
        is_pooled = [_network(effective, e) == "pooled_embedding" for e in _ENCODERS]
        is_tied = effective["tied_token_embedding_weight"]
        for encoder in _ENCODERS:
            width = f"enc{encoder}_token_embedding_dim"
            if is_pooled[encoder]:  # pooled_embedding sets its own width
                values.pop(width, None)
            elif is_tied and any(is_pooled):
                values[width] = values.get("enc_dim", effective["enc_dim"])
            elif is_tied and encoder == 1 and not enc1_copies_enc0:
                values[width] = effective["enc0_token_embedding_dim"]
        if is_tied and not enc1_copies_enc0:
            for field in _OF_TIED_TABLE:
                if f"enc0_{field}" in sampled:
                    values[f"enc1_{field}"] = sampled[f"enc0_{field}"]
        return values


def search_space(
    given: Mapping[str, Any], wanted: str | None, objective: Objective
) -> SearchSpace:
    """Returns the search space of a study.

    Args:
        given: The given settings, by name.
        wanted: Names with or without ranges, ``learning_rate=1e-4..1e-2,dropout``.
            None searches every hyperparameter that AWS tunes, that is not given and
            that has an effect.
        objective: The objective of the study.

    Raises:
        HyperparameterError: A given setting breaks a rule.
        UserError: A wanted hyperparameter cannot be searched.
    """
    base = Hyperparameters.from_mapping(given)
    known = {name: value for name, value in given.items() if name in specifications()}
    if wanted is None:
        dimensions = {
            name: dimension
            for name, specification in specifications().items()
            if (dimension := tunable_dimension(specification)) is not None
            and known.get(name) is None
        }
        for name in list(dimensions):
            if _why_no_effect(name, base, objective, dimensions):
                del dimensions[name]
    else:
        dimensions = _parse_wanted(wanted, base, objective)
    dimensions = _narrow(dimensions, base)
    if not dimensions:
        raise UserError(
            "tune: no hyperparameter is left to search: all are given. Name those to "
            "search: --tune=NAME,NAME."
        )
    return SearchSpace(known, base, dimensions)


def _parse_wanted(
    wanted: str, base: Hyperparameters, objective: Objective
) -> dict[str, Dimension]:
    """Returns the ranges that a user wrote, or raises an error with all problems."""
    dimensions: dict[str, Dimension] = {}
    problems = []
    for item in wanted.split(","):
        name, _, written = (part.strip() for part in item.partition("="))
        if name in dimensions:
            problems.append(f"{name}: is named twice")
            continue
        try:
            dimensions[name] = _parse_item(name, written if "=" in item else None)
        except ValueError as error:
            problems.append(str(error))
    for name in dimensions:
        reason = _why_no_effect(name, base, objective, dimensions)
        if reason:
            problems.append(f"{name}: {reason}. Leave it out.")
    if problems:
        raise UserError("tune: " + "\n  ".join(problems))
    return dimensions


def _parse_item(name: str, written: str | None) -> Dimension:
    """Returns the range of one item of ``--tune``.

    Args:
        name: The hyperparameter's name.
        written: The text after the equals sign; None is AWS's range.

    Raises:
        ValueError: The name or the range is not valid.
    """
    specification = specifications().get(name)
    if specification is None:
        close = difflib.get_close_matches(name, specifications(), n=1)
        hint = f": did you mean {close[0]}?" if close else ""
        raise ValueError(f"{name!r} is not a hyperparameter{hint}")
    if written is None:
        dimension = tunable_dimension(specification)
        if dimension is None:
            raise ValueError(
                f"{name}: AWS does not tune it. Give a range: {name}=LOW..HIGH or "
                f"{name}=ONE|ANOTHER."
            )
        return dimension
    try:
        return parse_dimension(specification, written)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _why_no_effect(
    name: str,
    base: Hyperparameters,
    objective: Objective,
    dimensions: Mapping[str, Dimension],
) -> str | None:
    """Returns why a hyperparameter has no effect on the objective; None if it has.

    Args:
        name: The hyperparameter.
        base: The given settings.
        objective: The objective of the study.
        dimensions: The ranges of all searched hyperparameters.
    """
    if name.startswith("mlp_"):
        if objective.uses_encoders_only(base):
            return f"{objective} does not depend on it"
        if (
            name != "mlp_layers"
            and base.mlp_layers == 0
            and ("mlp_layers" not in dimensions)
        ):
            return "the comparator has no layers (mlp_layers=0)"
    if name == "enc_dim":
        for encoder in _ENCODERS:
            file = base.of_encoder(encoder, "pretrained_embedding_file")
            if file and base.network(encoder) == "pooled_embedding":
                return f"{file} decides it"
    if name in _OF_POOLING and not any(
        f"enc{encoder}_network" in dimensions
        or base.network(encoder) == "pooled_embedding"
        for encoder in _ENCODERS
    ):
        return "no encoder is a pooled_embedding"
    encoder_name, _, rest = name.partition("_")
    if encoder_name not in ("enc0", "enc1") or rest == "network":
        return None
    if f"{encoder_name}_network" in dimensions and not (
        encoder_name == "enc1" and base.enc1_network == "enc0"
    ):
        return None
    return _why_no_encoder_effect(int(encoder_name[-1]), rest, base)


def _why_no_encoder_effect(
    encoder: int, field: str, base: Hyperparameters
) -> str | None:
    """Returns why an encoder's field has no effect; None if it has.

    Args:
        encoder: 0 or 1.
        field: The hyperparameter's name without ``enc0_`` or ``enc1_``.
        base: The given settings.
    """
    if encoder == 1 and base.enc1_network == "enc0":
        return "enc1_network=enc0 takes every enc0 value"
    if encoder == 1 and base.tied_token_embedding_weight and field in _OF_TIED_TABLE:
        return "tied_token_embedding_weight=True takes enc0's"
    network = base.network(encoder)
    if field == "cnn_filter_width" and network != "hcnn":
        return f"enc{encoder}_network={network} has no filters"
    if field == "layers" and network == "pooled_embedding":
        return f"enc{encoder}_network={network} has no layers"
    if field == "token_embedding_dim":
        if network == "pooled_embedding":
            return f"enc{encoder}_network={network} takes enc_dim"
        if base.of_encoder(encoder, "pretrained_embedding_file"):
            return f"{base.of_encoder(encoder, 'pretrained_embedding_file')} decides it"
        if base.tied_token_embedding_weight and base.enc1_network != "enc0":
            if encoder == 1:
                return "tied_token_embedding_weight=True takes enc0's"
            if base.network(1) == "pooled_embedding":
                return "tied_token_embedding_weight=True takes enc_dim"
    return None


def _narrow(
    dimensions: Mapping[str, Dimension], base: Hyperparameters
) -> dict[str, Dimension]:
    """Returns the ranges without values that break rules between hyperparameters.

    Raises:
        UserError: A range is empty afterwards.
    """
    narrowed = dict(dimensions)
    for encoder in _ENCODERS:
        _narrow_layers(narrowed, encoder, base)
    _narrow_batch_size(narrowed, base)
    _narrow_enc_dim(narrowed, base)
    for name, dimension in narrowed.items():
        if isinstance(dimension, Numbers) and dimension.low > dimension.high:
            raise UserError(
                f"tune: {name}={dimensions[name]}: no value in this range is valid "
                "with the other settings. Give another range."
            )
    return narrowed


def _narrow_layers(
    dimensions: dict[str, Dimension], encoder: int, base: Hyperparameters
) -> None:
    """Restricts the layers of an hcnn encoder to divisors of a fixed ``enc_dim``."""
    name = f"enc{encoder}_layers"
    layers = dimensions.get(name)
    if "enc_dim" in dimensions or not isinstance(layers, Numbers):
        return
    if base.network(encoder) != "hcnn":
        return
    divisors = [
        count
        for count in range(int(layers.low), int(layers.high) + 1)
        if base.enc_dim % count == 0
    ]
    if len(divisors) < 2:
        del dimensions[name]
    else:
        dimensions[name] = Choices(tuple(divisors))


def _narrow_batch_size(dimensions: dict[str, Dimension], base: Hyperparameters) -> None:
    """Restricts the batch size: negatives need 2 pairs, and a step has a maximum."""
    batch_size = dimensions.get("mini_batch_size")
    if not isinstance(batch_size, Numbers):
        return
    negatives = base.negative_sampling_rate
    low = 2 if negatives or base.objective == "in_batch_softmax" else 1
    dimensions["mini_batch_size"] = dataclasses.replace(
        batch_size,
        low=max(batch_size.low, low),
        high=min(batch_size.high, max(MAX_PAIRS_PER_STEP // (1 + negatives), low)),
    )


def _narrow_enc_dim(dimensions: dict[str, Dimension], base: Hyperparameters) -> None:
    """Restricts ``enc_dim`` where the other encoder's token embeddings share it."""
    enc_dim = dimensions.get("enc_dim")
    if not isinstance(enc_dim, Numbers) or not base.tied_token_embedding_weight:
        return
    networks = {base.network(encoder) for encoder in _ENCODERS}
    if "pooled_embedding" in networks and len(networks) == 2:
        # Tied token embeddings have the width of the pooled ones, enc_dim.
        kind: Any = specifications()["enc0_token_embedding_dim"].kind
        dimensions["enc_dim"] = dataclasses.replace(
            enc_dim, high=min(enc_dim.high, kind.high)
        )


def _network(effective: Mapping[str, Any], encoder: int) -> str:
    network = effective[f"enc{encoder}_network"]
    return str(effective["enc0_network"] if network == "enc0" else network)


def _nearest_multiple(value: int, divisor: int, within: Numbers) -> int:
    """Returns the multiple of ``divisor`` that is nearest to ``value``.

    If the range ``within`` contains no multiple, the value itself is returned.
    """
    lowest = math.ceil(within.low / divisor)
    highest = math.floor(within.high / divisor)
    if lowest > highest:
        return value
    return divisor * min(max(round(value / divisor), lowest), highest)
