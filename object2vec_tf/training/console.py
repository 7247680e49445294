"""The output of a run on stdout: progress, tables and SageMaker's log lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.progress import line_written, phase, send_to
from object2vec_tf.report.number_format import score_text
from object2vec_tf.report.result_rows import CHANNELS, result_channels, result_rows
from object2vec_tf.report.run_tables import negative_sentence
from object2vec_tf.text.text_assets import TextAssets
from object2vec_tf.training.sagemaker_metrics import (
    progress_line,
    quality_lines,
    throughput_line,
)

Metrics = Mapping[str, float]


class _PipeSafeConsole(Console):
    """Stays silent once the reader of stdout is gone, as in ``... | head -1``."""

    def on_broken_pipe(self) -> None:
        """Lets the process continue, where rich would end it."""
        self.quiet = True
        null_device = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null_device, sys.stdout.fileno())
        os.close(null_device)


class RunConsole:
    """Writes to stdout: progress bars and colors on a terminal, else plain lines.

    Args:
        quiet: Whether to write nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.console = _PipeSafeConsole(
            file=sys.stdout, quiet=quiet, highlight=False, emoji=False, markup=False
        )
        if not quiet:
            send_to(self.say)

    def say(self, text: str) -> None:
        """Writes a line literally and without wrapping it."""
        self.console.print(text, soft_wrap=True)
        if not self.console.quiet:
            line_written()

    def words(self, words: TextAssets) -> None:
        """Reports how many words have a pretrained vector."""
        for encoder, vectors in words.vectors.items():
            self.say(
                f"enc{encoder}: {vectors.found:,} of {vectors.words:,} words have a "
                f"pretrained vector ({vectors.found / vectors.words:.1%}); the "
                "others get random vectors of the same mean and variance"
            )

    @contextmanager
    def reading(self, name: str) -> Iterator[Callable[[int], None]]:
        """Shows the progress of reading a channel.

        Args:
            name: The name of the channel.

        Yields:
            A function to call with the number of bytes of each block read.
        """
        columns = (
            TextColumn("{task.description}"),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        shown, total = self.console.is_terminal and not self.console.quiet, 0

        def advance(size: int) -> None:
            nonlocal total
            total += size
            bar.advance(task, size)

        with (
            Progress(
                *columns, console=self.console, disable=not shown, transient=True
            ) as bar,
            phase(f"{name}: reading", lambda: f"{total / 1e6:,.0f} MB", silent=shown),
        ):
            task = bar.add_task(f"{name}: reading", total=None)
            yield advance

    def channel(self, name: str, pairs: Pairs) -> None:
        """Reports a channel: pairs, weights, truncated and empty inputs, bad lines."""
        report = pairs.report
        files = f"{len(report.files)} file" + "s" * (len(report.files) > 1)
        source = report.table or files
        cached = " (cached)" if report.cached else ""
        self.say(f"{name}: {len(pairs):,} pairs from {source}{cached}")
        if pairs.weights is not None:
            weights = np.asarray(pairs.weights)
            self.say(f"{name}: weights from {weights.min():g} to {weights.max():g}")
        for side in ("in0", "in1"):
            if report.truncated[side]:
                limit = getattr(pairs.hyperparameters, f"enc{side[-1]}_max_seq_len")
                self.say(
                    f"{name}: {report.truncated[side]:,} {side} sequences truncated "
                    f"to enc{side[-1]}_max_seq_len={limit}"
                )
            if report.empty[side]:
                self.say(
                    f"{name}: {report.empty[side]:,} empty {side} sequences (their "
                    "embedding is zero)"
                )
        for side, count in report.unknown.items():
            if count:
                self.say(f"{name}: {count:,} unknown tokens in {side}")
        if report.bad_lines:
            self.say(f"{name}: {len(report.bad_lines):,} bad lines skipped:")
            for message in report.bad_lines:
                self.say(f"  {message}")

    def epoch(
        self,
        record: Mapping[str, Any],
        epochs: int,
        remaining: float,
        hidden: Collection[str] = (),
    ) -> None:
        """Reports an epoch, in a line for people and in SageMaker's lines.

        Args:
            record: The epoch's record, as in history.jsonl.
            epochs: The number of epochs.
            remaining: The most seconds that training still takes; 0 if it is done.
            hidden: Metrics that the line for people leaves out.
        """
        number = record["epoch"]
        parts = [f"epoch {number + 1}/{epochs}"]
        for channel in CHANNELS:
            parts += [
                f"{channel} {name} {value:.4f}"
                for name, value in record.get(channel, {}).items()
                if name not in hidden
            ]
        rate = record["records_per_second"]
        parts += [f"{rate:,.0f} pairs/s", f"{record['seconds']:.1f} s"]
        if remaining:
            parts.append(f"at most {_duration(remaining)} left")
        self.say("  ".join(parts))
        for channel in CHANNELS:
            for line in quality_lines(channel, record.get(channel, {}), number):
                self.say(line)
        self.say(progress_line(number + 1, epochs))
        self.say(throughput_line(rate))

    def results(self, metrics: Mapping[str, Any], hidden: Collection[str] = ()) -> None:
        """Writes the table of results.

        Args:
            metrics: The content of metrics.json.
            hidden: Metrics to leave out.
        """
        channels = result_channels(metrics)
        rules = box.SIMPLE_HEAD if self.console.is_terminal else None
        table = Table(box=rules, pad_edge=False)
        table.add_column("metric")
        for name in channels:
            table.add_column(f"{name} ({metrics['rows'][name]:,})", justify="right")
        for row in result_rows(metrics, hidden):
            title = f"  baseline: {row.baseline}" if row.baseline else row.metric
            table.add_row(title, *map(score_text, row.values))
        self.console.print(table)
        if negatives := negative_sentence(metrics):
            self.say(negatives)
        self.say(
            f"best epoch {metrics['best_epoch'] + 1} of {metrics['epochs_run']} "
            f"(stopped: {metrics['stopped']}), {_duration(metrics['seconds'])}, "
            f"{metrics['records_per_second']:,.0f} pairs/s"
        )


class ProgressBar(keras.callbacks.Callback):
    """A progress bar for the current epoch.

    Args:
        console: The console. The bar appears only if it is a terminal.
        hidden: Metrics to leave out.
    """

    def __init__(self, console: Console, hidden: Collection[str] = ()) -> None:
        super().__init__()
        self._hidden = hidden
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal or console.quiet,
        )
        self._task: TaskID | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Adds the epoch's bar."""
        self._progress.start()
        self._task = self._progress.add_task(
            f"epoch {epoch + 1}/{self.params['epochs']}",
            total=self.params["steps"],
            metrics="",
        )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Advances the bar."""
        if self._task is not None:
            metrics = "  ".join(
                f"{name} {value:.4f}"
                for name, value in (logs or {}).items()
                if name not in self._hidden
            )
            self._progress.update(self._task, completed=batch + 1, metrics=metrics)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Removes the bar."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._progress.stop()

    def on_train_end(self, logs: Any = None) -> None:
        """Removes the bar."""
        self._progress.stop()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
