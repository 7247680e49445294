"""The gateway's error responses, in the format of each protocol."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from export.serving.backends import Rejected, Unavailable
from object2vec_tf.inference.request_codec import JSON
from object2vec_tf.inference.request_errors import BadRequest

# TF Serving's REST interface, whose errors are strings.
TF_SERVING_PATH: Final = "/v1/models"
_RETRY_SECONDS: Final = 1

Handler = Callable[[Request], Awaitable[Response]]


def error_response(
    request: Request,
    message: str,
    status: int,
    path: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Returns the response for an error.

    Args:
        request: The request.
        message: What is wrong and how to fix it.
        status: The HTTP status.
        path: The location in the body, as a JSONPath.
        headers: Additional headers.
    """
    target = request.url.path
    body: dict[str, Any] = {"error": {"message": message}}
    if path:
        body["error"]["path"] = path
    if target == TF_SERVING_PATH or target.startswith(f"{TF_SERVING_PATH}/"):
        body["error"] = message
    if target.startswith("/endpoints/"):
        # AWS's clients read these fields of a ModelError.
        body["message"] = body["OriginalMessage"] = message
        body["OriginalStatusCode"] = status
        headers = {"x-amzn-ErrorType": "ModelError", **(headers or {})}
    if status == 413:  # the rest of the body is not read
        headers = {"Connection": "close", **(headers or {})}
    if status in (429, 503):
        headers = {"Retry-After": str(_RETRY_SECONDS), **(headers or {})}
    return Response(json.dumps(body), status, headers, media_type=JSON)


async def handle_errors(handler: Handler, request: Request) -> Response:
    """Returns the response of a handler, or of the error that it raises.

    Args:
        handler: Answers requests.
        request: The request.
    """
    try:
        return await handler(request)
    except BadRequest as error:
        return error_response(request, str(error), error.status, error.path)
    except Rejected as error:
        return error_response(request, str(error), 400)
    except Unavailable as error:
        return error_response(request, str(error), error.status)
    except HTTPException as error:
        return await http_error(request, error)
    except ClientDisconnect:
        return Response(status_code=499)  # for the metrics only


async def internal_error(request: Request, error: Exception) -> Response:
    """Returns the response for an exception that is not expected."""
    return error_response(request, "internal error of the gateway. See its log.", 500)


async def http_error(request: Request, error: Exception) -> Response:
    """Returns the response for a path or a method that does not exist."""
    assert isinstance(error, HTTPException)
    target = f"{request.method} {request.url.path}"
    allowed = " or ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
    messages = {
        404: f"{target}: no such path. POST to /invocations, /recommend or "
        f"{TF_SERVING_PATH}/NAME:predict, GET /ping, /metrics or {TF_SERVING_PATH}.",
        405: f"{target}: the path does not support {request.method}. Use {allowed}.",
    }
    message = messages.get(error.status_code, error.detail)
    return error_response(request, message, error.status_code, headers=error.headers)
