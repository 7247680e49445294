"""The identity of a run: the settings and data that two runs must share to be one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from object2vec_tf.hyperparameters import Hyperparameters

# What an identity without the entry has.
_WITHOUT_ENTRY = {"precision": "float32"}


def run_identity(
    hyperparameters: Hyperparameters,
    seed: int,
    fingerprints: Mapping[str, str],
    words: Mapping[str, str],
    start: Mapping[str, str],
) -> dict[str, Any]:
    """Returns the values, by name, that two runs must share to be the same run.

    Args:
        hyperparameters: The hyperparameters.
        seed: The random seed.
        fingerprints: The fingerprint of the data of each channel.
        words: The fingerprints of vocabularies and pretrained vectors, by name.
        start: The digest of the initial model and the frozen parts, if there are any.
    """
    return {
        **hyperparameters.to_dict(),
        "seed": seed,
        **{f"data of {name}": value for name, value in fingerprints.items()},
        **words,
        **start,
    }


def differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Describes the differences of two identities, one line per name.

    Args:
        saved: The identity of the run in the directory.
        current: The identity of the run that is about to start.
    """
    return [
        f"{name}: {_shown(name, saved)} in the directory, {_shown(name, current)} now"
        for name in sorted({*saved, *current})
        if saved.get(name) != current.get(name)
    ]


def _shown(name: str, identity: Mapping[str, Any]) -> str:
    value = identity.get(name, _WITHOUT_ENTRY.get(name))
    return "not set" if value is None else repr(value)
