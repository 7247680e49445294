"""Serves Object2Vec's HTTP requests.

python -m export.gateway --model=RUN_OR_SAVEDMODEL --port=8080
python -m export.gateway --tf_serving=HOST:PORT --model_name=object2vec --port=8080
"""

from __future__ import annotations

import os
import signal
import socket

import uvicorn
from absl import flags

from export.app import MAX_CONCURRENCY, MAX_REQUEST_BYTES, Gateway
from export.backends import Backend
from export.in_process import InProcess
from export.models import load_model
from export.over_grpc import OverGrpc
from object2vec_tf import command
from object2vec_tf.errors import UserError

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "a run, a SavedModel or a directory of versions, served by this process",
)
_TF_SERVING = flags.DEFINE_string(
    "tf_serving", None, "HOST:PORT of the gRPC interface of a TF Serving that answers"
)
_MODEL_NAME = flags.DEFINE_string(
    "model_name", "object2vec", "the model's name in TF Serving"
)
_RUNTIME = flags.DEFINE_enum(
    "runtime",
    "tensorflow",
    ["tensorflow", "onnx"],
    "what runs --model: TensorFlow, or onnxruntime (export with --format=onnx)",
)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "the address to listen on")
_PORT = flags.DEFINE_integer(
    "port", 8080, "the port to listen on; 0 takes a free one", 0, 65535
)
_MAX_REQUEST_BYTES = flags.DEFINE_integer(
    "max_request_bytes", MAX_REQUEST_BYTES, "larger requests are answered with 413", 1
)
_MAX_CONCURRENCY = flags.DEFINE_integer(
    "max_concurrency", MAX_CONCURRENCY, "more requests at a time get 503", 1
)
_TIMEOUT = flags.DEFINE_float(
    "timeout", 60.0, "seconds that TF Serving may take for a request", 0.001
)

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
    return InProcess(loaded)


def main() -> None:
    """Runs the command."""
    if bool(_MODEL.value) == bool(_TF_SERVING.value):
        raise UserError("give either --model or --tf_serving; see --help")
    backend: Backend
    if _TF_SERVING.value:
        backend = OverGrpc(_TF_SERVING.value, _MODEL_NAME.value, _TIMEOUT.value)
    else:
        backend = local_backend(_MODEL.value or "", _RUNTIME.value)
    serve(
        backend,
        _HOST.value,
        _PORT.value,
        max_request_bytes=_MAX_REQUEST_BYTES.value,
        max_concurrency=_MAX_CONCURRENCY.value,
    )


if __name__ == "__main__":
    command.run(main)
