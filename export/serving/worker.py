"""The program of the gateway's worker processes. It reads its task from stdin."""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
import signal
import socket
import sys
import threading
from typing import Final, NamedTuple

import tensorflow as tf

from export.serving.http_app import Gateway
from export.serving.model_source import ModelSource
from export.serving.prometheus import ServingMetrics
from export.serving.server import run
from export.serving.settings import GatewaySettings
from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError

# The lines on stdout that the main process reads; other lines are for the user.
READY: Final = "worker: ready"
FAILED: Final = "worker: failed: "


class WorkerTask(NamedTuple):
    """What a worker serves, and how.

    Attributes:
        source: The model.
        settings: Limits, names and additional paths.
        descriptor: The file descriptor of its socket.
        threads: The number of threads of an op; 0 for the runtime's own choice.
        metrics_directory: The directory of all workers' metrics.
    """

    source: ModelSource
    settings: GatewaySettings
    descriptor: int
    threads: int
    metrics_directory: str


def main() -> None:
    """Serves until SIGTERM, or until the main process ends."""
    task: WorkerTask = pickle.load(sys.stdin.buffer)
    orphaned = threading.Event()
    threading.Thread(target=_stop_with_parent, args=[orphaned], daemon=True).start()
    if task.threads:
        tf.config.threading.set_intra_op_parallelism_threads(task.threads)
        tf.config.threading.set_inter_op_parallelism_threads(task.threads)
    source = dataclasses.replace(task.source, threads=task.threads)
    reloader = source.reloader()
    try:
        gateway = Gateway(
            source.backend(reloader),
            task.settings,
            reloader if source.reload_seconds else None,
            ServingMetrics(task.metrics_directory),
        )
    except UserError as error:
        print(f"{FAILED}{error}", flush=True)
        sys.exit(runner.USER_ERROR)
    run(gateway, socket.socket(fileno=task.descriptor), READY)
    if orphaned.is_set():
        shutil.rmtree(task.metrics_directory, ignore_errors=True)


def _stop_with_parent(orphaned: threading.Event) -> None:
    """Asks this process to stop when its stdin is closed."""
    os.read(sys.stdin.fileno(), 1)
    orphaned.set()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    runner.run(main)
