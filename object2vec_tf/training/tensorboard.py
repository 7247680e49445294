"""Writes metrics, hyperparameters and embeddings for TensorBoard."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from object2vec_tf.files.atomic import write_atomic
from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.report.embedding_sample import EmbeddingSample
from object2vec_tf.report.next_steps import printable


def result_tag(channel: str, metric: str) -> str:
    """Returns the tag of a result of the best epoch.

    Example:
        >>> result_tag("test", "accuracy")
        'result/test_accuracy'
    """
    return f"result/{channel}_{metric}"


def trial_name(run: Path) -> str:
    """Returns the name that the HParams tab shows instead of a hash.

    Example:
        >>> trial_name(Path("study/trials/0007")), trial_name(Path("runs/movielens"))
        ('trial 7', 'movielens')
    """
    run = run.absolute()
    if run.parent.name == "trials" and run.name.isdecimal():
        return f"trial {int(run.name)}"
    return printable(run.name)


class TensorBoardLogs:
    """Writes the logs of a run.

    A metric has the same tag in the TensorBoard runs ``train`` and ``validation``, so
    that both curves appear in one chart. The run ``final`` has the results, the
    hyperparameters and the embeddings. Tags have the form ``group/name``; TensorBoard
    shows each group under a heading of its own.

    Args:
        directory: The log directory, in the run directory. Its parent names the run in
            the HParams tab.
        hyperparameters: The hyperparameters, for the HParams tab.
    """

    def __init__(self, directory: Path, hyperparameters: Hyperparameters) -> None:
        self._directory = directory
        self._hyperparameters = hyperparameters
        self._writers: dict[str, Any] = {}
        # The names under which the writers find their files until they are closed.
        self._names = ExitStack()
        weakref.finalize(self, self._names.close)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Writes the metrics of an epoch.

        Args:
            record: The epoch's record, as in history.jsonl.
        """
        for channel in ("train", "validation"):
            if channel not in record:
                continue
            with self._writer(channel).as_default(step=record["epoch"]):
                for name, value in record[channel].items():
                    tf.summary.scalar(f"epoch/{name}", value)
                if channel == "train":
                    rate = record["records_per_second"]
                    tf.summary.scalar("speed/pairs_per_second", rate)
            self._writer(channel).flush()

    def results(self, metrics: Mapping[str, Any]) -> None:
        """Writes the hyperparameters and the best model's metrics; closes the logs.

        Args:
            metrics: The content of metrics.json.
        """
        with self._writer("final").as_default(step=metrics["best_epoch"]):
            values = self._hyperparameters.to_dict()
            hparams.hparams(values, trial_id=trial_name(self._directory.parent))
            for channel in ("train", "validation", "test"):
                for name, value in metrics.get(channel, {}).items():
                    tf.summary.scalar(result_tag(channel, name), value)
        for writer in self._writers.values():
            writer.close()
        self._names.close()

    def embeddings(self, samples: Iterable[EmbeddingSample]) -> None:
        """Writes the embeddings of each input for the Projector.

        The Projector reads tab-separated values. It cannot read the configuration that
        Keras's TensorBoard callback writes (keras issue 20210).
        """
        directory, config = self._directory / "final", []
        for sample in samples:
            vectors, metadata = f"{sample.side}_vectors.tsv", f"{sample.side}.tsv"
            rows = ("\t".join(f"{x:.6g}" for x in row) for row in sample.vectors)
            write_atomic(directory / vectors, "\n".join(rows) + "\n")
            objects = zip(sample.names, sample.counts, sample.labels, strict=True)
            lines = [f"{name}\t{count}\t{label:.6g}" for name, count, label in objects]
            head = f"name\tpairs\t{sample.label_title}"
            write_atomic(directory / metadata, "\n".join([head, *lines]) + "\n")
            config.append(
                f'embeddings {{\n  tensor_name: "{sample.side}"\n  tensor_path: '
                f'"{vectors}"\n  metadata_path: "{metadata}"\n}}\n'
            )
        write_atomic(directory / "projector_config.pbtxt", "".join(config))

    def _writer(self, name: str) -> Any:
        if name not in self._writers:
            path = self._directory / name
            path.mkdir(parents=True, exist_ok=True)
            alias = self._names.enter_context(tensorflow_path(path))
            self._writers[name] = tf.summary.create_file_writer(alias)
        return self._writers[name]
