"""Freezing: parts of a model whose weights are not trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters

# The parts of `Object2Vec` that can be frozen.
PARTS = ("enc0", "enc1", "comparator")


def parse_parts(parts: str | Sequence[str]) -> tuple[str, ...]:
    """Returns the parts of a model, in the order of `PARTS` and without repetitions.

    Args:
        parts: Their names; a string may have several, separated by commas.

    Raises:
        UserError: There is no such part.

    Example:
        >>> from object2vec_tf.model.freezing import parse_parts
        >>> parse_parts("comparator, enc0")
        ('enc0', 'comparator')
    """
    if not isinstance(parts, Iterable):
        raise UserError(
            f"freeze: expected names among {', '.join(PARTS)}, got {parts!r:.60}. Give "
            "a string or a list of strings."
        )
    names = parts.split(",") if isinstance(parts, str) else parts
    given = [str(name).strip() for name in names]
    if isinstance(parts, str) and not parts.strip():
        return ()
    for name in given:
        if name not in PARTS:
            raise UserError(
                f"freeze: expected names among {', '.join(PARTS)}, got {name!r}. "
                "Separate several by commas."
            )
    return tuple(name for name in PARTS if name in given)


def trainable_flags(model: Any) -> dict[str, bool]:
    """Returns which parts of a model are trained, and which layers differ from them.

    Args:
        model: A model with `PARTS`.

    Returns:
        ``trainable`` by part, such as enc0; and by layer, such as comparator/mlp_0,
        where it is not that of the layer's part.
    """
    flags = {}
    for name in PARTS:
        part = getattr(model, name)
        flags[name] = part.trainable
        for layer in part.layers:
            if layer.trainable != part.trainable:
                flags[f"{name}/{layer.name}"] = layer.trainable
    return flags


def set_trainable_flags(model: Any, flags: Mapping[str, bool]) -> None:
    """Sets ``trainable`` of parts and layers.

    Args:
        model: A model with `PARTS`.
        flags: As `trainable_flags` returns them.
    """
    # A part sets the flags of its layers, which it may share with another part.
    for name in sorted(flags, key=lambda name: "/" in name):
        part, _, layer = name.partition("/")
        network = getattr(model, part)
        (network.get_layer(layer) if layer else network).trainable = flags[name]


def check_something_is_trained(
    hyperparameters: Hyperparameters, frozen: Sequence[str]
) -> None:
    """Checks that freezing leaves weights to train.

    Args:
        hyperparameters: The hyperparameters.
        frozen: The frozen parts.

    Raises:
        UserError: It leaves none.
    """
    if "comparator" not in frozen or any(
        _is_trained(hyperparameters, encoder, frozen) for encoder in (0, 1)
    ):
        return
    raise UserError(
        f"freeze: expected at least one part to train, got {', '.join(frozen)}, "
        f"{_reason(frozen)}. Leave one of them out."
    )


def _is_trained(
    hyperparameters: Hyperparameters, encoder: int, frozen: Sequence[str]
) -> bool:
    """Returns whether an encoder has weights that are trained."""
    if f"enc{encoder}" in frozen:
        return False
    if hyperparameters.tied_encoders and not {"enc0", "enc1"}.isdisjoint(frozen):
        return False
    if hyperparameters.network(encoder) != "pooled_embedding":
        return True
    is_tied = hyperparameters.tied_token_embedding_weight
    other = f"enc{1 - encoder}"
    if is_tied and other in frozen:
        other_has_weights = hyperparameters.weights_tokens(1 - encoder)
        return hyperparameters.weights_tokens(encoder) and not other_has_weights
    return (
        hyperparameters.weights_tokens(encoder)
        or hyperparameters.subwords(encoder) is not None  # n-grams are always trained
        or not hyperparameters.freezes(encoder)
    )


def _reason(frozen: Sequence[str]) -> str:
    if set(frozen) == set(PARTS):
        return "which is all of the model"
    return (
        "and the other encoder shares all its weights with a frozen encoder, or has "
        "only frozen pretrained token vectors"
    )
