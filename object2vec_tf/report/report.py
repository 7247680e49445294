"""The report of a run: a self-contained web page, and a model card in Markdown."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.report.data_tables import (
    bad_line_table,
    label_chart,
    label_table,
    length_charts,
    length_table,
    weight_table,
)
from object2vec_tf.report.embedding_sample import MAX_OBJECTS, EmbeddingSample
from object2vec_tf.report.neighbor_table import neighbor_table
from object2vec_tf.report.number_format import count_text, duration_text
from object2vec_tf.report.provenance import Provenance
from object2vec_tf.report.rendering import render_html, render_markdown
from object2vec_tf.report.result_rows import CHANNELS, metric_names
from object2vec_tf.report.run_tables import (
    epoch_table,
    initial_model_note,
    initial_model_table,
    result_note,
    result_table,
    setting_tables,
)
from object2vec_tf.report.svg_charts import curves, scatter
from object2vec_tf.report.tables import ReportTable
from object2vec_tf.report.verdict import judge
from object2vec_tf.runs.result_files import Record


@dataclasses.dataclass(frozen=True)
class _Section:
    """A section of the report.

    Attributes:
        title: The heading.
        note: An introduction; may be empty.
        table: The table. The model card omits sections without one.
        charts: Draws the charts, which only the page shows.
        folded: The label under which the page hides the table; empty to show it.
        layout: How the page sets a table without charts: ``narrow`` as wide as its
            content, ``full`` as wide as the page, or in several ``columns``.
    """

    title: str
    note: str
    table: ReportTable | None
    charts: Callable[[], Sequence[Markup]] = tuple
    folded: str = ""
    layout: str = "narrow"

    @property
    def anchor(self) -> str:
        """The name of the section in links."""
        return "-".join(re.findall(r"[a-z0-9]+", self.title.lower()))


class Report:
    """The report of a finished run.

    Args:
        name: The run's name.
        hyperparameters: The hyperparameters.
        channels: The pairs of each channel.
        metrics: The content of metrics.json.
        history: The record of each epoch.
        samples: Embeddings of objects of the training channel, by encoder.
        hidden: Metrics to leave out.
        provenance: The circumstances of the run.

    Attributes:
        name: The run's name.
        verdict: The judgment of the run.
        command: The command line of the run; empty if it is not known.
        steps: The commands to run next.
    """

    def __init__(
        self,
        name: str,
        hyperparameters: Hyperparameters,
        channels: Mapping[str, Pairs],
        metrics: Mapping[str, Any],
        history: Sequence[Record],
        samples: Sequence[EmbeddingSample],
        hidden: Collection[str] = (),
        provenance: Provenance | None = None,
    ) -> None:
        provenance = provenance or Provenance()
        self.name = name
        self.verdict = judge(metrics, hyperparameters)
        self.command = provenance.command
        self.steps = provenance.steps
        self._provenance = provenance
        self._hyperparameters = hyperparameters
        self._channels = channels
        self._metrics = metrics
        self._history = history
        # Objects that the user has named are the ones that readers know.
        self._samples = sorted(samples, key=lambda sample: not sample.is_named)
        self._hidden = hidden

    def summary(self) -> str:
        """Summarizes the training in a sentence or two."""
        metrics = self._metrics
        pairs, epochs = metrics["rows"]["train"], metrics["epochs_run"]
        return (
            f"This Object2Vec model was trained on {count_text(pairs, 'pair')} for "
            f"{count_text(epochs, 'epoch')} ({metrics['stopped']}). It has the weights "
            f"of the best epoch, number {metrics['best_epoch'] + 1}."
        )

    def facts(self) -> list[tuple[str, str]]:
        """Returns the circumstances of the run, by name."""
        metrics, settings = self._metrics, self._hyperparameters
        provenance = self._provenance
        rows = [
            f"{name} {count:,}"
            for name, count in metrics["rows"].items()
            if name in CHANNELS
        ]
        facts = {
            "Pairs": ", ".join(rows),
            "Time": f"{duration_text(metrics['seconds'])}, "
            f"{metrics['records_per_second']:,.0f} pairs/s",
            "Device": _place(metrics),
            "Encoders": _encoders(settings),
            "Training loss": settings.loss_name,
            "Random seed": str(metrics.get("seed", "")),
            "Finished": provenance.date,
            "Software": ", ".join(
                f"{name} {version}" for name, version in provenance.versions.items()
            ),
        }
        return [(name, text) for name, text in facts.items() if text]

    def html(self) -> str:
        """Returns the page. It is self-contained: it loads nothing."""
        page = render_html("report.html.j2", report=self, sections=self._sections())
        return page.lstrip()

    def markdown(self) -> str:
        """Returns the model card."""
        return render_markdown("report.md.j2", report=self, sections=self._sections())

    def _sections(self) -> list[_Section]:
        """Returns all sections whose table, if any, has rows."""
        sections = [
            _Section(
                "Results",
                result_note(self._metrics, self._hidden),
                result_table(self._metrics, self._hidden),
                self._curves,
            ),
            _Section(
                "Epochs",
                "",
                epoch_table(self._history, self._metrics["best_epoch"], self._hidden),
                folded=f"Scores of {count_text(len(self._history), 'epoch')}",
            ),
            _Section(
                "Embeddings",
                "The most frequent objects of each input in the training channel (at "
                f"most {MAX_OBJECTS:,} per input), projected onto their first two "
                "principal components. Outliers are drawn at the edge. Hover over a "
                "point to see its name.",
                None,
                self._maps,
            ),
            *(
                _Section(
                    f"Nearest neighbors, {sample.side}",
                    *neighbor_table(sample),
                    layout="full",
                )
                for sample in self._samples
            ),
            _Section(
                "Initial model",
                initial_model_note(self._metrics),
                initial_model_table(self._metrics),
            ),
            *self._data_sections(),
            *self._setting_sections(),
        ]
        return [s for s in sections if s.table is None or s.table.rows]

    def _data_sections(self) -> list[_Section]:
        settings, channels = self._hyperparameters, self._channels
        return [
            _Section(
                "Data",
                "Statistics of the number of tokens per input, after truncation. "
                "truncated: inputs that were longer than encX_max_seq_len and lost "
                "their end. empty: inputs without tokens, whose embedding is zero.",
                length_table(channels),
                lambda: length_charts(channels["train"]),
            ),
            _Section(
                "Labels",
                "",
                label_table(settings, channels),
                lambda: [label_chart(settings, channels["train"])],
            ),
            _Section(
                "Weights",
                "A pair's weight multiplies its share of the loss and of the metrics.",
                weight_table(channels),
            ),
            _Section(
                "Bad lines",
                "Invalid lines that were skipped (--max_bad_lines).",
                bad_line_table(channels),
                layout="full",
            ),
        ]

    def _setting_sections(self) -> list[_Section]:
        changed, default = setting_tables(self._hyperparameters)
        return [
            _Section(
                "Settings",
                "Hyperparameters that differ from their defaults.",
                changed,
                layout="columns",
            ),
            _Section(
                "Default settings",
                "",
                default,
                folded=f"{len(default.rows)} hyperparameters",
                layout="columns",
            ),
        ]

    def _curves(self) -> list[Markup]:
        """Draws each metric by epoch, where it is finite in every epoch."""
        charts = []
        records = [record.get(c, {}) for record in self._history for c in CHANNELS]
        for name in metric_names(records, self._hidden):
            series: dict[str, list[float]] = {}
            for channel in CHANNELS:
                values = [record.get(channel, {}).get(name) for record in self._history]
                if all(value is not None and math.isfinite(value) for value in values):
                    series[channel] = values
            if series:
                charts.append(curves(name, series, int(self._metrics["best_epoch"])))
        return charts

    def _maps(self) -> list[Markup]:
        """Draws the embeddings of each input."""
        return [
            scatter(
                f"{sample.side} ({len(sample.names):,})",
                sample.vectors,
                sample.names,
                sample.labels,
                sample.label_title,
                sample.labels_are_classes,
            )
            for sample in self._samples
        ]


def _encoders(settings: Hyperparameters) -> str:
    """Returns the networks of both encoders, and the size of embeddings."""
    first, second = settings.enc0_network, settings.enc1_network
    networks = f"{first} for in0, {second} for in1"
    if second == "enc0":
        networks = f"{first}, shared by in0 and in1"
    elif first == second:
        networks = f"{first} for in0 and for in1"
    return f"{networks}; {settings.enc_dim:,} values per embedding"


def _place(metrics: Mapping[str, Any]) -> str:
    """Returns the device and its precision; version 0.1 did not record them."""
    device = str(metrics.get("device", ""))
    precision = metrics.get("precision", "float32")
    if precision != "float32":
        device += f" in mixed precision ({precision})"
    return device.strip()
