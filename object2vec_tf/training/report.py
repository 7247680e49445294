"""A run's report: one page to read and to mail, and the same as a model card."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters, defaults
from object2vec_tf.search.ranking import normalized
from object2vec_tf.training.baselines import TITLES
from object2vec_tf.training.figures import curves, scatter
from object2vec_tf.training.run_directory import Record
from object2vec_tf.training.samples import Sample

_CHANNELS = ("train", "validation", "test")
_EXAMPLES, _NEIGHBORS = 5, 5
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;
padding:0 1em;color:#222}h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em}
table{border-collapse:collapse;margin:.8em 0}td,th{padding:.2em .8em .2em 0;
text-align:left;border-bottom:1px solid #ddd;vertical-align:top}
svg text{font-size:11px;fill:#555}svg .title{font-size:13px;fill:#222}
svg .grid{stroke:#e4e4e4}.figures{display:flex;flex-wrap:wrap;gap:1em}"""

Table = tuple[Sequence[str], Sequence[Sequence[str]]]


class Report:
    """What there is to tell of a complete run.

    Args:
        name: The run's name.
        hyperparameters: Its settings.
        channels: Its pairs.
        metrics: What metrics.json holds.
        history: The records of its epochs.
        samples: Objects of its training channel, embedded.
    """

    def __init__(
        self,
        name: str,
        hyperparameters: Hyperparameters,
        channels: Mapping[str, Pairs],
        metrics: Mapping[str, Any],
        history: Sequence[Record],
        samples: Sequence[Sample],
    ) -> None:
        self.name = name
        self._metrics = metrics
        self._history = history
        self._samples = samples
        self._sections: dict[str, Table] = {
            "Results": _results(metrics),
            "Data": _data(channels),
            "Labels": _labels(hyperparameters, channels),
            "Settings": _settings(hyperparameters),
        }

    def summary(self) -> str:
        """Returns the run in a sentence."""
        told = self._metrics
        return (
            f"Object2Vec, trained on {told['rows']['train']:,} pairs for "
            f"{told['epochs_run']} epochs ({told['stopped']}) in "
            f"{told['seconds']:.0f} seconds; the model is that of epoch "
            f"{told['best_epoch'] + 1}, with seed {told['seed']}."
        )

    def html(self) -> str:
        """Returns the page; it loads nothing from elsewhere."""
        parts = [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>'
            f"{html.escape(self.name)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{html.escape(self.name)}</h1><p>{html.escape(self.summary())}</p>",
        ]
        for title, table in self._sections.items():
            parts.append(f"<h2>{title}</h2>{_html_table(table)}")
            if title == "Results":
                parts.append(f'<div class="figures">{"".join(self._curves())}</div>')
        parts.append("<h2>Embeddings</h2><p>The two principal components of the ")
        parts.append("objects that stand in most training pairs, coloured by the mean ")
        parts.append('label of these pairs, blue the lowest.</p><div class="figures">')
        for sample in self._samples:
            title = f"{sample.side} ({len(sample.names):,})"
            parts.append(scatter(title, sample.vectors, sample.names, sample.labels))
        parts.append("</div>")
        for sample in self._samples:
            title = f"<h2>Nearest neighbours, {sample.side}</h2>"
            parts.append(title + _html_table(_neighbors(sample)))
        return "\n".join([*parts, "</body></html>\n"])

    def markdown(self) -> str:
        """Returns the report as a model card."""
        parts = [
            "---\nlibrary_name: keras\ntags:\n- object2vec\n- embeddings\n---\n",
            f"# {self.name}\n\n{self.summary()}\n",
            "Two encoders make embeddings of two kinds of objects; a comparator scores "
            "a pair of them. The model takes JSON Lines with `in0`, `in1` or both: "
            "`python -m export.gateway --model=RUN` serves it, `python -m "
            "object2vec_tf.transform --model=RUN --input=FILE` answers a file.\n",
        ]
        for title, table in self._sections.items():
            parts.append(f"## {title}\n\n{_markdown_table(table)}")
        for sample in self._samples:
            title = f"## Nearest neighbours, {sample.side}\n\n"
            parts.append(title + _markdown_table(_neighbors(sample)))
        parts.append(
            "## Limits\n\nThe model knows what its training pairs show, with their "
            "biases, and nothing of objects that they lack.\n"
        )
        return "\n".join(parts)

    def _curves(self) -> list[str]:
        told = []
        for name in self._history[0]["train"]:
            series: dict[str, list[float]] = {
                channel: [record[channel][name] for record in self._history]
                for channel in ("train", "validation")
                if channel in self._history[0]
            }
            if all(math.isfinite(v) for line in series.values() for v in line):
                told.append(curves(name, series))
        return told


