"""Decoding of requests by the version of the model that answers them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Awaitable, Callable
from typing import TypeVar

from export.serving.backends import Backend, Unavailable
from export.serving.off_loop import off_loop
from export.serving.prometheus import ServingMetrics
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.catalog import Catalog
from object2vec_tf.inference.ragged_inputs import Rows, input_limits
from object2vec_tf.inference.recommend_requests import RecommendDecoder
from object2vec_tf.inference.request_codec import RequestDecoder, output_widths
from object2vec_tf.inference.request_errors import BadRequest
from object2vec_tf.inference.tensor_requests import TensorDecoder
from object2vec_tf.inference.text_inputs import has_text

_Decoder = TypeVar("_Decoder", RequestDecoder, RecommendDecoder, TensorDecoder)
_Decoded = TypeVar("_Decoded")


async def decode(
    backend: Backend,
    decoder_for: Callable[[Backend], Awaitable[_Decoder]],
    decode: Callable[[_Decoder], _Decoded],
    size: int,
) -> _Decoded:
    """Decodes a request for the version of the model that will answer it.

    Args:
        backend: The backend.
        decoder_for: Returns the decoder for the backend's current version.
        decode: Decodes the request. It is called in a thread for a large one.
        size: The bytes of the request.

    Raises:
        BadRequest: The request is invalid.
    """
    if backend.hyperparameters is None:
        await backend.check()
    decoder = None
    try:
        decoder = await decoder_for(backend)
        return await _decoded(decode, decoder, size)
    except BadRequest:
        # A new model version, not seen in any response yet, may know these ids.
        with contextlib.suppress(Unavailable):
            await backend.check()
        current = await decoder_for(backend)
        if current is decoder:
            raise
        return await _decoded(decode, current, size)


async def _decoded(
    decode: Callable[[_Decoder], _Decoded], decoder: _Decoder, size: int
) -> _Decoded:
    return await off_loop(size, lambda: decode(decoder))


async def tokenize(
    backend: Backend,
    rows: Rows,
    metrics: ServingMetrics,
    max_lens: tuple[int, int] | None = None,
) -> Rows:
    """Returns objects as token ids, truncated to their maximum lengths.

    Args:
        backend: The backend.
        rows: Token ids and texts by input name.
        metrics: Counts the unknown tokens.
        max_lens: The request's own maximum lengths of in0 and in1.
    """
    size = sum(map(len, rows.values()))
    if not backend.texts or not await off_loop(size, lambda: has_text(rows)):
        return rows
    tokens, unknown = await backend.tokenize(rows)
    metrics.count_unknown_tokens(unknown)
    decoder = await request_decoder(backend)
    return await off_loop(size, lambda: decoder.truncate(tokens, max_lens))


async def request_decoder(backend: Backend) -> RequestDecoder:
    """Returns a decoder for requests in Object2Vec's format."""
    assert backend.hyperparameters
    return _make_request_decoder(backend.hyperparameters, frozenset(backend.texts))


@functools.lru_cache(4)
def _make_request_decoder(
    hyperparameters: Hyperparameters, texts: frozenset[str]
) -> RequestDecoder:
    return RequestDecoder(
        input_limits(hyperparameters),
        texts,
        hyperparameters.external_ids,
        widths=output_widths(hyperparameters),
    )


async def recommend_decoder(backend: Backend) -> RecommendDecoder:
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


async def tensor_decoder(backend: Backend) -> TensorDecoder:
    """Returns a decoder for requests in TF Serving's formats."""
    assert backend.hyperparameters
    catalog = await backend.catalog()
    return _make_tensor_decoder(
        backend.hyperparameters, frozenset(backend.texts), catalog
    )


@functools.lru_cache(4)
def _make_tensor_decoder(
    hyperparameters: Hyperparameters, texts: frozenset[str], catalog: Catalog | None
) -> TensorDecoder:
    recommend = None
    if catalog is not None:
        recommend = _make_recommend_decoder(hyperparameters, texts, catalog)
    return TensorDecoder(
        _make_request_decoder(hyperparameters, texts),
        recommend,
        texts,
        k=catalog.k if catalog else 0,
        is_classifier=hyperparameters.output_layer == "softmax",
    )
