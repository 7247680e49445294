"""Trains and serves with the file layout of a SageMaker container.

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
from object2vec_tf.commands.flag_uses import FlagUses
from object2vec_tf.distributed.cluster import TF_CONFIG, tf_config_of_hosts
from object2vec_tf.errors import Interrupted, UserError
from object2vec_tf.hyperparameters import read_json
from object2vec_tf.training.run import fit

_PREFIX = flags.DEFINE_string("prefix", "/opt/ml", "root directory of the container")
_HOST = flags.DEFINE_string("host", "0.0.0.0", "address to listen on")
_FLAG_USES: FlagUses = {"train": (_PREFIX,), "serve": (_PREFIX, _HOST)}

_JSON_LINES = "application/jsonlines"
_CHANNELS = ("train", "validation", "test", "auxiliary")
# Number of characters of output/failure that SageMaker shows.
_MAX_FAILURE_CHARACTERS = 1024
_DEFAULT_PORT = 8080
_MAX_PORT = 65535


def train(prefix: Path) -> None:
    """Trains on the channels below ``prefix``, with the run directory ``prefix/model``.

    The reason of a failure is written to ``prefix/output/failure``.

    Args:
        prefix: Root directory, which has ``input/config/hyperparameters.json`` with
            strings as values, and a directory ``input/data/<channel>`` per channel.

    Raises:
        UserError: Settings or data are invalid.
    """
    try:
        _check_channels(prefix / "input/config")
        _set_tf_config(prefix / "input/config/resourceconfig.json")
        data = prefix / "input/data"
        channels = {name: data / name for name in _CHANNELS if (data / name).exists()}
        if "train" not in channels:
            raise UserError(
                f"{data / 'train'}: no such directory. Give the job a train channel."
            )
        hyperparameters = read_json(prefix / "input/config/hyperparameters.json")
        # SageMaker uploads everything in prefix/model, so that the cache is outside.
        fit(
            hyperparameters,
            **channels,  # type: ignore[arg-type]
            model_dir=prefix / "model",
            cache_dir=prefix / "cache",
        )
    except Interrupted:  # not a failure: restarting the job resumes the run
        raise
    except BaseException as error:
        _write_failure(prefix / "output/failure", error)
        raise


def _write_failure(path: Path, error: BaseException) -> None:
    if isinstance(error, UserError):
        reason = str(error)[:_MAX_FAILURE_CHARACTERS]
    else:  # the end of a traceback has the message
        reason = traceback.format_exc()[-_MAX_FAILURE_CHARACTERS:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reason, encoding="utf-8")


def _check_channels(config: Path) -> None:
    """Rejects channels, input modes and content types that are not supported."""
    channels = _read(config / "inputdataconfig.json")
    for name, channel in channels.items():
        content_type = channel.get("ContentType") or _JSON_LINES
        if name not in _CHANNELS:
            raise UserError(
                f"channel {name}: expected one of {', '.join(_CHANNELS)}. Rename the "
                "channel."
            )
        if channel.get("TrainingInputMode", "File") == "Pipe":
            raise UserError(f"channel {name}: expected input mode File, got Pipe.")
        if name != "auxiliary" and content_type != _JSON_LINES:
            raise UserError(
                f"channel {name}: expected content type {_JSON_LINES}, "
                f"got {content_type}."
            )


def _set_tf_config(path: Path) -> None:
    """Sets TF_CONFIG if there are several hosts and it is not set already."""
    resources = _read(path)
    hosts = resources.get("hosts", [])
    if not isinstance(hosts, list) or not all(isinstance(h, str) for h in hosts):
        raise UserError(f"{path}: hosts: expected a list of names, got {hosts!r}.")
    hosts = sorted(hosts)
    own = str(resources.get("current_host"))
    if len(hosts) < 2 or TF_CONFIG in os.environ:
        return
    if own not in hosts:
        raise UserError(
            f"{path}: current_host: expected one of hosts, {hosts}, got {own!r}."
        )
    os.environ[TF_CONFIG] = tf_config_of_hosts(hosts, own)


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: expected a JSON object: {error}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: expected a JSON object as SageMaker writes it, "
            f"got {type(content).__name__}."
        )
    return content


def main(verb: str) -> None:
    """Trains or serves with the values of the flags.

    Args:
        verb: train or serve.
    """
    prefix = Path(_PREFIX.value)
    if verb == "train":
        train(prefix)
    else:
        port = os.environ.get("SAGEMAKER_BIND_TO_PORT") or str(_DEFAULT_PORT)
        if not port.isdecimal() or int(port) > _MAX_PORT:
            raise UserError(
                f"SAGEMAKER_BIND_TO_PORT: expected a port in 0..{_MAX_PORT}, "
                f"got {port}."
            )
        serve(local_backend(prefix / "model"), _HOST.value, int(port))


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    runner.run_cli(main, _FLAG_USES)


if __name__ == "__main__":
    cli()