def _results(metrics: Mapping[str, Any]) -> Table:
    channels = [name for name in _CHANNELS if name in metrics]
    rows = []
    for name in metrics[channels[0]]:
        rows.append([name, *(f"{metrics[c][name]:.4f}" for c in channels)])
        for simple, scores in metrics.get("baselines", {}).items():
            if name in scores[channels[0]]:
                values = [f"{scores[channel][name]:.4f}" for channel in channels]
                rows.append([f"{name}, by {TITLES[simple]}", *values])
    return ["metric", *channels], rows


def _data(channels: Mapping[str, Pairs]) -> Table:
    head = ["channel", "pairs", "input", "tokens: median", "95 %", "most"]
    rows = []
    for name, pairs in channels.items():
        report = pairs.report
        for side, column in pairs.columns.items():
            lengths = column.lengths
            middle, long = np.quantile(lengths, (0.5, 0.95))
            rows.append(
                [
                    *(name, f"{len(pairs):,}", side),
                    *(f"{middle:.0f}", f"{long:.0f}", f"{int(lengths.max()):,}"),
                    *(f"{report.truncated[side]:,}", f"{report.empty[side]:,}"),
                    f"{report.unknown[side]:,}" if side in report.unknown else "",
                ]
            )
    return [*head, "cut", "empty", "unknown tokens"], rows


def _labels(hyperparameters: Hyperparameters, channels: Mapping[str, Pairs]) -> Table:
    rows = []
    if hyperparameters.output_layer == "softmax":
        classes = range(hyperparameters.num_classes)
        for name, pairs in channels.items():
            counts = np.bincount(np.asarray(pairs.labels), minlength=len(classes))
            rows.append([name, *(f"{count / len(pairs):.1%}" for count in counts)])
        return ["channel", *(f"class {number}" for number in classes)], rows
    for name, pairs in channels.items():
        labels = np.asarray(pairs.labels, np.float64)
        told = (labels.mean(), labels.std(), labels.min(), labels.max())
        rows.append([name, *(f"{value:.4g}" for value in told)])
    return ["channel", "mean", "standard deviation", "least", "most"], rows


def _settings(hyperparameters: Hyperparameters) -> Table:
    usual = defaults()
    values = hyperparameters.to_dict()
    chosen = [name for name in values if values[name] != usual.get(name)]
    rest = [name for name in values if name not in chosen]
    rows = [[name, str(values[name])] for name in chosen]
    others = ", ".join(f"{name}={values[name]}" for name in rest)
    return ["hyperparameter", "value"], [*rows, ["as by default", others]]


def _neighbors(sample: Sample) -> Table:
    """Returns the nearest, by cosine, of objects from the most to the least frequent.

    Objects of the sample are the pool.
    """
    vectors = normalized(sample.vectors)
    count = len(sample.names)
    asked = np.unique(np.linspace(0, count - 1, _EXAMPLES).astype(int))
    rows = []
    for place in asked:
        cosines = vectors @ vectors[place]
        order = [int(i) for i in np.argsort(-cosines, kind="stable") if i != place]
        found = "; ".join(
            f"{sample.names[i]} ({cosines[i]:.2f})" for i in order[:_NEIGHBORS]
        )
        rows.append([sample.names[place], found])
    return [sample.side, "nearest (cosine)"], rows


def _html_table(table: Table) -> str:
    head, rows = table
    lines = ["".join(f"<td>{html.escape(c)}</td>" for c in row) for row in rows]
    titles = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><tr>{titles}</tr>{body}</table>"


def _markdown_table(table: Table) -> str:
    head, rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n"
        for line in lines
    )
