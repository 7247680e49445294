"""What the gateway tells Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class ServingMetrics:
    """Counts requests and rows, and times requests."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "object2vec_requests",
            "Invocations answered, by HTTP status.",
            ["status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "object2vec_request_seconds",
            "Seconds from an invocation's headers to its answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._rows = Counter(
            "object2vec_rows",
            "Objects embedded and pairs scored, by signature.",
            ["signature"],
            registry=self._registry,
        )
        self._unknown = Counter(
            "object2vec_unknown_tokens",
            "Tokens of text that the vocabulary lacks.",
            registry=self._registry,
        )
        self._under_way = Gauge(
            "object2vec_requests_under_way",
            "Invocations accepted and not yet answered.",
            registry=self._registry,
        )

    def request(self, status: int, seconds: float) -> None:
        """Counts an answer."""
        self._requests.labels(status).inc()
        self._seconds.observe(seconds)

    def rows(self, signature: str, count: int) -> None:
        """Counts answered rows."""
        self._rows.labels(signature).inc(count)

    def unknown(self, tokens: int) -> None:
        """Counts tokens that the vocabulary lacks."""
        self._unknown.inc(tokens)

    def exposed(self, under_way: int) -> tuple[bytes, str]:
        """Returns everything in Prometheus's text format, and its media type."""
        self._under_way.set(under_way)
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
