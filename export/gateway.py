"""Serves embeddings and scores of a model over HTTP.

python -m export.gateway --model=RUN_OR_SAVEDMODEL --port=8080
python -m export.gateway --tf_serving=HOST:PORT --model_name=object2vec --port=8080
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

from absl import flags

from export.exported_model import exported_model
from export.serving.model_source import ModelSource
from export.serving.server import serve
from export.serving.settings import (
    MAX_CONCURRENCY,
    MAX_REQUEST_BYTES,
    MAX_RESPONSE_VALUES,
    MODEL_NAME,
    ConnectionLimits,
    GatewaySettings,
)
from export.serving.vertex import (
    STORAGE_URI,
    VertexEnvironment,
    vertex_environment,
)
from export.serving.workers import serve_with_workers
from object2vec_tf.commands import runner
from object2vec_tf.commands.flag_uses import FlagUses, reject_unused_flags
from object2vec_tf.commands.table_flag import TABLE, check_table_of_flag
from object2vec_tf.errors import UserError
from object2vec_tf.inference.model_store import ONNX, SAVED_MODEL, staged_model
from object2vec_tf.inference.recommend_requests import MAX_ITEMS

_SHORTEST_TIMEOUT = 0.001

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "run directory, exported model, directory of versions or .keras file, loaded in "
    "this process",
)
_TF_SERVING = flags.DEFINE_string(
    "tf_serving", None, "HOST:PORT of the gRPC interface of a TF Serving process"
)
_MODEL_NAME = flags.DEFINE_string(
    "model_name",
    MODEL_NAME,
    "name of the model in TF Serving, and in the paths /v1/models/NAME",
)
_RUNTIME = flags.DEFINE_enum(
    "runtime",
    "tensorflow",
    ["tensorflow", "onnx"],
    "runtime of --model: TensorFlow, or onnxruntime for a model exported with "
    "--format=onnx",
)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "address to listen on")
_PORT = flags.DEFINE_integer(
    "port", 8080, "port to listen on; 0: any free port", 0, 65535
)
_MAX_REQUEST_BYTES = flags.DEFINE_integer(
    "max_request_bytes",
    MAX_REQUEST_BYTES,
    "maximum size of a request in bytes; larger ones get status 413",
    1,
)
_MAX_CONCURRENCY = flags.DEFINE_integer(
    "max_concurrency",
    MAX_CONCURRENCY,
    "maximum number of concurrent requests; more get status 503",
    1,
)
_MAX_RECOMMENDED_ITEMS = flags.DEFINE_integer(
    "max_recommended_items",
    MAX_ITEMS,
    "maximum number of items in a response of /recommend: objects times the largest k",
    1,
)
_MAX_RESPONSE_VALUES = flags.DEFINE_integer(
    "max_response_values",
    MAX_RESPONSE_VALUES,
    "maximum number of values in a response, objects times the width of an embedding "
    "or of scores; requests for more get status 413",
    1,
)
_TIMEOUT = flags.DEFINE_float(
    "timeout", 60.0, "timeout of a request to TF Serving in seconds", _SHORTEST_TIMEOUT
)
_LIMITS = ConnectionLimits()
_HEADER_TIMEOUT = flags.DEFINE_float(
    "header_timeout_seconds",
    _LIMITS.header_timeout_seconds,
    "maximum seconds until the headers of a request are complete; later ones get "
    "status 408",
    _SHORTEST_TIMEOUT,
)
_BODY_TIMEOUT = flags.DEFINE_float(
    "body_timeout_seconds",
    _LIMITS.body_timeout_seconds,
    "maximum seconds from the headers of a request to the end of its body; later ones "
    "get status 408",
    _SHORTEST_TIMEOUT,
)
_STALL_TIMEOUT = flags.DEFINE_float(
    "stall_timeout_seconds",
    _LIMITS.stall_timeout_seconds,
    "maximum seconds without a byte of a body (then status 408), or in which a client "
    "reads nothing of a response",
    _SHORTEST_TIMEOUT,
)
_IDLE_TIMEOUT = flags.DEFINE_float(
    "idle_timeout_seconds",
    _LIMITS.idle_timeout_seconds,
    "seconds after which a connection without a request is closed; give more than a "
    "load balancer's",
    _SHORTEST_TIMEOUT,
)
_DRAIN_TIMEOUT = flags.DEFINE_float(
    "drain_timeout_seconds",
    _LIMITS.drain_timeout_seconds,
    "maximum seconds from SIGTERM to the end of accepted requests",
    0.0,
)
_MAX_CONNECTIONS = flags.DEFINE_integer(
    "max_connections",
    _LIMITS.max_connections,
    "maximum number of open connections; a new one replaces the longest idle one, or "
    "gets status 503",
    1,
)
_MAX_HEADER_BYTES = flags.DEFINE_integer(
    "max_header_bytes",
    _LIMITS.max_header_bytes,
    "maximum size of the path and the headers of a request in bytes, plus 32 for each "
    "header; larger ones get status 431",
    256,
)

_WORKERS = flags.DEFINE_integer(
    "workers",
    1,
    "number of processes that share the port, each with its own model, limits and part "
    "of the CPU cores",
    1,
)
_RELOAD = flags.DEFINE_bool(
    "reload",
    True,
    "serve a new version of --model when its directory appears; requests that are "
    "running are finished with the old version",
)
_RELOAD_SECONDS = flags.DEFINE_float(
    "reload_seconds", 1.0, "seconds between two looks for a new version", 0.05
)
# Flags with the names of the attributes of GatewaySettings and ConnectionLimits.
_SETTINGS = (
    _MODEL_NAME,
    _MAX_REQUEST_BYTES,
    _MAX_CONCURRENCY,
    _MAX_RECOMMENDED_ITEMS,
    _MAX_RESPONSE_VALUES,
)
_CONNECTIONS = (
    _HEADER_TIMEOUT,
    _BODY_TIMEOUT,
    _STALL_TIMEOUT,
    _IDLE_TIMEOUT,
    _DRAIN_TIMEOUT,
    _MAX_CONNECTIONS,
    _MAX_HEADER_BYTES,
)
flags.declare_key_flag(TABLE.name)
_COMMON = (_HOST, _PORT, *_SETTINGS, *_CONNECTIONS, _WORKERS)
_FLAG_USES: FlagUses = {
    "--model": (*_COMMON, _MODEL, _RUNTIME, TABLE, _RELOAD, _RELOAD_SECONDS),
    "--tf_serving": (*_COMMON, _TF_SERVING, _TIMEOUT),
}


def main() -> None:
    """Serves with the values of the flags."""
    if bool(_MODEL.value and _TF_SERVING.value) or not (_model() or _TF_SERVING.value):
        raise UserError("expected exactly one of --model and --tf_serving. See --help.")
    mode = "--tf_serving" if _TF_SERVING.value else "--model"
    reject_unused_flags(mode, _FLAG_USES)
    vertex = vertex_environment(os.environ)
    host, port = _address(vertex)
    settings = GatewaySettings(
        **_values(_SETTINGS),
        health_route=vertex.health_route,
        predict_route=vertex.predict_route,
        connections=ConnectionLimits(**_values(_CONNECTIONS)),
    )
    with _source() as source:
        if _WORKERS.value > 1:
            workers = _WORKERS.value
            serve_with_workers(source, host, port, settings=settings, workers=workers)
            return
        reloader = source.reloader()
        # No variable here refers to the backend, which would keep it in memory after a
        # new version has replaced it.
        serve(
            source.backend(reloader),
            host,
            port,
            settings=settings,
            reloader=reloader if _RELOAD.value else None,
        )


def _values(holders: Iterable[flags.FlagHolder[Any]]) -> dict[str, Any]:
    return {holder.name: holder.value for holder in holders}


def _address(vertex: VertexEnvironment) -> tuple[str, int]:
    """Returns host and port: those of the flags, or those that Vertex AI asks for."""
    host, port = str(_HOST.value), int(_PORT.value)
    if vertex.port is not None:
        host = host if _HOST.present else "0.0.0.0"
        port = port if _PORT.present else vertex.port
    return host, port


@contextlib.contextmanager
def _source() -> Iterator[ModelSource]:
    if _TF_SERVING.value:
        yield ModelSource(
            tf_serving=_TF_SERVING.value,
            model_name=_MODEL_NAME.value,
            timeout=_TIMEOUT.value,
        )
        return
    runtime = _RUNTIME.value
    check_table_of_flag(runtime)
    model_file = ONNX if runtime == "onnx" else SAVED_MODEL
    with exported_model(_model(), runtime) as path:
        seconds = _RELOAD_SECONDS.value if _RELOAD.value else 0.0
        path = staged_model(path, model_file)
        yield ModelSource(str(path), runtime, table=TABLE.value, reload_seconds=seconds)


def _model() -> str:
    """Returns the path of the model: that of the flag, or the one of Vertex AI."""
    return _MODEL.value or os.environ.get(STORAGE_URI, "")


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    runner.run_cli(main, modes=_FLAG_USES)


if __name__ == "__main__":
    cli()
