"""Completes the values that a user gives, and reports all problems at once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from object2vec_tf.errors import HyperparameterError
from object2vec_tf.hyperparameters.rules import (
    check_enc_dim,
    check_in_batch,
    check_negatives,
    check_smoothing,
    check_texts,
    check_tied,
    check_tied_encoders,
    copy_enc0,
    resolve_encoder,
    warn_of_values_beyond_sagemaker,
)
from object2vec_tf.hyperparameters.specification import SPECIFICATIONS, Specification
from object2vec_tf.hyperparameters.subwords import check_subwords, resolve_buckets


def effective_values(
    values: Mapping[str, Any],
    specifications: Mapping[str, Specification],
    defaults: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns the effective value of every hyperparameter, typed.

    Args:
        values: Values given by the user, typed or as strings.
        specifications: Specification of every hyperparameter by name. Problems are
            reported in this order.
        defaults: Defaults by name; required hyperparameters are left out.

    Raises:
        HyperparameterError: Names every problem.
    """
    problems: list[str] = []
    _check_names(values, specifications, problems)
    given = _parse(values, specifications, defaults, problems)
    effective = {**defaults, **given}
    _complete(effective, given, problems)
    if problems:
        raise HyperparameterError(_message(problems))
    warn_of_values_beyond_sagemaker(given)
    return effective


def _message(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} invalid hyperparameters:\n  " + "\n  ".join(problems)


def _check_names(
    names: Iterable[str], known: Collection[str], problems: list[str]
) -> None:
    """Adds a problem with a suggestion for each unknown name."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {close[0]}?" if close else ". Remove it."
            problems.append(f"{name}: unknown hyperparameter{hint}")


def _parse(
    values: Mapping[str, Any],
    specifications: Mapping[str, Specification],
    defaults: Mapping[str, Any],
    problems: list[str],
) -> dict[str, Any]:
    """Returns the typed values of known names; None for a value that is invalid."""
    typed = {}
    for name in (known for known in specifications if known in values):
        range_name = name
        if _is_width_of_pooling(name, values, defaults):
            range_name = "enc_dim"
        try:
            typed[name] = specifications[range_name].kind.parse(values[name])
        except ValueError as error:
            problems.append(f"{name}: {error}")
            typed[name] = None
    return typed


def _is_width_of_pooling(
    name: str, values: Mapping[str, Any], defaults: Mapping[str, Any]
) -> bool:
    """Whether a token_embedding_dim equals enc_dim under pooled_embedding.

    It then has the range of enc_dim.
    """
    encoder, _, rest = name.partition("_")
    network = values.get(f"{encoder}_network")
    if encoder == "enc1" and network in (None, "enc0"):
        network = values.get("enc0_network")
    return (
        rest == "token_embedding_dim"
        and network == "pooled_embedding"
        and str(values[name]) == str(values.get("enc_dim", defaults["enc_dim"]))
    )


def _complete(
    effective: dict[str, Any], given: Mapping[str, Any], problems: list[str]
) -> None:
    """Completes the effective values; adds a problem for each broken rule.

    Args:
        effective: Defaults and given values; changed in place.
        given: Typed values given by the user; None for a value that is invalid.
        problems: List to add to.
    """
    copies_enc0 = effective["enc1_network"] in ("enc0", None)
    for name in ("enc0_max_seq_len", "enc0_vocab_size"):
        if name not in given:
            valid = SPECIFICATIONS[name].kind.valid
            problems.append(f"{name}: required. Give {valid}.")
    resolve_encoder(effective, given, 0, effective["enc0_network"])
    resolve_buckets(effective, 0)
    if copies_enc0:
        copy_enc0(effective, given, problems)
    else:
        for name in ("enc1_max_seq_len", "enc1_vocab_size"):
            if name not in given:
                valid = SPECIFICATIONS[name].kind.valid
                problems.append(
                    f"{name}: required unless enc1_network=enc0. Give {valid}."
                )
        resolve_encoder(effective, given, 1, effective["enc1_network"])
        resolve_buckets(effective, 1)
    for check in (
        check_enc_dim,
        check_texts,
        check_subwords,
        check_tied,
        check_tied_encoders,
        check_in_batch,
        check_negatives,
        check_smoothing,
    ):
        check(effective, problems)
