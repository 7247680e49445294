"""What a run's channels hold: lengths, what was cut, the labels, and bad lines."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.report.svg_charts import bars
from object2vec_tf.report.tables import Table

_MOST_BAD_LINES = 20


def lengths(channels: Mapping[str, Pairs]) -> Table:
    """Returns how long the inputs are, as they are trained on, and what befell them."""
    texts = any(pairs.report.unknown for pairs in channels.values())
    rows = []
    for name, pairs in channels.items():
        report = pairs.report
        for side, column in pairs.columns.items():
            found = column.lengths
            middle, long = np.quantile(found, (0.5, 0.95))
            rows.append(
                [
                    *(name, side, f"{len(pairs):,}"),
                    *(f"{found.mean():.1f}", f"{middle:.0f}", f"{long:.0f}"),
                    f"{int(found.max()):,}",
                    *(f"{report.truncated[side]:,}", f"{report.empty[side]:,}"),
                    *([f"{report.unknown.get(side, 0):,}"] if texts else []),
                ]
            )
    head = ["channel", "input", "pairs", "mean", "median", "95 %", "longest"]
    head += ["cut", "empty", *(["unknown tokens"] if texts else [])]
    return Table(head, rows, words=2)


def length_figures(train: Pairs) -> list[str]:
    """Returns charts of the lengths of the training inputs, where they differ."""
    return [
        bars(f"lengths of {side} (train)", column.lengths, "tokens")
        for side, column in train.columns.items()
        if len(np.unique(column.lengths)) > 1
    ]


def labels(hyperparameters: Hyperparameters, channels: Mapping[str, Pairs]) -> Table:
    """Returns how many pairs each class has, or where the values lie."""
    if hyperparameters.output_layer == "softmax":
        counts = [
            np.bincount(np.asarray(p.labels), minlength=hyperparameters.num_classes)
            for p in channels.values()
        ]
        rows = []
        for label in range(hyperparameters.num_classes):
            told = [(found[label], found.sum()) for found in counts]
            rows.append(
                [str(label), *(f"{n:,} ({n / total:.1%})" for n, total in told)]
            )
        return Table(["class", *channels], rows)
    rows = []
    for name, pairs in channels.items():
        values = np.asarray(pairs.labels, np.float64)
        quartiles = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
        figures = (values.mean(), values.std(), *quartiles)
        rows.append([name, *(f"{value:.4g}" for value in figures)])
    head = ["channel", "mean", "standard deviation", "least", "25 %", "median"]
    return Table([*head, "75 %", "most"], rows)


def weights(channels: Mapping[str, Pairs]) -> Table | None:
    """Returns where the pairs' weights lie; None where no line has one."""
    rows = []
    for name, pairs in channels.items():
        if pairs.weights is not None:
            values = np.asarray(pairs.weights, np.float64)
            figures = (values.mean(), values.min(), np.median(values), values.max())
            rows.append([name, *(f"{value:.4g}" for value in figures)])
    head = ["channel", "mean", "least", "median", "most"]
    return Table(head, rows) if rows else None


def label_figure(hyperparameters: Hyperparameters, train: Pairs) -> str:
    """Returns a chart of the training labels."""
    values = np.asarray(train.labels)
    if hyperparameters.output_layer == "softmax":
        return bars("labels (train)", values, "class", hyperparameters.num_classes)
    return bars("labels (train)", values, "label")


def bad_lines(channels: Mapping[str, Pairs]) -> Table | None:
    """Returns the lines that were left out; None where there are none."""
    rows = []
    for name, pairs in channels.items():
        found = pairs.report.bad_lines
        rows += [[name, message] for message in found[:_MOST_BAD_LINES]]
        if len(found) > _MOST_BAD_LINES:
            rows.append([name, f"and {len(found) - _MOST_BAD_LINES:,} more"])
    return Table(["channel", "line"], rows, words=2) if rows else None
