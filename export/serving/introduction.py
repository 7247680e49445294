"""What the gateway shows on a terminal when it is ready."""

from __future__ import annotations

import json

from object2vec_tf.hyperparameters import Hyperparameters


def introduction(
    url: str, hyperparameters: Hyperparameters | None, version: int | None
) -> str:
    """Returns lines on the model, and a request to try, after a line end.

    Args:
        url: The gateway's URL.
        hyperparameters: The model's; None if it has not been reached.
        version: The number of its version; None if it is not known.
    """
    lines = ["", "Ctrl-C stops it."]
    if hyperparameters is not None:
        lines = ["", *_model_lines(url, hyperparameters, version), *lines[1:]]
    return "\n".join(lines)


def _model_lines(
    url: str, hyperparameters: Hyperparameters, version: int | None
) -> list[str]:
    name = "model" if version is None else f"model version {version}"
    scores = hyperparameters.output_dim
    inputs = [_example(hyperparameters, encoder) for encoder in (0, 1)]
    instances = [{"in0": inputs[0]}, {"in0": inputs[0], "in1": inputs[1]}]
    return [
        f"{name}: in0 or in1 -> embedding of {hyperparameters.enc_dim:,} numbers; "
        f"both -> {'score' if scores == 1 else f'{scores} scores'}",
        "Try:",
        f"  curl {url}/invocations \\",
        "    -H 'Content-Type: application/json' \\",
        f"    -d '{json.dumps({'instances': instances})}'",
        "Also: GET /ping and /metrics, and TF Serving's REST paths /v1/models/...",
    ]


def _example(hyperparameters: Hyperparameters, encoder: int) -> list[int] | str:
    """Returns an object that the encoder accepts."""
    name = f"in{encoder}"
    is_text = name in hyperparameters.texts and name not in hyperparameters.external_ids
    return "some words" if is_text else [1]
