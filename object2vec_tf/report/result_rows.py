"""The rows of a run's table of results: its own scores, and those of baselines."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from object2vec_tf.report.baselines import TITLES

CHANNELS = ("train", "validation", "test")


class ResultRow(NamedTuple):
    """The values of one metric.

    Attributes:
        metric: The metric's name.
        baseline: The title of the baseline that has the values; None for the run.
        values: The value on each channel; None where it was not computed.
    """

    metric: str
    baseline: str | None
    values: list[float | None]


def result_channels(metrics: Mapping[str, Any]) -> list[str]:
    """Returns the channels that metrics.json has results of."""
    return [name for name in CHANNELS if name in metrics]


def result_rows(
    metrics: Mapping[str, Any], hidden: Collection[str] = ()
) -> Iterator[ResultRow]:
    """Yields the rows of each metric: the run, then the baselines.

    Args:
        metrics: The content of metrics.json.
        hidden: Metrics to leave out.
    """
    channels = result_channels(metrics)
    for name in metric_names([metrics[channel] for channel in channels], hidden):
        yield ResultRow(name, None, _values(metrics, channels, name))
        for baseline, scores in metrics.get("baselines", {}).items():
            values = _values(scores, channels, name)
            if any(value is not None for value in values):
                yield ResultRow(name, TITLES[baseline], values)


def metric_names(
    records: Sequence[Mapping[str, float]], hidden: Collection[str] = ()
) -> list[str]:
    """Returns the names in any of the records, in the order of their first use.

    Args:
        records: Metrics by name.
        hidden: Names to leave out.
    """
    names = dict.fromkeys(name for record in records for name in record)
    return [name for name in names if name not in hidden]


def _values(
    scores: Mapping[str, Any], channels: Sequence[str], name: str
) -> list[float | None]:
    return [scores.get(channel, {}).get(name) for channel in channels]
