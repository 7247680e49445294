"""The gateway's HTTP application: routes, limits, errors and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from export.serving.active_backend import ActiveBackend
from export.serving.backends import Backend, Rejected, Unavailable
from export.serving.http_errors import error_response, http_error, internal_error
from export.serving.prometheus import ServingMetrics
from export.serving.recommender import recommend
from export.serving.reload import Reloader
from export.serving.request_body import read_body
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.catalog import RECOMMEND, Catalog
from object2vec_tf.inference.ragged_inputs import (
    Rows,
    input_limits,
    output_name,
    signature_name,
)
from object2vec_tf.inference.recommend_requests import (
    RecommendDecoder,
    RecommendRequest,
    encode_recommendations,
)
from object2vec_tf.inference.request_codec import (
    JSON,
    RequestDecoder,
    encode_predictions,
    parse_content_type,
    response_media_type,
)
from object2vec_tf.inference.request_errors import BadRequest
from object2vec_tf.inference.text_inputs import has_text

# SageMaker's own limit for the requests of an endpoint.
MAX_REQUEST_BYTES = 6 * 1024 * 1024
MAX_CONCURRENCY = 1024


_Decoder = TypeVar("_Decoder", RequestDecoder, RecommendDecoder)
_Decoded = TypeVar("_Decoded")


class Gateway:
    """Serves requests for embeddings, scores of pairs, and recommended items.

    Args:
        backend: Computes the predictions.
        max_request_bytes: Larger requests are rejected with 413.
        max_concurrency: The maximum number of requests in progress; more are rejected
            with 503.
        reloader: Loads new versions of the model; None to serve only this one.
    """

    def __init__(
        self,
        backend: Backend,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        max_concurrency: int = MAX_CONCURRENCY,
        reloader: Reloader | None = None,
    ) -> None:
        self._active = ActiveBackend(backend)
        self._reloader = reloader
        self._max_request_bytes = max_request_bytes
        self._max_concurrency = max_concurrency
        self._in_progress = 0
        self._metrics = ServingMetrics()

    def application(self) -> Starlette:
        """Returns the ASGI application."""
        invocations = self._measured(self._invocations)
        return Starlette(
            routes=[
                Route("/invocations", invocations, methods=["POST"]),
                Route("/endpoints/{name}/invocations", invocations, methods=["POST"]),
                Route("/recommend", self._measured(self._recommend), methods=["POST"]),
                Route("/ping", self._ping),
                Route("/execution-parameters", self._execution_parameters),
                Route("/metrics", self._metrics_page),
            ],
            exception_handlers={HTTPException: http_error, 500: internal_error},
            lifespan=lambda _: self.lifespan(),
        )

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

    def _measured(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Limits and measures requests, and turns exceptions into responses."""

        async def measured(request: Request) -> Response:
            if self._in_progress >= self._max_concurrency:
                message = (
                    f"expected fewer than {self._max_concurrency} requests in "
                    f"progress, got {self._in_progress}. Send this one again."
                )
                return error_response(request, message, 503)
            start = time.perf_counter()
            self._in_progress += 1
            try:
                response = await handler(request)
            except BadRequest as error:
                response = error_response(request, str(error), error.status, error.path)
            except Rejected as error:
                response = error_response(request, str(error), 400)
            except Unavailable as error:
                response = error_response(request, str(error), error.status)
            except ClientDisconnect:
                response = Response(status_code=499)  # for the metrics only
            except Exception:
                self._metrics.count_request(500, time.perf_counter() - start)
                raise
            finally:
                self._in_progress -= 1
            self._metrics.count_request(
                response.status_code, time.perf_counter() - start
            )
            return response

        return measured

    async def _invocations(self, request: Request) -> Response:
        body, media_type, max_lens, response_type = await self._content(request)
        async with self._active.use() as backend:
            rows = await self._decoded(
                backend,
                _request_decoder,
                lambda decoder: decoder.decode(body, media_type, max_lens),
            )
            if not rows:
                return Response(b'{"predictions":[]}', media_type=JSON)
            rows = await self._tokenized(backend, rows, max_lens)
            predictions = await backend.predict(rows)
        self._metrics.count_rows(signature_name(rows), len(predictions))
        content = encode_predictions(predictions, output_name(rows), response_type)
        return Response(content, media_type=response_type)

    async def _recommend(self, request: Request) -> Response:
        body, media_type, max_lens, response_type = await self._content(request)
        async with self._active.use() as backend:
            decoded: RecommendRequest = await self._decoded(
                backend,
                _recommend_decoder,
                lambda decoder: decoder.decode(body, media_type, max_lens),
            )
            predictions = []
            if decoded.objects:
                rows = await self._tokenized(
                    backend, {"in0": decoded.objects}, max_lens
                )
                decoded = dataclasses.replace(decoded, objects=rows["in0"])
                predictions = await recommend(backend, decoded)
        self._metrics.count_rows(RECOMMEND, len(predictions))
        content = encode_recommendations(predictions, response_type)
        return Response(content, media_type=response_type)

    async def _content(
        self, request: Request
    ) -> tuple[bytes, str, tuple[int, int] | None, str]:
        """Returns body, media type, maximum lengths, and media type of the response."""
        headers = request.headers
        media_type, max_lens = parse_content_type(headers.get("content-type", ""))
        accept = ", ".join(headers.getlist("accept"))
        response_type = response_media_type(accept, media_type)
        body = await read_body(request, self._max_request_bytes)
        return body, media_type, max_lens, response_type

    async def _decoded(
        self,
        backend: Backend,
        decoder_for: Callable[[Backend], Awaitable[_Decoder]],
        decode: Callable[[_Decoder], _Decoded],
    ) -> _Decoded:
        """Decodes a request for the version of the model that will answer it.

        Args:
            backend: The backend.
            decoder_for: Returns the decoder for the backend's current version.
            decode: Decodes the request.

        Raises:
            BadRequest: The request is invalid.
        """
        if backend.hyperparameters is None:
            await backend.check()
        decoder = None
        try:
            decoder = await decoder_for(backend)
            return decode(decoder)
        except BadRequest:
            # A new model version, not seen in any response yet, may know these ids.
            with contextlib.suppress(Unavailable):
                await backend.check()
            current = await decoder_for(backend)
            if current is decoder:
                raise
            return decode(current)

    async def _tokenized(
        self, backend: Backend, rows: Rows, max_lens: tuple[int, int] | None
    ) -> Rows:
        """Returns objects as token ids, truncated to their maximum lengths."""
        if not backend.texts or not has_text(rows):
            return rows
        rows, unknown = await backend.tokenize(rows)
        self._metrics.count_unknown_tokens(unknown)
        decoder = await _request_decoder(backend)
        return decoder.truncate(rows, max_lens)

    async def _ping(self, request: Request) -> Response:
        try:
            await self._active.backend.check()
        except Unavailable as error:
            return error_response(request, str(error), error.status)
        return Response(b"{}", media_type=JSON)

    async def _execution_parameters(self, request: Request) -> Response:
        return _json(
            {
                "MaxConcurrentTransforms": self._max_concurrency,
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": max(self._max_request_bytes >> 20, 1),
            }
        )

    async def _metrics_page(self, request: Request) -> Response:
        version = self._active.backend.version
        text, media_type = self._metrics.exposition(self._in_progress, version)
        return Response(text, headers={"Content-Type": media_type})


