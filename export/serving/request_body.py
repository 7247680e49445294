"""Request bodies: reading them up to a limit, and checking their encoding."""

from __future__ import annotations

import codecs
from typing import Final

from starlette.requests import Request

from object2vec_tf.inference.request_errors import BadRequest

_UTF8_BOM: Final = codecs.BOM_UTF8
# JSON in UTF-16 or UTF-32 has a zero byte or a byte order mark in its first two bytes.
_UTF16_BOMS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_FIX: Final = "Encode the body as UTF-8"


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Returns the body of a request, which is valid UTF-8 without a byte order mark.

    Args:
        request: The request.
        max_bytes: The maximum size.

    Raises:
        BadRequest: The body is larger, compressed, or not UTF-8.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise BadRequest(
            f"Content-Encoding: expected identity, got {encoding}. Send the body "
            "uncompressed.",
            status=415,
        )
    parts, size = [], int(request.headers.get("content-length") or 0)
    if size <= max_bytes:
        size = 0
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > max_bytes:
                break
    if size > max_bytes:
        raise BadRequest(
            f"expected at most {max_bytes} bytes, got a larger request. Send fewer "
            "objects per request, or start the gateway with a larger "
            "--max_request_bytes.",
            status=413,
        )
    return checked_utf8(b"".join(parts))


def checked_utf8(body: bytes) -> bytes:
    r"""Returns a body without its byte order mark.

    Args:
        body: The body of a request.

    Raises:
        BadRequest: It is not UTF-8.

    Example:
        >>> checked_utf8(b'\xef\xbb\xbf{"in0": [1]}')
        b'{"in0": [1]}'
    """
    if body.startswith(_UTF16_BOMS) or 0 in body[:2]:
        raise BadRequest(f"expected UTF-8, got UTF-16 or UTF-32. {_FIX}.", "$")
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(
                f"expected UTF-8, got the byte 0x{body[error.start]:02x} at position "
                f"{error.start} ({error.reason}). {_FIX}.",
                "$",
            ) from error
    return body.removeprefix(_UTF8_BOM)
