"""Responses of any size: small ones whole, large ones in parts as the client reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from export.serving.off_loop import SMALL, off_loop
from object2vec_tf.inference.answer_parts import PART_VALUES


async def respond(
    request: Request, parts: Iterator[bytes], values: int, media_type: str
) -> Response:
    """Returns a response whose body is encoded part by part.

    Args:
        request: The request.
        parts: The parts of the body, which are computed one by one.
        values: The number of values of the response.
        media_type: Its media type.
    """
    if values <= SMALL:
        return Response(b"".join(parts), media_type=media_type)
    # A client of HTTP/1.0 cannot read a body of unknown length.
    if values <= PART_VALUES or request.scope.get("http_version") == "1.0":
        content = await off_loop(values, lambda: b"".join(parts))
        return Response(content, media_type=media_type)
    return StreamedResponse(_encoded(parts), media_type=media_type)


class StreamedResponse(StreamingResponse):
    """A response in parts.

    Attributes:
        finish: Called when the last part has been sent, or the client is gone.
    """

    finish: Callable[[], None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response."""
        try:
            await super().__call__(scope, receive, send)
        except ClientDisconnect:
            pass  # as before a response has started
        finally:
            if self.finish:
                self.finish()


async def _encoded(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yields the parts, each of which is encoded while the event loop runs."""
    while part := await off_loop(PART_VALUES, lambda: next(parts, b"")):
        yield part
