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
    """

    max_request_bytes: int = MAX_REQUEST_BYTES
    max_concurrency: int = MAX_CONCURRENCY
    max_response_values: int = MAX_RESPONSE_VALUES
    max_recommended_items: int = MAX_ITEMS
    model_name: str = MODEL_NAME
    health_route: str = ""
    predict_route: str = ""
