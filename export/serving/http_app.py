"""The gateway's HTTP application: routes, limits, errors and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from export.serving.active_backend import ActiveBackend
from export.serving.backends import Backend, Unavailable
from export.serving.http_errors import (
    TF_SERVING_PATH,
    Handler,
    error_response,
    handle_errors,
    http_error,
    internal_error,
)
from export.serving.prometheus import ServingMetrics
from export.serving.recommender import recommend
from export.serving.reload import Reloader
from export.serving.request_body import read_body
from export.serving.request_pipeline import (
    decode,
    recommend_decoder,
    request_decoder,
    tokenize,
)
from export.serving.settings import GatewaySettings
from export.serving.streamed_response import StreamedResponse, respond
from export.serving.tf_serving_rest import TFServingRest
from object2vec_tf.inference.catalog import RECOMMEND
from object2vec_tf.inference.ragged_inputs import output_name, signature_name
from object2vec_tf.inference.recommend_requests import (
    ITEM_VALUES,
    RecommendRequest,
    recommendation_parts,
)
from object2vec_tf.inference.request_codec import (
    JSON,
    parse_content_type,
    prediction_parts,
    response_media_type,
)

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Gateway:
    """Serves requests for embeddings, scores of pairs, and recommended items.

    Args:
        backend: Computes the predictions.
        settings: Limits, names and additional paths.
        reloader: Loads new versions of the model; None to serve only this one.
        metrics: The metrics; None for those of a single process.
    """

    def __init__(
        self,
        backend: Backend,
        settings: GatewaySettings | None = None,
        reloader: Reloader | None = None,
        metrics: ServingMetrics | None = None,
    ) -> None:
        self._active = ActiveBackend(backend, self._note_version)
        self._reloader = reloader
        self._settings = settings or GatewaySettings()
        self._metrics = metrics or ServingMetrics()
        self._metrics.set_version(backend.version)
        self._in_progress = 0

    @property
    def settings(self) -> GatewaySettings:
        """Limits, names and additional paths."""
        return self._settings

    def application(self) -> Starlette:
        """Returns the ASGI application."""
        return Starlette(
            routes=self._routes(),
            exception_handlers={HTTPException: http_error, 500: internal_error},
            lifespan=lambda _: self.lifespan(),
        )

    def _routes(self) -> list[Route]:
        invocations = self._measured(self._invocations)
        rest = TFServingRest(
            self._active, self._settings, self._metrics, self._measured
        )
        routes = [
            Route("/invocations", invocations, methods=["POST"]),
            Route("/endpoints/{name}/invocations", invocations, methods=["POST"]),
            Route("/recommend", self._measured(self._recommend), methods=["POST"]),
            Route("/ping", self._ping),
            Route("/execution-parameters", self._execution_parameters),
            Route("/metrics", self._metrics_page),
            Route("/", _alive),
        ]
        health, predict = self._settings.health_route, self._settings.predict_route
        if health:
            routes.append(Route(health, self._ping))
        if predict:
            # A path of TF Serving has its format, whatever the model's name is.
            is_rest = predict.startswith(f"{TF_SERVING_PATH}/")
            handler = self._measured(rest.predict) if is_rest else invocations
            routes.append(Route(predict, handler, methods=["POST"]))
        return [
            *routes,
            Route(TF_SERVING_PATH, rest.models),
            Route(f"{TF_SERVING_PATH}/{{rest:path}}", rest.route, methods=_METHODS),
        ]

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Loads new versions during the context, and closes the backend at its end."""
        reloading = None
        if self._reloader:
            reloading = asyncio.create_task(self._reloader.run(self._active))
        yield
        if reloading:
            reloading.cancel()
            await asyncio.wait([reloading])
        await self._active.close()

    def _note_version(self) -> None:
        self._metrics.set_version(self._active.backend.version)

    def _measured(self, handler: Handler) -> Handler:
        """Limits and measures requests, and turns exceptions into responses."""

        async def measured(request: Request) -> Response:
            limit = self._settings.max_concurrency
            if self._in_progress >= limit:
                message = (
                    f"expected fewer than {limit} requests in progress, got "
                    f"{self._in_progress}. Send this one again."
                )
                return error_response(request, message, 503)
            start = time.perf_counter()
            self._in_progress += 1
            self._metrics.count_in_progress(1)
            response: Response | None = None

            def finish() -> None:
                status = response.status_code if response else 500
                self._in_progress -= 1
                self._metrics.count_in_progress(-1)
                self._metrics.count_request(status, time.perf_counter() - start)

            try:
                response = await handle_errors(handler, request)
            finally:
                if isinstance(response, StreamedResponse):
                    response.finish = finish
                else:
                    finish()
            return response

        return measured

    async def _invocations(self, request: Request) -> Response:
        body, media_type, max_lens, response_type = await self._content(request)
        max_values = self._settings.max_response_values
        async with self._active.use() as backend:
            rows = await decode(
                backend,
                request_decoder,
                lambda decoder: decoder.decode(body, media_type, max_lens, max_values),
                len(body),
            )
            if not rows:
                return Response(b'{"predictions":[]}', media_type=JSON)
            rows = await tokenize(backend, rows, self._metrics, max_lens)
            predictions = await backend.predict(rows)
        self._metrics.count_rows(signature_name(rows), len(predictions))
        parts = prediction_parts(predictions, output_name(rows), response_type)
        return await respond(request, parts, predictions.size, response_type)

    async def _recommend(self, request: Request) -> Response:
        body, media_type, max_lens, response_type = await self._content(request)
        max_values = self._settings.max_response_values
        async with self._active.use() as backend:
            decoded: RecommendRequest = await decode(
                backend,
                recommend_decoder,
                lambda decoder: decoder.decode(body, media_type, max_lens, max_values),
                len(body),
            )
            decoded.check_size(self._settings.max_recommended_items)
            predictions = []
            if decoded.objects:
                rows = await tokenize(
                    backend, {"in0": decoded.objects}, self._metrics, max_lens
                )
                decoded = dataclasses.replace(decoded, objects=rows["in0"])
                predictions = await recommend(backend, decoded)
        self._metrics.count_rows(RECOMMEND, len(predictions))
        items = sum(map(len, predictions))
        parts = recommendation_parts(predictions, response_type)
        return await respond(request, parts, ITEM_VALUES * items, response_type)

    async def _content(
        self, request: Request
    ) -> tuple[bytes, str, tuple[int, int] | None, str]:
        """Returns body, media type, maximum lengths, and media type of the response."""
        headers = request.headers
        media_type, max_lens = parse_content_type(headers.get("content-type", ""))
        accept = ", ".join(headers.getlist("accept"))
        response_type = response_media_type(accept, media_type)
        body = await read_body(request, self._settings.max_request_bytes)
        return body, media_type, max_lens, response_type

    async def _ping(self, request: Request) -> Response:
        try:
            await self._active.backend.check()
        except Unavailable as error:
            return error_response(request, str(error), error.status)
        return Response(b"{}", media_type=JSON)

    async def _execution_parameters(self, request: Request) -> Response:
        return _json(
            {
                "MaxConcurrentTransforms": self._settings.max_concurrency,
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": max(self._settings.max_request_bytes >> 20, 1),
            }
        )

    async def _metrics_page(self, request: Request) -> Response:
        self._note_version()
        text, media_type = self._metrics.exposition()
        return Response(text, headers={"Content-Type": media_type})


def _json(value: object) -> Response:
    return Response(json.dumps(value), media_type=JSON)


async def _alive(request: Request) -> Response:
    """Answers a probe of KServe: the process responds."""
    return _json({"status": "alive"})
