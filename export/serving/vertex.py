"""Vertex AI's contract with a container: its environment variables.

Source: Google Cloud's documentation, "Custom container requirements for inference".
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Final

from object2vec_tf.errors import UserError

HTTP_PORT: Final = "AIP_HTTP_PORT"
HEALTH_ROUTE: Final = "AIP_HEALTH_ROUTE"
PREDICT_ROUTE: Final = "AIP_PREDICT_ROUTE"
STORAGE_URI: Final = "AIP_STORAGE_URI"

_MAX_PORT: Final = 65535
_ROUTE: Final = re.compile(r"/[^\s{}?#]*")


@dataclasses.dataclass(frozen=True)
class VertexEnvironment:
    """What Vertex AI asks of a container; an empty value asks for nothing.

    Attributes:
        port: The port to listen on, on all addresses; None if there is none.
        health_route: The path of health checks.
        predict_route: The path of predictions.
    """

    port: int | None = None
    health_route: str = ""
    predict_route: str = ""


def vertex_environment(variables: Mapping[str, str]) -> VertexEnvironment:
    """Returns the values of Vertex AI's variables.

    Args:
        variables: The environment.

    Raises:
        UserError: A value is invalid.

    Example:
        >>> vertex_environment({"AIP_HTTP_PORT": "8080", "AIP_HEALTH_ROUTE": "/health"})
        VertexEnvironment(port=8080, health_route='/health', predict_route='')
    """
    text = variables.get(HTTP_PORT, "")
    is_number = text.isascii() and text.isdecimal() and len(text) < 6
    port = int(text) if is_number else None
    if text and (port is None or not 1 <= port <= _MAX_PORT):
        raise UserError(f"{HTTP_PORT}: expected a port in 1..{_MAX_PORT}, got {text}.")
    routes = [variables.get(name, "") for name in (HEALTH_ROUTE, PREDICT_ROUTE)]
    for name, route in zip((HEALTH_ROUTE, PREDICT_ROUTE), routes, strict=True):
        if route and not _ROUTE.fullmatch(route):
            raise UserError(
                f"{name}: expected a path that starts with /, got {route!r}."
            )
    return VertexEnvironment(port, *routes)