async def _request_decoder(backend: Backend) -> RequestDecoder:
    assert backend.hyperparameters
    return _make_request_decoder(backend.hyperparameters, frozenset(backend.texts))


@functools.lru_cache(4)
def _make_request_decoder(
    hyperparameters: Hyperparameters, texts: frozenset[str]
) -> RequestDecoder:
    return RequestDecoder(
        input_limits(hyperparameters), texts, hyperparameters.external_ids
    )


async def _recommend_decoder(backend: Backend) -> RecommendDecoder:
    """Returns a decoder for requests for recommended items.

    Raises:
        BadRequest: The model does not recommend items.
    """
    catalog = await backend.catalog()
    if catalog is None:
        raise BadRequest(
            "this model has no items to recommend. Export it with "
            "python -m export --items=items.jsonl.",
            status=404,
        )
    assert backend.hyperparameters
    return _make_recommend_decoder(
        backend.hyperparameters, frozenset(backend.texts), catalog
    )


@functools.lru_cache(4)
def _make_recommend_decoder(
    hyperparameters: Hyperparameters, texts: frozenset[str], catalog: Catalog
) -> RecommendDecoder:
    return RecommendDecoder(
        input_limits(hyperparameters),
        catalog,
        texts,
        hyperparameters.external_ids,
        output_dim=hyperparameters.output_dim,
    )


def _json(value: object) -> Response:
    return Response(json.dumps(value), media_type=JSON)
