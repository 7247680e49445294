"""Trains and serves with the file layout of a SageMaker container.

    python -m object2vec_tf.sagemaker train [--prefix=/opt/ml]
    python -m object2vec_tf.sagemaker serve [--prefix=/opt/ml]

Source: the Amazon SageMaker developer guide, "Use Your Own Training Algorithms" and
"Use Your Own Inference Code with Hosting Services".
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import keras
from absl import flags

from export.exported_model import exported_model
from export.serving.model_source import ModelSource
from export.serving.server import local_backend, serve
from export.serving.settings import GatewaySettings
from export.serving.workers import serve_with_workers
from object2vec_tf.commands import runner
from object2vec_tf.commands.flag_uses import FlagUses
from object2vec_tf.commands.line_flag import (
    MAX_LINE_MEGABYTES,
    set_line_limit_of_flag,
)
from object2vec_tf.commands.signals import catch_sigterm
from object2vec_tf.distributed.cluster import (
    TF_CONFIG,
    read_cluster,
    tf_config_of_hosts,
)
from object2vec_tf.distributed.joining import failures_reported, joined_workers
from object2vec_tf.errors import Interrupted, RunDirectoryError, UserError
from object2vec_tf.files.remote import local_path
from object2vec_tf.hyperparameters import read_json
from object2vec_tf.inference.model_store import exported_models
from object2vec_tf.jobs.channel_config import CHANNELS, check_channels
from object2vec_tf.jobs.job_config import (
    existing_channels,
    read_checkpoint_folder,
    read_hosts,
)
from object2vec_tf.jobs.model_directory import check_no_run, publish
from object2vec_tf.jobs.run_files import job_run_directory
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.training.run import fit
from object2vec_tf.training.sagemaker_metrics import write_always

_PREFIX = flags.DEFINE_string("prefix", "/opt/ml", "root directory of the container")
_HOST = flags.DEFINE_string("host", "0.0.0.0", "address to listen on")
flags.declare_key_flag(MAX_LINE_MEGABYTES.name)
_FLAG_USES: FlagUses = {
    "train": (_PREFIX, MAX_LINE_MEGABYTES),
    "serve": (_PREFIX, _HOST),
}

# Number of characters of output/failure that SageMaker shows.
_MAX_FAILURE_CHARACTERS = 1024
_MAX_PORT = 65535
_MAX_WORKERS = 1000


def train(prefix: Path) -> None:
    """Trains on the channels below ``prefix``, and writes ``prefix/model``.

    The run resumes from the checkpoints in the folder that checkpointconfig.json names,
    if there are any. After a SIGTERM, ``prefix/model`` has the best model so far. The
    reason of a failure is written to ``prefix/output/failure``.

    Args:
        prefix: Root directory, which has ``input/config/hyperparameters.json`` with
            strings as values, and a directory ``input/data/<channel>`` per channel.

    Raises:
        UserError: Settings or data are invalid.
        Interrupted: The process received SIGTERM; the run can be resumed.
    """
    failure = prefix / "output/failure"
    write_always()
    try:
        failure.unlink(missing_ok=True)
        with catch_sigterm():  # from here to the end of publication
            _train(prefix, prefix / "input/config")
    except Interrupted:  # not a failure: restarting the job resumes the run
        raise
    except BaseException as error:
        _write_failure(failure, error)
        raise


def _train(prefix: Path, config: Path) -> None:
    hosts, own = read_hosts(config / "resourceconfig.json")
    if len(hosts) > 1 and TF_CONFIG not in os.environ:
        os.environ[TF_CONFIG] = tf_config_of_hosts(hosts, own)
    with joined_workers("auto"):
        _train_with_workers(prefix, config, hosts)


def _train_with_workers(prefix: Path, config: Path, hosts: Sequence[str]) -> None:
    check_channels(config / "inputdataconfig.json", len(hosts))
    checkpoints = read_checkpoint_folder(config / "checkpointconfig.json", prefix)
    channels = existing_channels(prefix / "input/data", CHANNELS)
    hyperparameters = read_json(config / "hyperparameters.json")
    check_no_run(prefix / "model")
    # SageMaker uploads everything in prefix/model and in the folder of the checkpoints,
    # so that cache and run directory are elsewhere.
    run_directory = job_run_directory(prefix / "run", checkpoints, prefix / "model")
    with run_directory as run:
        trained = keras.callbacks.Callback()  # gets the model
        try:
            fit(
                hyperparameters,
                **channels,  # type: ignore[arg-type]
                model_dir=run.path,
                cache_dir=prefix / "cache",
                callbacks=[trained],
            )
        except Interrupted as error:
            published = _publish(run, prefix / "model", trained.model)
            raise Interrupted(f"{error}\n{published}") from None
        except RunDirectoryError as error:
            raise UserError(
                f"{error}\nThe folder of a SageMaker job's checkpoints, {checkpoints}, "
                "is copied from the S3Uri of its CheckpointConfig: give another S3Uri "
                "to start again."
            ) from error
        print(_publish(run, prefix / "model", None), flush=True)


def _publish(run: RunDirectory, path: Path, trained: keras.Model | None) -> str:
    """Publishes the model if this process is the chief; returns what it did."""
    cluster = read_cluster()
    if cluster and cluster.worker:
        return f"{path}: the chief publishes the model"
    if publish(run, path, trained):
        return f"{path}: the best model, for serving"
    return f"{path}: no model yet, since training has not started"


def _write_failure(path: Path, error: BaseException) -> None:
    if isinstance(error, UserError):
        reason = str(error)[:_MAX_FAILURE_CHARACTERS]
    else:  # the end of a traceback has the message
        reason = traceback.format_exc()[-_MAX_FAILURE_CHARACTERS:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reason, encoding="utf-8")


def main(verb: str) -> None:
    """Trains or serves with the values of the flags.

    Args:
        verb: train or serve.
    """
    prefix = local_path(_PREFIX.value, "prefix")
    if verb == "train":
        set_line_limit_of_flag()
        train(prefix)
    else:
        port = _variable("SAGEMAKER_BIND_TO_PORT", "a port", 0, _MAX_PORT, 8080)
        workers = _variable(
            "SAGEMAKER_MODEL_SERVER_WORKERS", "a number", 1, _MAX_WORKERS, 1
        )
        _serve(prefix / "model", port, workers)


def _variable(name: str, kind: str, minimum: int, maximum: int, default: int) -> int:
    """Returns the value of an environment variable that SageMaker sets.

    Raises:
        UserError: It is not an integer in the range.
    """
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or len(text) > 9 or not minimum <= int(text) <= maximum:
        raise UserError(
            f"{name}: expected {kind} in {minimum}..{maximum}, got {text}. Correct the "
            "environment variable."
        )
    return int(text)


def _serve(model: Path, port: int, workers: int) -> None:
    """Serves the model in a directory."""
    with exported_model(_served(model)) as path:
        if workers == 1:
            serve(local_backend(path), _HOST.value, port)
        else:
            serve_with_workers(
                ModelSource(os.fspath(path)),
                _HOST.value,
                port,
                settings=GatewaySettings(),
                workers=workers,
            )


def _served(path: Path) -> Path:
    """Returns what to serve: the SavedModel or else the ``.keras`` file."""
    keras_file = RunDirectory(path).model
    if not exported_models(path) and keras_file.exists():
        return keras_file
    return path


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    with failures_reported(lambda: "auto" if "train" in sys.argv[1:] else "one"):
        runner.run_cli(main, _FLAG_USES)


if __name__ == "__main__":
    cli()
