"""Tables and charts of a run's channels: lengths, labels, weights and bad lines."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.report.svg_charts import bars
from object2vec_tf.report.tables import ReportTable

# The most bad lines that are listed per channel.
_MAX_BAD_LINES = 20


def length_table(channels: Mapping[str, Pairs]) -> ReportTable:
    """Returns statistics of the input lengths of each channel, after truncation."""
    texts = any(pairs.report.unknown for pairs in channels.values())
    rows = []
    for name, pairs in channels.items():
        report = pairs.report
        for side, column in pairs.columns.items():
            tokens = column.lengths
            median, percentile = np.quantile(tokens, (0.5, 0.95))
            rows.append(
                [
                    *(name, side, f"{len(pairs):,}"),
                    *(f"{tokens.mean():.1f}", f"{median:.0f}", f"{percentile:.0f}"),
                    f"{int(tokens.max()):,}",
                    *(f"{report.truncated[side]:,}", f"{report.empty[side]:,}"),
                    *([f"{report.unknown.get(side, 0):,}"] if texts else []),
                ]
            )
    head = ["channel", "input", "pairs", "mean", "median", "95%", "max"]
    head += ["truncated", "empty", *(["unknown tokens"] if texts else [])]
    return ReportTable(head, rows, text_columns=2)


def length_charts(train: Pairs) -> list[Markup]:
    """Draws the distribution of the input lengths, except where all are equal."""
    return [
        bars(f"lengths of {side} (train)", column.lengths, "tokens")
        for side, column in train.columns.items()
        if len(np.unique(column.lengths)) > 1
    ]


def label_table(
    hyperparameters: Hyperparameters, channels: Mapping[str, Pairs]
) -> ReportTable:
    """Returns the number of pairs per class, or statistics of real-valued labels."""
    if hyperparameters.output_layer == "softmax":
        return _class_table(hyperparameters.num_classes, channels)
    rows = []
    for name, pairs in channels.items():
        values = np.asarray(pairs.labels, np.float64)
        quartiles = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
        statistics = (values.mean(), values.std(), *quartiles)
        rows.append([name, *(f"{value:.4g}" for value in statistics)])
    head = ["channel", "mean", "standard deviation", "min", "25%", "median", "75%"]
    return ReportTable([*head, "max"], rows)


def _class_table(classes: int, channels: Mapping[str, Pairs]) -> ReportTable:
    counts = [
        np.bincount(np.asarray(pairs.labels), minlength=classes)
        for pairs in channels.values()
    ]
    rows = [
        [str(label), *(f"{n[label]:,} ({n[label] / n.sum():.1%})" for n in counts)]
        for label in range(classes)
    ]
    return ReportTable(["class", *channels], rows)


def weight_table(channels: Mapping[str, Pairs]) -> ReportTable:
    """Returns statistics of the weights of each channel that has weights."""
    rows = []
    for name, pairs in channels.items():
        if pairs.weights is not None:
            values = np.asarray(pairs.weights, np.float64)
            statistics = (values.mean(), values.min(), np.median(values), values.max())
            rows.append([name, *(f"{value:.4g}" for value in statistics)])
    return ReportTable(["channel", "mean", "min", "median", "max"], rows)


def label_chart(hyperparameters: Hyperparameters, train: Pairs) -> Markup:
    """Draws the distribution of the training labels."""
    values = np.asarray(train.labels)
    if hyperparameters.output_layer == "softmax":
        return bars("labels (train)", values, "class", hyperparameters.num_classes)
    return bars("labels (train)", values, "label")


def bad_line_table(channels: Mapping[str, Pairs]) -> ReportTable:
    """Returns the first bad lines of each channel."""
    rows = []
    for name, pairs in channels.items():
        messages = pairs.report.bad_lines
        rows += [[name, message] for message in messages[:_MAX_BAD_LINES]]
        if len(messages) > _MAX_BAD_LINES:
            rows.append([name, f"and {len(messages) - _MAX_BAD_LINES:,} more"])
    return ReportTable(["channel", "line"], rows, text_columns=2)
