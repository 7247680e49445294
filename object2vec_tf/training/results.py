"""The results of a trained run: metrics.json and the report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from object2vec_tf.data.batch_negatives import sum_negatives
from object2vec_tf.devices import describe_devices
from object2vec_tf.files.atomic import write_atomic
from object2vec_tf.files.remote import absolute
from object2vec_tf.files.staging import local_name
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.progress import phase
from object2vec_tf.report.baselines import POPULARITY, baselines
from object2vec_tf.report.embedding_sample import sample_embeddings
from object2vec_tf.report.next_steps import Step, next_steps
from object2vec_tf.report.provenance import current_provenance
from object2vec_tf.report.report import Report
from object2vec_tf.runs.result_files import Record
from object2vec_tf.runs.run_directory import ALL_EPOCHS
from object2vec_tf.training.loop import evaluate
from object2vec_tf.training.preparation import PreparedRun
from object2vec_tf.training.retrieval import RetrievalTask, retrieval_task
from object2vec_tf.training.sagemaker_metrics import quality_lines
from object2vec_tf.training.trainer import Trainer


def measure(run: PreparedRun, trainer: Trainer, model: Object2Vec) -> dict[str, Any]:
    """Measures the model of the best epoch; returns the content of metrics.json.

    Raises:
        Interrupted: The run must stop.
    """
    history, channels = trainer.history, run.channels
    best = history[trainer.best_epoch]
    trained_pairs = len(channels["train"]) * len(history)
    stopped_early = len(history) < run.hyperparameters.epochs
    reports = {name: pairs.report for name, pairs in channels.items()}
    metrics: dict[str, Any] = {
        "epochs_run": len(history),
        "best_epoch": best["epoch"],
        "stopped": "early stopping" if stopped_early else ALL_EPOCHS,
        **{name: best[name] for name in ("train", "validation") if name in best},
    }
    if "test" in channels:
        loop = trainer.loop_of_best(model)
        metrics["test"] = evaluate(
            loop, channels["test"], run.hyperparameters, trainer.check_stop
        )
    trainer.check_stop()
    with phase("baselines"):
        metrics["baselines"] = baselines(
            run.hyperparameters, channels, best.get("negatives")
        )
    trainer.check_stop()
    with phase("retrieval"):
        _add_retrieval(run, model, metrics)
    trainer.check_stop()
    run.console.metric_lines(quality_lines("test", metrics.get("test", {})))
    metrics |= {
        "rows": {name: len(pairs) for name, pairs in channels.items()},
        "truncated": {name: report.truncated for name, report in reports.items()},
        "empty": {name: report.empty for name, report in reports.items()},
        "bad_lines": {name: len(report.bad_lines) for name, report in reports.items()},
        **_negative_metrics(history),
        **_text_metrics(run),
        **({"initial_model": run.initial_model.summary} if run.initial_model else {}),
        "seed": run.options.seed,
        "device": describe_devices(len(run.strategy.local_replicas)),
        "precision": run.options.precision,
        "batch_layout": run.batch_layout,
        "seconds": time.perf_counter() - trainer.start,
        "records_per_second": trained_pairs / trainer.seconds,
    }
    trainer.logs.results(metrics)
    return metrics


def _negative_metrics(history: Sequence[Record]) -> dict[str, Any]:
    """Returns how many negatives all epochs asked for and made, if any."""
    tallies = [record["negatives"] for record in history if "negatives" in record]
    if not tallies:
        return {}
    sums = sum_negatives(tallies)
    return {"negatives": {name: sums[name] for name in ("asked", "made")}}


def _add_retrieval(
    run: PreparedRun, model: Object2Vec, metrics: dict[str, Any]
) -> None:
    """Adds the retrieval measures of validation and test, and of popularity.

    They are computed in the pool of ``retrieval_pool`` or, under the in-batch softmax,
    among the items of the channel.
    """
    is_in_batch = run.hyperparameters.objective == "in_batch_softmax"
    if not (run.retrieval_pool or is_in_batch):
        return
    popularity, sizes = {}, {}
    for channel in ("validation", "test"):
        is_measured = channel == "validation" and run.validation_task is not None
        task = run.validation_task if is_measured else _retrieval_task(run, channel)
        if task is None:
            continue
        if not is_measured:
            metrics[channel] = metrics[channel] | task.measure(model)
        popularity[channel] = task.measure_popularity()
        sizes[channel] = task.sizes()
    if popularity:
        metrics["baselines"][POPULARITY] = popularity
        metrics["retrieval"] = sizes


def _retrieval_task(run: PreparedRun, channel: str) -> RetrievalTask | None:
    return retrieval_task(
        run.channels, channel, run.hyperparameters, run.retrieval_pool
    )


def _text_metrics(run: PreparedRun) -> dict[str, Any]:
    """Returns the counts of unknown tokens and of pretrained vectors, if any."""
    metrics: dict[str, Any] = {}
    if run.hyperparameters.texts:
        metrics["unknown"] = {
            name: pairs.report.unknown for name, pairs in run.channels.items()
        }
    if run.text_assets.vectors:
        metrics["pretrained"] = {
            f"enc{encoder}": {"found": vectors.found, "words": vectors.words}
            for encoder, vectors in run.text_assets.vectors.items()
        }
    return metrics


def write_report(
    run: PreparedRun, trainer: Trainer, model: Object2Vec, metrics: dict[str, Any]
) -> None:
    """Writes report.html and report.md, and the embeddings for TensorBoard."""
    samples = sample_embeddings(model, run.channels["train"], run.object_names)
    trainer.logs.embeddings(samples)
    report = Report(
        local_name(absolute(f"{run.directory.path}")),
        run.hyperparameters,
        run.channels,
        metrics,
        trainer.history,
        samples,
        run.hidden_metrics,
        current_provenance(next_steps_of(run)),
    )
    write_atomic(run.directory.report, report.html())
    write_atomic(run.directory.card, report.markdown())


def next_steps_of(run: PreparedRun) -> tuple[Step, ...]:
    """Returns the commands that use the model, with the paths as they were given."""
    options = run.options
    directory = f"{run.directory.path}"  # the URL of a remote one
    return tuple(
        next_steps(directory, options.export_dir, options.items, options.labels)
    )
