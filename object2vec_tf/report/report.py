"""A run's report: one page to read and to mail, and the same as a model card."""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters, defaults
from object2vec_tf.report.baselines import TITLES
from object2vec_tf.report.data_tables import (
    bad_lines,
    label_figure,
    labels,
    length_figures,
    lengths,
    weights,
)
from object2vec_tf.report.embedding_sample import MOST_OBJECTS, EmbeddingSample
from object2vec_tf.report.neighbor_table import nearest
from object2vec_tf.report.svg_charts import curves, scatter
from object2vec_tf.report.tables import Table, plain_markdown
from object2vec_tf.runs.run_directory import Record

_CHANNELS = ("train", "validation", "test")
# Epochs in the model card, which has no curves.
_MOST_EPOCHS = 10
_STYLE = """
:root{color-scheme:light dark;--text:#222;--soft:#666;--rule:#ddd;--page:#fff}
@media(prefers-color-scheme:dark){
:root{--text:#ddd;--soft:#aaa;--rule:#444;--page:#181818}}
body{font:15px/1.5 system-ui,sans-serif;max-width:980px;margin:2em auto;padding:0 1em;
color:var(--text);background:var(--page)}
h1{font-size:1.6em}h2{font-size:1.2em;margin:2em 0 .3em;break-after:avoid}
p{margin:.4em 0;max-width:46em}.note{color:var(--soft)}
.wide{overflow-x:auto}table{border-collapse:collapse;margin:.8em 0}
td,th{padding:.2em 1.2em .2em 0;text-align:left;vertical-align:top;
border-bottom:1px solid var(--rule);overflow-wrap:anywhere}
th{overflow-wrap:normal}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.figures{display:flex;flex-wrap:wrap;gap:1em}
svg{max-width:100%;height:auto;break-inside:avoid}
svg text{font-size:11px;fill:var(--soft)}svg .title{font-size:13px;fill:var(--text)}
svg .axis{font-size:11px;fill:var(--soft)}
svg .grid{stroke:var(--rule)}svg .frame{fill:none;stroke:var(--rule)}
svg .kept{stroke:var(--soft);stroke-dasharray:3 3}
summary{cursor:pointer}"""


