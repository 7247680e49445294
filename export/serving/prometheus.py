"""The gateway's metrics for Prometheus."""

from __future__ import annotations

from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class ServingMetrics:
    """Counts requests and rows, and times requests.

    Args:
        directory: The directory in which the processes of a gateway share their
            metrics, as in the variable ``PROMETHEUS_MULTIPROC_DIR``; empty for a single
            process.
    """

    def __init__(self, directory: str = "") -> None:
        self._directory = directory
        self._count = 0
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "object2vec_requests",
            "Answered invocations, by HTTP status.",
            ["status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "object2vec_request_seconds",
            "Seconds from the headers of an invocation to its response.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._rows = Counter(
            "object2vec_rows",
            "Embedded objects and scored pairs, by signature.",
            ["signature"],
            registry=self._registry,
        )
        self._unknown_tokens = Counter(
            "object2vec_unknown_tokens",
            "Tokens of text that are not in the vocabulary.",
            registry=self._registry,
        )
        self._in_progress = Gauge(
            "object2vec_requests_under_way",
            "Invocations in progress.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )

        self._version = Gauge(
            "object2vec_model_version",
            "Version of the model that answers new requests; NaN if it has none.",
            registry=self._registry,
            multiprocess_mode="livemin",
        )

    def count_request(self, status: int, seconds: float) -> None:
        """Counts a response and records its latency."""
        self._requests.labels(status).inc()
        self._seconds.observe(seconds)

    def count_rows(self, signature: str, count: int) -> None:
        """Counts embedded objects or scored pairs."""
        self._rows.labels(signature).inc(count)

    def count_unknown_tokens(self, tokens: int) -> None:
        """Counts tokens that are not in the vocabulary."""
        self._unknown_tokens.inc(tokens)

    def count_in_progress(self, change: int) -> None:
        """Adds to the number of invocations in progress."""
        self._count += change
        if self._directory:  # another process may be asked
            self._in_progress.inc(change)

    def set_version(self, version: int | None) -> None:
        """Sets the version of the model; None if it has none."""
        self._version.set(float("nan") if version is None else version)

    def exposition(self) -> tuple[bytes, str]:
        """Returns all metrics in Prometheus's text format, and its media type.

        Those of several processes are added up; the version is the lowest one.
        """
        registry = self._registry
        if not self._directory:
            self._in_progress.set(self._count)
        else:
            registry = CollectorRegistry()
            collector: Any = multiprocess.MultiProcessCollector  # it has no types
            collector(registry, self._directory)
        return generate_latest(registry), CONTENT_TYPE_LATEST
