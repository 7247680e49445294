"""Settings of the gateway that do not depend on its model."""

from __future__ import annotations

import dataclasses
from typing import Final

from object2vec_tf.inference.recommend_requests import MAX_ITEMS

# SageMaker's own limit for the requests of an endpoint.
MAX_REQUEST_BYTES: Final = 6 * 1024 * 1024
MAX_CONCURRENCY: Final = 1024
# 2**24 numbers take 64 MB in memory, and about 200 MB as JSON, which is streamed.
MAX_RESPONSE_VALUES: Final = 1 << 24
MODEL_NAME: Final = "object2vec"


@dataclasses.dataclass(frozen=True)
class ConnectionLimits:
    """Limits of what a client may take or keep without a response.

    Attributes:
        header_timeout_seconds: The maximum time from the first byte of a request to
            the end of its headers, and of a new connection until its first byte.
        body_timeout_seconds: The maximum time from the end of the headers to the end
            of the body.
        stall_timeout_seconds: The maximum time in which a body does not get longer, or
            in which a client reads nothing of a response.
        idle_timeout_seconds: The maximum time of a connection without a request, after
            a response. Load balancers keep connections for 60 seconds.
        drain_timeout_seconds: The maximum time from SIGTERM until the last connection
            is closed. Containers are killed 30 seconds after SIGTERM.
        max_connections: The maximum number of open connections. The longest idle one is
            closed for a new one; without an idle one, the new one gets status 503.
        max_header_bytes: The maximum size of a request's path and headers, plus 32
            bytes for each header.

    Example:
        >>> ConnectionLimits(idle_timeout_seconds=5).max_connections
        4096
    """

    header_timeout_seconds: float = 20.0
    body_timeout_seconds: float = 120.0
    stall_timeout_seconds: float = 30.0
    idle_timeout_seconds: float = 75.0
    drain_timeout_seconds: float = 25.0
    max_connections: int = 4096
    max_header_bytes: int = 64 << 10


@dataclasses.dataclass(frozen=True)
class GatewaySettings:
    """Limits, names and additional paths of the gateway.

    Attributes:
        max_request_bytes: Larger requests are rejected with 413.
        max_concurrency: The maximum number of requests in progress; more are rejected
            with 503.
        max_response_values: The maximum number of values in a response: rows times
            their width.
        max_recommended_items: The maximum number of items in a response.
        model_name: The name of the model in TF Serving's REST paths.
        health_route: An additional path of /ping; empty for none.
        predict_route: An additional path of /invocations; empty for none.
        connections: Timeouts and limits of connections.
    """

    max_request_bytes: int = MAX_REQUEST_BYTES
    max_concurrency: int = MAX_CONCURRENCY
    max_response_values: int = MAX_RESPONSE_VALUES
    max_recommended_items: int = MAX_ITEMS
    model_name: str = MODEL_NAME
    health_route: str = ""
    predict_route: str = ""
    connections: ConnectionLimits = ConnectionLimits()
