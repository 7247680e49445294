"""Trains and serves in the layout of a SageMaker container.

    python -m object2vec_tf.sagemaker train [--prefix=/opt/ml]
    python -m object2vec_tf.sagemaker serve [--prefix=/opt/ml]

Source: the Amazon SageMaker developer guide, "Use Your Own Training Algorithms" and
"Use Your Own Inference Code with Hosting Services".
"""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path
from typing import Any

from absl import flags

from export.serving.server import local_backend, serve
from object2vec_tf.commands import runner
from object2vec_tf.distributed.cluster import TF_CONFIG, config_of_hosts
from object2vec_tf.errors import Interrupted, UserError
from object2vec_tf.hyperparameters import read_json
from object2vec_tf.training.run import fit

_PREFIX = flags.DEFINE_string("prefix", "/opt/ml", "the container's root")
_HOST = flags.DEFINE_string("host", "0.0.0.0", "the address that serve listens on")

_CHANNELS = ("train", "validation", "test", "auxiliary")
_FAILURE_CHARACTERS = 1024
_PORT = 8080
_LAST_PORT = 65535


def train(prefix: Path) -> None:
    """Trains on the channels below ``prefix``; the run goes to ``prefix/model``.

    A failure's reason is written to ``prefix/output/failure``.

    Args:
        prefix: Holds ``input/config/hyperparameters.json``, whose values are strings,
            and a directory ``input/data/<channel>`` for each channel.

    Raises:
        UserError: Settings or data need mending.
    """
    try:
        _refuse_unsupported(prefix / "input/config")
        _tell_of_workers(prefix / "input/config/resourceconfig.json")
        data = prefix / "input/data"
        channels = {name: data / name for name in _CHANNELS if (data / name).exists()}
        if "train" not in channels:
            raise UserError(f"{data / 'train'}: no such channel; give the job one")
        hyperparameters = read_json(prefix / "input/config/hyperparameters.json")
        # SageMaker uploads all that is in the model's directory.
        fit(
            hyperparameters,
            **channels,  # type: ignore[arg-type]
            model_dir=prefix / "model",
            cache_dir=prefix / "cache",
        )
    except Interrupted:  # no failure: a job started again goes on
        raise
    except BaseException as error:
        reason = str(error) if isinstance(error, UserError) else traceback.format_exc()
        failure = prefix / "output/failure"
        failure.parent.mkdir(parents=True, exist_ok=True)
        # A traceback says at its end what is wrong.
        is_told = isinstance(error, UserError)
        shown = (
            reason[:_FAILURE_CHARACTERS] if is_told else reason[-_FAILURE_CHARACTERS:]
        )
        failure.write_text(shown, encoding="utf-8")
        raise


def _refuse_unsupported(config: Path) -> None:
    channels = _read(config / "inputdataconfig.json")
    for name, channel in channels.items():
        kind = channel.get("ContentType") or "application/jsonlines"
        if name not in _CHANNELS:
            raise UserError(
                f"channel {name}: not one of {', '.join(_CHANNELS)}; rename it"
            )
        if channel.get("TrainingInputMode", "File") == "Pipe":
            raise UserError(f"channel {name}: Pipe mode is not read; use File mode")
        if name != "auxiliary" and kind != "application/jsonlines":
            raise UserError(
                f"channel {name}: content type {kind} is not read; give JSON Lines, "
                "application/jsonlines"
            )


def _tell_of_workers(path: Path) -> None:
    """Sets TF_CONFIG, where there are several hosts and it is not set."""
    resources = _read(path)
    hosts = resources.get("hosts", [])
    if not isinstance(hosts, list) or not all(isinstance(h, str) for h in hosts):
        raise UserError(f"{path}: hosts is {hosts!r}, expected a list of names")
    hosts = sorted(hosts)
    own = str(resources.get("current_host"))
    if len(hosts) < 2 or TF_CONFIG in os.environ:
        return
    if own not in hosts:
        raise UserError(f"{path}: current_host is {own!r}, none of hosts: {hosts}")
    os.environ[TF_CONFIG] = config_of_hosts(hosts, own)


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not a JSON object: {error}") from error
    if not isinstance(held, dict):
        raise UserError(f"{path}: not a JSON object; SageMaker writes it")
    return held


def main(verb: str) -> None:
    """Runs the command.

    Args:
        verb: train or serve.
    """
    prefix = Path(_PREFIX.value)
    if verb == "train":
        train(prefix)
    else:
        port = os.environ.get("SAGEMAKER_BIND_TO_PORT") or str(_PORT)
        if not port.isdecimal() or int(port) > _LAST_PORT:
            raise UserError(
                f"SAGEMAKER_BIND_TO_PORT={port}: expected a port in 0..{_LAST_PORT}"
            )
        serve(local_backend(prefix / "model"), _HOST.value, int(port))


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    runner.run_cli(main, verbs=("train", "serve"))


if __name__ == "__main__":
    cli()
