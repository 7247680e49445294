"""Tables and sentences on a run's results, epochs and hyperparameters."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from object2vec_tf.hyperparameters import Hyperparameters, defaults
from object2vec_tf.report.baselines import DESCRIPTIONS, TITLES
from object2vec_tf.report.number_format import score_text
from object2vec_tf.report.result_rows import (
    CHANNELS,
    metric_names,
    result_channels,
    result_rows,
)
from object2vec_tf.report.tables import ReportTable
from object2vec_tf.runs.result_files import Record

# The most epochs of a table, not counting the best and the last one.
_MAX_EPOCHS = 10


def result_note(metrics: Mapping[str, Any], hidden: Collection[str] = ()) -> str:
    """Explains the result table.

    Args:
        metrics: The content of metrics.json.
        hidden: Metrics that the table leaves out.
    """
    note = (
        "The scores of this model on train are averages over the best epoch, while its "
        "weights were changing. All other scores are computed with fixed weights."
    )
    shown = {row.baseline for row in result_rows(metrics, hidden)}
    baselines = [
        f"{TITLES[name]} ({DESCRIPTIONS[name]})"
        for name in metrics.get("baselines", {})
        if TITLES[name] in shown
    ]
    if baselines:
        note += f" Baselines: {'; '.join(baselines)}."
    notes = [note, negative_sentence(metrics), *_retrieval_notes(metrics)]
    return " ".join(filter(None, notes))


def negative_sentence(metrics: Mapping[str, Any]) -> str:
    """Says how many negatives were made, if they are fewer than asked for."""
    negatives = metrics.get("negatives", {"asked": 0, "made": 0})
    asked, made = negatives["asked"], negatives["made"]
    if made >= asked:
        return ""
    return (
        f"{made:,} of {asked:,} negatives were made: for the other {asked - made:,}, a "
        "batch had no further object that is neither the pair's own nor a known "
        "partner (negative_exclude_known)."
    )


def _retrieval_notes(metrics: Mapping[str, Any]) -> list[str]:
    """Explains hits@k and the other retrieval measures, if there are any."""
    notes = [
        f"On {channel}, {sizes['queries']:,} in0 rank {sizes['pool']:,} items by "
        f"{sizes['similarity']}, to find the items of {sizes['pairs']:,} true pairs."
        for channel, sizes in metrics.get("retrieval", {}).items()
    ]
    if notes:
        notes.append(
            "Items of known training pairs are not ranked. The ranks of hits@k, "
            "mean_rank and mrr leave out the other true items of an in0."
        )
    return notes


def result_table(
    metrics: Mapping[str, Any], hidden: Collection[str] = ()
) -> ReportTable:
    """Returns the scores of the model and of the baselines on each channel.

    Args:
        metrics: The content of metrics.json.
        hidden: Metrics to leave out.
    """
    found = list(result_rows(metrics, hidden))
    rows = [
        [row.metric, row.baseline or "this model", *map(score_text, row.values)]
        for row in found
    ]
    own_rows = [number for number, row in enumerate(found) if row.baseline is None]
    head = ["metric", "model", *result_channels(metrics)]
    return ReportTable(head, rows, text_columns=2, bold_rows=own_rows)


def initial_model_note(metrics: Mapping[str, Any]) -> str:
    """Explains from which model the weights of a run started.

    Args:
        metrics: The content of metrics.json.
    """
    summary = metrics.get("initial_model")
    if not summary:
        return ""
    source = f"those of {summary['path']}" if summary["path"] else "a given model's"
    note = f"Training started with {source} where they fit."
    if summary["fresh"]:
        note += f" These started as in a new model: {', '.join(summary['fresh'])}."
    return note


def initial_model_table(metrics: Mapping[str, Any]) -> ReportTable:
    """Returns the numbers of token vectors that the initial model provided."""
    summary = metrics.get("initial_model", {})
    rows = []
    for encoder in ("enc0", "enc1") if summary else ():
        counts = summary[f"{encoder}_rows"]
        numbers = [f"{counts[name]:,}" for name in ("taken", "new")]
        rows.append([encoder, summary["matched_by"][encoder], *numbers])
    head = ["token vectors", "matched by", "from the initial model", "new"]
    return ReportTable(head, rows, text_columns=2)


def epoch_table(
    history: Sequence[Record], best: int, hidden: Collection[str] = ()
) -> ReportTable:
    """Returns the metrics of evenly spaced epochs, of the best and of the last one.

    Args:
        history: The record of each epoch.
        best: The best epoch, counted from 0; its row is in bold.
        hidden: Metrics to leave out.
    """
    count = len(history)
    step = math.ceil(count / _MAX_EPOCHS)
    epochs = sorted({*range(0, count, step), best, count - 1})
    columns = [
        (channel, name)
        for channel in CHANNELS
        for name in metric_names([r.get(channel, {}) for r in history], hidden)
    ]
    rows = [
        [
            str(epoch + 1),
            *(
                score_text(history[epoch].get(channel, {}).get(name))
                for channel, name in columns
            ),
        ]
        for epoch in epochs
    ]
    head = ["epoch", *(f"{channel} {name}" for channel, name in columns)]
    return ReportTable(head, rows, bold_rows=[epochs.index(best)])


def setting_tables(hyperparameters: Hyperparameters) -> tuple[ReportTable, ReportTable]:
    """Returns the hyperparameters that differ from their defaults, and the others."""
    changed: list[list[str]] = []
    default: list[list[str]] = []
    default_values = defaults()
    for name, value in hyperparameters.to_dict().items():
        text = value if isinstance(value, str) else json.dumps(value)
        rows = default if value == default_values.get(name) else changed
        rows.append([name, text])
    head = ["hyperparameter", "value"]
    return ReportTable(head, changed, text_columns=2), ReportTable(
        head, default, text_columns=2
    )
