"""The gateway's server: where it listens, how it starts and how it stops."""

from __future__ import annotations

import gc
import os
import signal
import socket

import uvicorn

from export.serving.backends import Backend
from export.serving.http_app import MAX_CONCURRENCY, MAX_REQUEST_BYTES, Gateway
from export.serving.local_backend import LocalBackend
from object2vec_tf.errors import UserError
from object2vec_tf.inference.predictor import load_model

# SageMaker's variable: which network is used first.
_PREFERRED_MODES = {"embedding": "embeddings", "classification": "scores", "": ""}
_BACKLOG = 2048


def serve(
    backend: Backend,
    host: str,
    port: int,
    *,
    max_request_bytes: int = MAX_REQUEST_BYTES,
    max_concurrency: int = MAX_CONCURRENCY,
) -> None:
    """Answers requests until SIGTERM or SIGINT, and what was accepted before.

    Args:
        backend: What answers.
        host: The address to listen on.
        port: The port; 0 takes a free one, which the first line on stdout tells.
        max_request_bytes: Larger requests are refused with 413.
        max_concurrency: Requests under way at a time; more are refused with 503.

    Raises:
        UserError: The address cannot be had.
    """
    gateway = Gateway(backend, max_request_bytes, max_concurrency)
    config = uvicorn.Config(
        gateway.application(), log_level="warning", access_log=False, lifespan="on"
    )
    with _listening(host, port) as listener:
        name, number = listener.getsockname()[:2]
        shown = f"[{name}]" if ":" in name else name
        # uvicorn raises the signal again when it is done; it has been heeded by then.
        for number_of_signal in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number_of_signal, lambda *_: None)
        # What is loaded by now stays. A full collection would stop every request while
        # it walks TensorFlow's modules and graphs: 0.16 s, once a second under load.
        gc.collect()
        gc.freeze()
        print(f"serving on http://{shown}:{number}", flush=True)
        uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UserError(
            f"--host={host} --port={port}: cannot listen there: {error.strerror}; give "
            "another, or stop what holds it"
        ) from error


def local_backend(
    model: str | os.PathLike[str], runtime: str = "tensorflow"
) -> Backend:
    """Returns a backend that answers from this process, warmed up.

    Args:
        model: A run, an exported model or a directory of versions.
        runtime: tensorflow or onnx.

    Raises:
        UserError: There is no such model, or INFERENCE_PREFERRED_MODE is not a mode.
    """
    mode = os.environ.get("INFERENCE_PREFERRED_MODE", "").lower()
    if mode not in _PREFERRED_MODES:
        raise UserError(
            f"INFERENCE_PREFERRED_MODE={mode}: expected embedding or classification"
        )
    loaded = load_model(model, runtime)
    loaded.warm_up(first=_PREFERRED_MODES[mode])
    return LocalBackend(loaded)