@dataclasses.dataclass(frozen=True)
class _Section:
    """A part of the report.

    Attributes:
        title: Its heading.
        note: What there is to know about it.
        table: Its table.
        figures: Draws what the page shows beside the table.
        folded: What is shown of it where it can be folded away; empty: all.
    """

    title: str
    note: str
    table: Table | None
    figures: Callable[[], Sequence[str]] = tuple
    folded: str = ""


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
        samples: Sequence[EmbeddingSample],
    ) -> None:
        self.name = name
        self._hyperparameters = hyperparameters
        self._channels = channels
        self._metrics = metrics
        self._history = history
        self._samples = samples

    def summary(self) -> str:
        """Returns the run in some sentences."""
        told, rows = self._metrics, self._metrics["rows"]
        pairs = f"{rows['train']:,} pair" + "s" * (rows["train"] > 1)
        epochs = f"{told['epochs_run']} epoch" + "s" * (told["epochs_run"] > 1)
        return (
            f"Object2Vec, trained on {pairs} for {epochs} "
            f"({told['stopped']}) in {told['seconds']:.0f} seconds; the model is that "
            f"of epoch {told['best_epoch'] + 1}, with seed {told['seed']}. "
            + _verdict(told, self._hyperparameters.loss_name)
        )

    def html(self) -> str:
        """Returns the page; it loads nothing from elsewhere."""
        name = html.escape(self.name)
        parts = [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            f"<title>{name} - Object2Vec</title><style>{_STYLE}</style></head><body>",
            f"<h1>{name}</h1><p>{html.escape(self.summary())}</p>",
        ]
        for section in self._sections():
            parts.append(f"<h2>{section.title}</h2>")
            if section.note:
                parts.append(f'<p class="note">{html.escape(section.note)}</p>')
            table = section.table.html() if section.table else ""
            if section.folded:
                title = html.escape(section.folded)
                table = f"<details><summary>{title}</summary>{table}</details>"
            figures = "".join(section.figures())
            parts.append(table)
            parts.append(f'<div class="figures">{figures}</div>' if figures else "")
        return "\n".join([*filter(None, parts), "</body></html>\n"])

    def markdown(self) -> str:
        """Returns the report as a model card."""
        parts = [
            "---\nlibrary_name: keras\ntags:\n- object2vec\n- embeddings\n---\n",
            f"# {plain_markdown(self.name)}\n\n{plain_markdown(self.summary())}\n",
            "Two encoders make embeddings of two kinds of objects; a comparator scores "
            "a pair of them. `report.html`, in the run directory, has the figures.\n",
            "## Use\n\nThe model takes JSON Lines with `in0`, `in1` or both: the "
            "embedding of one, or the score of a pair.\n\n"
            "    python -m object2vec_tf.transform --model=RUN --input=FILE --output="
            "FILE.out\n    python -m export.gateway --model=RUN --port=8080\n",
        ]
        for section in self._sections():
            if section.table is None:
                continue
            note = plain_markdown(section.note) + "\n\n" if section.note else ""
            table = section.table.markdown()
            parts.append(f"## {section.title}\n\n{note}{table}")
            if section.title == "Results":
                parts.append(f"## Epochs\n\n{self._epochs().markdown()}")
        parts.append(
            "## Limits\n\nThe model knows what its training pairs show, with their "
            "biases, and nothing of objects that they lack.\n"
        )
        return "\n".join(parts)

    def _sections(self) -> list[_Section]:
        settings, channels = self._hyperparameters, self._channels
        chosen, rest = _settings(settings)
        left_out = bad_lines(channels)
        sections = [
            _Section(
                "Results",
                "This model beside simple ones, which know of the training pairs what "
                "their names say. Its scores on train are means over the epoch while "
                "it learnt; all others are measured on finished models.",
                _results(self._metrics),
                self._curves,
            ),
            _Section(
                "Embeddings",
                f"The objects that stand in most training pairs, at most "
                f"{MOST_OBJECTS:,} of a side, by two principal components. What lies "
                "far outside stands at the edge. The mouse shows names.",
                None,
                self._maps,
            ),
            *(
                _Section(
                    f"Nearest neighbours, {sample.side}",
                    *nearest(sample),
                )
                for sample in self._samples
            ),
            _Section(
                "Data",
                "Tokens in each input, as trained on. cut: inputs longer than "
                "encX_max_seq_len, which lost their end; empty: inputs of no token, "
                "encoded as zeros.",
                lengths(channels),
                lambda: length_figures(channels["train"]),
            ),
            _Section(
                "Labels",
                "",
                labels(settings, channels),
                lambda: [label_figure(settings, channels["train"])],
            ),
            _Section("Settings", "What is not as by default.", chosen),
            _Section(
                "Settings as by default",
                "",
                rest,
                folded=f"{len(rest.rows)} settings",
            ),
        ]
        if weighed := weights(channels):
            note = "How many times pairs count, in training and in the metrics."
            sections.insert(-2, _Section("Weights", note, weighed))
        if left_out:
            note = "Lines that were wrong and were left out (--max_bad_lines)."
            sections.insert(-2, _Section("Bad lines", note, left_out))
        return [s for s in sections if s.table is None or s.table.rows]

    def _curves(self) -> list[str]:
        told = []
        first = self._history[0]
        for name in first["train"]:
            series: dict[str, list[float]] = {
                channel: [record[channel][name] for record in self._history]
                for channel in ("train", "validation")
                if name in first.get(channel, {})
            }
            if all(math.isfinite(v) for line in series.values() for v in line):
                kept = int(self._metrics["best_epoch"])
                told.append(curves(name, series, kept))
        return told

    def _maps(self) -> list[str]:
        told = []
        for sample in self._samples:
            title = f"{sample.side} ({len(sample.names):,})"
            labels = sample.labels, sample.meaning, sample.classes
            told.append(scatter(title, sample.vectors, sample.names, *labels))
        return told

    def _epochs(self) -> Table:
        count, best = len(self._history), self._metrics["best_epoch"]
        step = math.ceil(count / _MOST_EPOCHS)
        shown = sorted({*range(0, count, step), best, count - 1})
        first = self._history[0]
        columns = [(c, name) for c in _CHANNELS for name in first.get(c, {})]
        rows = [
            [
                str(number + 1),
                *(_score(self._history[number][c][name]) for c, name in columns),
            ]
            for number in shown
        ]
        head = ["epoch", *(f"{channel} {name}" for channel, name in columns)]
        return Table(head, rows, strong=[shown.index(best)])


def _verdict(metrics: Mapping[str, Any], loss: str) -> str:
    """Returns how the model does on the channel that tells most, in a sentence."""
    channel = next(name for name in reversed(_CHANNELS) if name in metrics)
    own = f"Its {loss} on {channel} is {_score(metrics[channel][loss])}"
    simple = {
        title: float(scores[channel][loss])
        for title, scores in metrics.get("baselines", {}).items()
        if loss in scores[channel]
    }
    if not simple:
        return f"{own}."
    best = min(simple, key=lambda title: simple[title])
    return (
        f"{own}; the best of the simple models, {TITLES[best]}, has "
        f"{_score(simple[best])} (less is better)."
    )


def _results(metrics: Mapping[str, Any]) -> Table:
    channels = [name for name in _CHANNELS if name in metrics]
    rows: list[list[str]] = []
    strong = []
    for name in metrics[channels[0]]:
        strong.append(len(rows))
        scores = [metrics[channel].get(name) for channel in channels]
        rows.append([name, "this model", *map(_score, scores)])
        for simple, told in metrics.get("baselines", {}).items():
            if name in told[channels[0]]:
                scores = [told[channel][name] for channel in channels]
                rows.append([name, TITLES[simple], *map(_score, scores)])
    return Table(["metric", "by", *channels], rows, words=2, strong=strong)


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _settings(hyperparameters: Hyperparameters) -> tuple[Table, Table]:
    """Returns the settings that are not as by default, and the others."""
    usual = defaults()
    told: tuple[list[list[str]], list[list[str]]] = [], []
    for name, value in hyperparameters.to_dict().items():
        text = value if isinstance(value, str) else json.dumps(value)
        told[value == usual.get(name)].append([name, text])
    head = ["hyperparameter", "value"]
    return Table(head, told[0], words=2), Table(head, told[1], words=2)
