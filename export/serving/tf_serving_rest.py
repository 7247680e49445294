"""TF Serving's REST interface, which is also version 1 of KServe's protocol.

Source: TF Serving's documentation, "RESTful API", and its
``model_servers/http_rest_api_util.cc``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from export.serving.active_backend import ActiveBackend
from export.serving.backends import Backend
from export.serving.dynamic_batching import Outputs
from export.serving.http_errors import TF_SERVING_PATH, Handler, handle_errors
from export.serving.prometheus import ServingMetrics
from export.serving.request_body import read_body
from export.serving.request_pipeline import decode, tensor_decoder, tokenize
from export.serving.settings import GatewaySettings
from export.serving.streamed_response import respond
from object2vec_tf.inference.answer_parts import (
    array_parts,
    joined_lists,
    list_parts,
)
from object2vec_tf.inference.catalog import RECOMMEND
from object2vec_tf.inference.finite import require_finite
from object2vec_tf.inference.ragged_inputs import output_name, signature_name
from object2vec_tf.inference.request_codec import JSON
from object2vec_tf.inference.request_errors import BadRequest
from object2vec_tf.inference.tensor_requests import REGRESS, TensorRequest

_MODEL: Final = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_METHOD_PATH: Final = re.compile(rf"(?i){_MODEL}:(classify|regress|predict)")
_STATUS_PATH: Final = re.compile(rf"(?i){_MODEL}(/metadata)?")


@dataclasses.dataclass(frozen=True)
class _Target:
    """A model as a path names it.

    Attributes:
        name: The name of the model.
        version: The version; None for the one in use.
        label: The label of a version; empty if there is none.
        action: predict, classify, regress, metadata or status.
    """

    name: str
    version: int | None
    label: str
    action: str


class TFServingRest:
    """Answers the requests of TF Serving's REST interface.

    Args:
        active: Holds the backend.
        settings: The gateway's settings.
        metrics: The gateway's metrics.
        measured: Limits and measures the requests of a handler.
    """

    def __init__(
        self,
        active: ActiveBackend,
        settings: GatewaySettings,
        metrics: ServingMetrics,
        measured: Callable[[Handler], Handler],
    ) -> None:
        self._active = active
        self._settings = settings
        self._metrics = metrics
        self._method = measured(self.method)

    async def models(self, request: Request) -> Response:
        """Returns the names of the models, as KServe does."""
        return _json({"models": [self._settings.model_name]})

    async def route(self, request: Request) -> Response:
        """Answers a request to a path below /v1/models/."""
        path = request.url.path
        if _METHOD_PATH.fullmatch(path):
            allowed, handler = ["POST"], self._method
        elif _STATUS_PATH.fullmatch(path):
            allowed, handler = ["GET", "HEAD"], self.description
        else:
            raise HTTPException(404)
        if request.method not in allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
        return await handle_errors(handler, request)

    async def method(self, request: Request) -> Response:
        """Answers :predict, :classify and :regress."""
        target = _target(_METHOD_PATH, request.url.path)
        self._check_name(target)
        return await self._answer(request, target)

    async def predict(self, request: Request) -> Response:
        """Answers a request for predictions of the model in use, on any path."""
        return await self._answer(
            request, _Target(self._settings.model_name, None, "", "predict")
        )

    async def description(self, request: Request) -> Response:
        """Returns the status of the model, or the metadata of its signatures."""
        target = _target(_STATUS_PATH, request.url.path)
        self._check_name(target)
        async with self._active.use() as backend:
            await backend.check()
            version = str(await _version_in_use(backend, target))
            if target.action != "metadata":
                state = {
                    "version": version,
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
                return _json({"model_version_status": [state]})
            signatures = await backend.signature_defs()
        model = {"name": target.name, "signature_name": "", "version": version}
        metadata = {"signature_def": {"signature_def": signatures}}
        return _json({"model_spec": model, "metadata": metadata})

    def _check_name(self, target: _Target) -> None:
        name = self._settings.model_name
        if target.name != name:
            raise BadRequest(
                f"expected the model {name}, got {target.name}. Ask for "
                f"{TF_SERVING_PATH}/{name}, or start the gateway with "
                f"--model_name={target.name}.",
                status=404,
            )

    async def _answer(self, request: Request, target: _Target) -> Response:
        body = await read_body(request, self._settings.max_request_bytes)
        async with self._active.use() as backend:
            await _version_in_use(backend, target)
            max_values = self._settings.max_response_values
            if target.action == "predict":
                decoded = await decode(
                    backend,
                    tensor_decoder,
                    lambda decoder: decoder.decode(body, max_values),
                    len(body),
                )
                encode = _prediction_parts
            else:
                decoded = await decode(
                    backend,
                    tensor_decoder,
                    lambda decoder: decoder.decode_examples(
                        body, target.action, max_values
                    ),
                    len(body),
                )
                encode = _result_parts
            outputs = await self._outputs(backend, decoded)
        for name, array in outputs.items():
            require_finite(array, name)
        values = sum(array.size for array in outputs.values())
        return await respond(request, encode(outputs, decoded), values, JSON)

    async def _outputs(self, backend: Backend, decoded: TensorRequest) -> Outputs:
        """Returns the outputs of the signature by name; nothing for no rows."""
        recommend, rows = decoded.recommend, decoded.rows
        if recommend is not None:
            recommend.check_size(self._settings.max_recommended_items)
            rows = {"in0": recommend.objects}
        if not next(iter(rows.values()), ()):
            return {}
        rows = await tokenize(backend, rows, self._metrics)
        if recommend is None:
            predictions = await backend.predict(rows)
            self._metrics.count_rows(signature_name(rows), len(predictions))
            return {output_name(rows): predictions}
        response = await backend.call(
            RECOMMEND, {"in0": rows["in0"], "exclude": recommend.exclude}
        )
        self._metrics.count_rows(RECOMMEND, len(recommend.objects))
        return response.outputs


def _prediction_parts(outputs: Outputs, decoded: TensorRequest) -> Iterator[bytes]:
    """Returns the body of a response with predictions, in parts."""
    key = "outputs" if decoded.columns else "predictions"
    start, end = f'{{"{key}":['.encode(), b"]}"
    arrays = list(map(np.ascontiguousarray, outputs.values()))
    if len(arrays) < 2:
        return array_parts(arrays[0] if arrays else np.zeros((0, 0)), start, end)
    if decoded.columns:
        columns = (
            array_parts(array, f'"{name}":['.encode(), b"]")
            for name, array in zip(outputs, arrays, strict=True)
        )
        return joined_lists(columns, f'{{"{key}":{{'.encode(), b"}}")

    def rows(first: int, last: int) -> list[dict[str, Any]]:
        parts = zip(*(array[first:last] for array in arrays), strict=True)
        return [dict(zip(outputs, row, strict=True)) for row in parts]

    width = sum(array[:1].size for array in arrays)
    return list_parts(len(arrays[0]), width, rows, start, end)


def _result_parts(outputs: Outputs, decoded: TensorRequest) -> Iterator[bytes]:
    """Returns the body of a response with classes or numbers, in parts."""
    start, end = b'{"results":[', b"]}"
    scores = outputs.get("scores", np.zeros((0, 1), np.float32))
    if decoded.signature.startswith(REGRESS):
        return array_parts(np.ascontiguousarray(scores[:, 0]), start, end)
    classes = [str(i) for i in range(scores.shape[1])]

    def rows(first: int, last: int) -> list[list[Any]]:
        return [list(zip(classes, row, strict=True)) for row in scores[first:last]]

    return list_parts(len(scores), 4 * len(classes), rows, start, end)


def _target(pattern: re.Pattern[str], path: str) -> _Target:
    match = pattern.fullmatch(path)
    assert match
    name, version, label, action = match.groups()
    action = (action or "status").removeprefix("/").lower()
    return _Target(name, int(version) if version else None, label or "", action)


async def _version_in_use(backend: Backend, target: _Target) -> int:
    """Returns the version in use, which must be the one in the path.

    A model whose directory has no number counts as version 1.
    """
    if backend.version is None:
        await backend.check()
    version = 1 if backend.version is None else backend.version
    if target.label or target.version not in (None, version):
        got = f"label {target.label}" if target.label else f"version {target.version}"
        raise BadRequest(
            f"model {target.name}: expected version {version}, the one in use, got "
            f"{got}. Leave the version out.",
            status=404,
        )
    return version


def _json(value: Any) -> Response:
    return Response(_dumps(value), media_type=JSON)


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
