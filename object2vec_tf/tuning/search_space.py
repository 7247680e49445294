"""What a study searches: which hyperparameters, and within which ranges.

A range is the one in the hyperparameter's field, or one the user wrote. What has no
effect on the configuration at hand is left out, and what the rules that join
hyperparameters would refuse is not drawn, as far as it can be foreseen.
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
from object2vec_tf.training.run import MAX_PAIRS_PER_STEP
from object2vec_tf.tuning.dimensions import (
    Choices,
    Dimension,
    Numbers,
    tunable_dimension,
    written_dimension,
)
from object2vec_tf.tuning.objective import Objective

_ENCODERS = (0, 1)


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The ranges of the hyperparameters that are searched.

    Attributes:
        given: The settings as they were given, by name.
        base: The same as hyperparameters: those of the first trial.
        dimensions: The range of each hyperparameter that is searched.
    """

    given: Mapping[str, Any]
    base: Hyperparameters
    dimensions: Mapping[str, Dimension]

    def parse_description(self) -> dict[str, str]:
        """Returns the ranges in words, by name."""
        return {name: str(dimension) for name, dimension in self.dimensions.items()}

    def as_given(self) -> dict[str, Any]:
        """Returns the given values of what is searched, those within their ranges."""
        return {
            name: getattr(self.base, name)
            for name, dimension in self.dimensions.items()
            if dimension.holds(getattr(self.base, name))
        }

    def settings(self, trial: optuna.Trial) -> Hyperparameters:
        """Returns a trial's settings; the first trial's are those that were given.

        Raises:
            HyperparameterError: The values drawn cannot go together.
        """
        if trial.number == 0:
            for name in self.as_given():
                self.dimensions[name].suggest(trial, name)
            return self.base
        values = {
            name: dimension.suggest(trial, name)
            for name, dimension in self.dimensions.items()
        }
        return Hyperparameters.from_mapping(self._joined(values))

    def searched(self, hyperparameters: Hyperparameters) -> dict[str, Any]:
        """Returns the values of what is searched in some settings."""
        return {name: getattr(hyperparameters, name) for name in self.dimensions}

    def _joined(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Returns given and drawn values, with those put right that hang on drawn."""
        values = {**self.given, **drawn}
        effective = {**self.base.to_dict(), **drawn}
        follows = effective["enc1_network"] == "enc0"
        for name in drawn:
            twin = name.replace("enc0_", "enc1_")
            if follows and twin != name:
                effective[twin] = drawn[name]
                values.pop(twin, None)
        dimension = self.dimensions.get("enc_dim")
        if isinstance(dimension, Numbers):
            values["enc_dim"] = _nearest_multiple(
                drawn["enc_dim"], enc_dim_divisor(effective), dimension
            )
        pooled = [_network(effective, e) == "pooled_embedding" for e in _ENCODERS]
        tied = effective["tied_token_embedding_weight"]
        for encoder in _ENCODERS:
            width = f"enc{encoder}_token_embedding_dim"
            if pooled[encoder]:  # pooling gives it its own
                values.pop(width, None)
            elif tied and any(pooled):
                values[width] = values.get("enc_dim", effective["enc_dim"])
            elif tied and encoder == 1 and not follows:
                values[width] = effective["enc0_token_embedding_dim"]
        return values


def search_space(
    given: Mapping[str, Any], wanted: str | None, objective: Objective
) -> SearchSpace:
    """Returns what a study searches.

    Args:
        given: The settings as they were given, by name.
        wanted: Names with or without ranges, ``learning_rate=1e-4..1e-2,dropout``;
            None for all that AWS tunes, that was not given and has an effect.
        objective: What the study goes by.

    Raises:
        HyperparameterError: A setting breaks a rule.
        UserError: What is wanted cannot be searched.
    """
    base = Hyperparameters.from_mapping(given)
    ours = {name: value for name, value in given.items() if name in specifications()}
    if wanted is None:
        dimensions = {
            name: dimension
            for name, specification in specifications().items()
            if (dimension := tunable_dimension(specification)) is not None
            and ours.get(name) is None
        }
        for name in list(dimensions):
            if _idle(name, base, objective, dimensions):
                del dimensions[name]
    else:
        dimensions = _wanted(wanted, base, objective)
    dimensions = _foreseen(dimensions, base)
    if not dimensions:
        raise UserError(
            "tune: every hyperparameter that could be searched is given; name those to "
            "search in --tune=NAME,NAME"
        )
    return SearchSpace(ours, base, dimensions)


def _wanted(
    wanted: str, base: Hyperparameters, objective: Objective
) -> dict[str, Dimension]:
    dimensions: dict[str, Dimension] = {}
    problems = []
    for item in wanted.split(","):
        name, equals, written = (part.strip() for part in item.partition("="))
        specification = specifications().get(name)
        if specification is None:
            close = difflib.get_close_matches(name, specifications(), n=1)
            hint = f": did you mean {close[0]}?" if close else ""
            problems.append(f"{name!r} is no hyperparameter{hint}")
            continue
        if name in dimensions:
            problems.append(f"{name} is there twice")
            continue
        if not equals:
            dimension = tunable_dimension(specification)
            if dimension is None:
                problems.append(
                    f"{name}: AWS does not tune it; give a range, {name}=LOW..HIGH or "
                    f"{name}=ONE|ANOTHER"
                )
                continue
        else:
            try:
                dimension = written_dimension(specification, written)
            except ValueError as error:
                problems.append(f"{name}: {error}")
                continue
        dimensions[name] = dimension
    for name in dimensions:
        reason = _idle(name, base, objective, dimensions)
        if reason:
            problems.append(f"{name}: {reason}; leave it out")
    if problems:
        raise UserError("tune: " + "\n  ".join(problems))
    return dimensions


def _idle(
    name: str,
    base: Hyperparameters,
    objective: Objective,
    dimensions: Mapping[str, Dimension],
) -> str | None:
    """Returns why to search a hyperparameter would be vain; None where it is not."""
    if name.startswith("mlp_"):
        if objective.is_of_encoders:
            return f"{objective} does not depend on it"
        if (
            name != "mlp_layers"
            and base.mlp_layers == 0
            and ("mlp_layers" not in dimensions)
        ):
            return "there is no layer with mlp_layers=0"
    if name == "enc_dim":
        for encoder in _ENCODERS:
            file = base.of_encoder(encoder, "pretrained_embedding_file")
            if file and base.network(encoder) == "pooled_embedding":
                return f"{file} decides it"
    encoder_name, _, rest = name.partition("_")
    if encoder_name not in ("enc0", "enc1") or rest == "network":
        return None
    encoder = int(encoder_name[-1])
    if encoder == 1 and base.enc1_network == "enc0":
        return "enc1_network=enc0 takes every enc0 value"
    if f"{encoder_name}_network" in dimensions:
        return None
    network = base.network(encoder)
    if rest == "cnn_filter_width" and network != "hcnn":
        return f"{encoder_name}_network={network} has no filters"
    if rest == "layers" and network == "pooled_embedding":
        return f"{encoder_name}_network={network} has no layers"
    if rest == "token_embedding_dim":
        if network == "pooled_embedding":
            return f"{encoder_name}_network={network} takes enc_dim"
        if base.of_encoder(encoder, "pretrained_embedding_file"):
            return f"{base.of_encoder(encoder, 'pretrained_embedding_file')} decides it"
        if base.tied_token_embedding_weight and base.enc1_network != "enc0":
            if encoder == 1:
                return "tied_token_embedding_weight=True takes enc0's"
            if base.network(1) == "pooled_embedding":
                return "tied_token_embedding_weight=True takes enc_dim"
    return None


def _foreseen(
    dimensions: dict[str, Dimension], base: Hyperparameters
) -> dict[str, Dimension]:
    """Leaves out of ranges what the rules that join hyperparameters would refuse."""
    narrowed = dict(dimensions)
    for name in ("enc0_layers", "enc1_layers"):
        layers = dimensions.get(name)
        if "enc_dim" in dimensions or not isinstance(layers, Numbers):
            continue
        if base.network(int(name[3])) == "hcnn":
            sharing = [
                count
                for count in range(int(layers.low), int(layers.high) + 1)
                if base.enc_dim % count == 0
            ]
            narrowed[name] = Choices(tuple(sharing))
            if len(sharing) < 2:
                del narrowed[name]
    batch = dimensions.get("mini_batch_size")
    if isinstance(batch, Numbers):
        drawn = base.negative_sampling_rate
        low = 2 if drawn or base.objective == "in_batch_softmax" else 1
        narrowed["mini_batch_size"] = dataclasses.replace(
            batch,
            low=max(batch.low, low),
            high=min(batch.high, max(MAX_PAIRS_PER_STEP // (1 + drawn), low)),
        )
    width = dimensions.get("enc_dim")
    if isinstance(width, Numbers) and base.tied_token_embedding_weight:
        networks = {base.network(encoder) for encoder in _ENCODERS}
        if "pooled_embedding" in networks and len(networks) == 2:
            # The other one's token vectors are as wide.
            kind: Any = specifications()["enc0_token_embedding_dim"].kind
            narrowed["enc_dim"] = dataclasses.replace(
                width, high=min(width.high, kind.high)
            )
    for name, dimension in narrowed.items():
        if isinstance(dimension, Numbers) and dimension.low > dimension.high:
            raise UserError(
                f"tune: {name}={dimensions[name]}: none of these goes with the other "
                "settings; give another range"
            )
    return narrowed


def _network(effective: Mapping[str, Any], encoder: int) -> str:
    network = effective[f"enc{encoder}_network"]
    return str(effective["enc0_network"] if network == "enc0" else network)


def _nearest_multiple(value: int, divisor: int, within: Numbers) -> int:
    """Returns the multiple next to ``value``; the value where there is none within."""
    lowest = math.ceil(within.low / divisor)
    highest = math.floor(within.high / divisor)
    if lowest > highest:
        return value
    return divisor * min(max(round(value / divisor), lowest), highest)
