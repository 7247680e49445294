"""Responses of any size: small ones whole, large ones in parts as the client reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from export.serving.backends import Unavailable
from export.serving.off_loop import SMALL, off_loop
from object2vec_tf.inference.answer_parts import PART_VALUES

# The answers that are being sent in parts have at most this many values together, which
# take 512 MB, or there is one larger answer.
MAX_STREAMED_VALUES: Final = 1 << 27
_SLICE_BYTES: Final = 1 << 20


async def respond(
    request: Request, parts: Iterator[bytes], values: int, media_type: str
) -> Response:
    """Returns a response whose body is encoded part by part.

    Args:
        request: The request.
        parts: The parts of the body, which are computed one by one.
        values: The number of values of the response.
        media_type: Its media type.

    Raises:
        Unavailable: Other large answers are being sent, to clients that may be slow.
    """
    if values <= SMALL:
        return Response(b"".join(parts), media_type=media_type)
    if values <= PART_VALUES:
        content = await off_loop(values, lambda: b"".join(parts))
        return Response(content, media_type=media_type)
    state = request.app.state
    streamed = getattr(state, "streamed_values", 0)
    if streamed and streamed + values > MAX_STREAMED_VALUES:
        raise Unavailable(
            f"expected at most {MAX_STREAMED_VALUES} values in the large responses "
            "that are being sent, got more. Send this request again."
        )
    state.streamed_values = streamed + values

    def release() -> None:
        state.streamed_values -= values

    return StreamedResponse(parts, media_type, release)


class StreamedResponse(StreamingResponse):
    """A response in parts.

    Args:
        parts: The parts of the body, which are computed one by one.
        media_type: The media type.
        release: Called when the memory of the response is free.

    Attributes:
        finish: Called when the last part has been sent, or the client is gone.
    """

    finish: Callable[[], None] | None = None

    def __init__(
        self, parts: Iterator[bytes], media_type: str, release: Callable[[], None]
    ) -> None:
        super().__init__(_encoded(parts), media_type=media_type)
        self._parts = parts
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response."""
        try:
            if scope.get("http_version") == "1.0":
                await self._encode_whole()
            await super().__call__(scope, receive, send)
        except ClientDisconnect:
            pass  # as before a response has started
        finally:
            self._release()
            if self.finish:
                self.finish()

    async def _encode_whole(self) -> None:
        """Adds the length: a client of HTTP/1.0 cannot read a body without it."""
        content = await off_loop(PART_VALUES, lambda: b"".join(self._parts))
        self.headers["Content-Length"] = str(len(content))
        self.body_iterator = _slices(content)


async def _slices(content: bytes) -> AsyncIterator[bytes]:
    """Yields content in parts, so that it stays in memory only while it is sent."""
    for start in range(0, len(content), _SLICE_BYTES):
        yield content[start : start + _SLICE_BYTES]


async def _encoded(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yields the parts, each of which is encoded while the event loop runs."""
    while part := await off_loop(PART_VALUES, lambda: next(parts, b"")):
        yield part
