"""The gateway's server: its socket, start and shutdown."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from export.serving.backends import Backend
from export.serving.http_app import Gateway
from export.serving.http_requests import SharedState
from export.serving.http_server import HttpServer, allow_connections
from export.serving.introduction import introduction
from export.serving.listening import listening, url_of
from export.serving.local_backend import LocalBackend
from export.serving.reload import Reloader
from export.serving.settings import GatewaySettings
from object2vec_tf.errors import UserError
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.progress import phase
from object2vec_tf.terminal import is_interactive

# Values of SageMaker's variable, and the output that is warmed up first.
_PREFERRED_MODES = {"embedding": "embeddings", "classification": "scores", "": ""}


def serve(
    backend: Backend,
    host: str,
    port: int,
    *,
    settings: GatewaySettings | None = None,
    reloader: Reloader | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then finishes the accepted requests.

    Args:
        backend: Computes the predictions.
        host: The address to listen on.
        port: The port; 0 takes a free one. The first line on stdout shows it.
        settings: Limits, names and additional paths.
        reloader: Loads new versions of the model; None to serve only this one.

    Raises:
        UserError: The address is not available.
    """
    gateway = Gateway(backend, settings, reloader)
    hyperparameters, version = backend.hyperparameters, backend.version
    del backend  # so that it can be freed when a new version replaces it
    with listening(host, port) as listener:
        url = url_of(listener)
        message = f"serving on {url}"
        if is_interactive(sys.stdout):
            message += introduction(url, hyperparameters, version)
        run(gateway, listener, message)


def run(gateway: Gateway, listener: socket.socket, message: str) -> None:
    """Serves on a socket until SIGTERM or SIGINT.

    Args:
        gateway: The gateway.
        listener: The socket, which may listen already.
        message: The line to print when requests are accepted.
    """
    settings = gateway.settings
    allow_connections(settings.connections.max_connections)
    early = max(settings.max_concurrency // 4, 1)
    shared = SharedState(settings.connections, settings.max_request_bytes, early)
    server = HttpServer(gateway.application(), message, shared)

    # Called for a signal that arrives before uvicorn handles signals, and for one that
    # uvicorn raises again after its shutdown.
    def stop(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    # Exclude everything loaded so far from garbage collection. A full collection walks
    # TensorFlow's modules and graphs and stops all requests for 0.16 s, once per second
    # under load.
    gc.collect()
    gc.freeze()
    server.run(sockets=[listener])


def local_backend(
    model: str | os.PathLike[str],
    runtime: str = "tensorflow",
    threads: int = 0,
    table: str | None = None,
) -> Backend:
    """Returns a backend for a model in this process, warmed up.

    Args:
        model: A run directory, an exported model or a directory of versions.
        runtime: tensorflow or onnx.
        threads: The number of threads of an op in onnxruntime; 0 for its own choice.
        table: memory or mmap; None as the model has its tables.

    Raises:
        UserError: There is no such model, or INFERENCE_PREFERRED_MODE is not a mode.
    """
    mode = os.environ.get("INFERENCE_PREFERRED_MODE", "").lower()
    if mode not in _PREFERRED_MODES:
        raise UserError(
            "INFERENCE_PREFERRED_MODE: expected embedding or classification, got "
            f"{mode}"
        )
    loaded = load_model(model, runtime, threads, table)
    with phase("warming up"):
        loaded.warm_up(first=_PREFERRED_MODES[mode])
    return LocalBackend(loaded)
