"""What a run shows on stdout: progress and tables for people, lines for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
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
from object2vec_tf.report.baselines import TITLES
from object2vec_tf.text.text_assets import TextAssets
from object2vec_tf.training.sagemaker_metrics import (
    progress_line,
    quality_lines,
    throughput_line,
)

CHANNELS = ("train", "validation", "test")
Metrics = Mapping[str, float]


class _LastingConsole(Console):
    """Falls silent when nobody reads stdout any more, as behind ``| head -1``."""

    def on_broken_pipe(self) -> None:
        """Lets the run go on, where rich ends the process."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class RunConsole:
    """Writes to stdout; a bar and colours on a terminal, plain lines elsewhere.

    Args:
        quiet: Whether to write nothing at all.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.console = _LastingConsole(
            file=sys.stdout, quiet=quiet, highlight=False, emoji=False, markup=False
        )

    def say(self, text: str) -> None:
        """Writes a line, as it stands and however long it is."""
        self.console.print(text, soft_wrap=True)

    def words(self, words: TextAssets) -> None:
        """Tells how many words have pretrained vectors."""
        for encoder, held in words.vectors.items():
            self.say(
                f"enc{encoder}: {held.found:,} of {held.words:,} words have a "
                f"pretrained vector ({held.found / held.words:.1%}); the others are "
                "drawn like them"
            )

    @contextmanager
    def reading(self, name: str) -> Iterator[Callable[[int], None]]:
        """Yields what is told of each block of bytes read; shows how many there are."""
        columns = (
            TextColumn("{task.description}"),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        shown = self.console.is_terminal and not self.console.quiet
        with Progress(
            *columns, console=self.console, disable=not shown, transient=True
        ) as bar:
            task = bar.add_task(f"{name}: reading", total=None)
            yield lambda size: bar.advance(task, size)

    def channel(self, name: str, pairs: Pairs) -> None:
        """Tells what was read, and what was cut, empty or left out."""
        report = pairs.report
        files = f"{len(report.files)} file" + "s" * (len(report.files) > 1)
        cached = ", read before" if report.cached else ""
        self.say(f"{name}: {len(pairs):,} pairs from {files}{cached}")
        if pairs.weights is not None:
            held = np.asarray(pairs.weights)
            self.say(f"{name}: weights from {held.min():g} to {held.max():g}")
        for side in ("in0", "in1"):
            if report.truncated[side]:
                limit = getattr(pairs.hyperparameters, f"enc{side[-1]}_max_seq_len")
                self.say(
                    f"{name}: {report.truncated[side]:,} {side} sequences cut at "
                    f"enc{side[-1]}_max_seq_len={limit}"
                )
            if report.empty[side]:
                self.say(
                    f"{name}: {report.empty[side]:,} empty {side} (encoded as zeros)"
                )
        for side, count in report.unknown.items():
            if count:
                self.say(f"{name}: {count:,} unknown tokens in {side}")
        if report.bad_lines:
            self.say(f"{name}: {len(report.bad_lines):,} bad lines left out:")
            for message in report.bad_lines:
                self.say(f"  {message}")

    def epoch(self, record: Mapping[str, Any], epochs: int, remaining: float) -> None:
        """Tells of an epoch, in a line for people and in SageMaker's lines."""
        number = record["epoch"]
        parts = [f"epoch {number + 1}/{epochs}"]
        for channel in CHANNELS:
            parts += [
                f"{channel} {name} {value:.4f}"
                for name, value in record.get(channel, {}).items()
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

    def results(self, metrics: Mapping[str, Any]) -> None:
        """Writes the closing table."""
        channels = [name for name in CHANNELS if name in metrics]
        fancy = self.console.is_terminal
        table = Table(box=box.SIMPLE_HEAD if fancy else None, pad_edge=False)
        table.add_column("metric")
        for name in channels:
            table.add_column(f"{name} ({metrics['rows'][name]:,})", justify="right")
        for name in metrics[channels[0]]:
            values = [f"{metrics[channel][name]:.4f}" for channel in channels]
            table.add_row(name, *values)
            for simple, scores in metrics.get("baselines", {}).items():
                if name in scores[channels[0]]:
                    values = [f"{scores[channel][name]:.4f}" for channel in channels]
                    table.add_row(f"  by {TITLES[simple]}", *values)
        self.console.print(table)
        self.say(
            f"best epoch {metrics['best_epoch'] + 1} of {metrics['epochs_run']} "
            f"(stopped: {metrics['stopped']}), {_duration(metrics['seconds'])}, "
            f"{metrics['records_per_second']:,.0f} pairs/s"
        )


class ProgressBar(keras.callbacks.Callback):
    """A bar for the running epoch, on a terminal.

    Args:
        console: Where to draw it; nothing is drawn where that is no terminal.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
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
        """Starts the epoch's bar."""
        self._progress.start()
        self._task = self._progress.add_task(
            f"epoch {epoch + 1}/{self.params['epochs']}",
            total=self.params["steps"],
            metrics="",
        )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Moves the bar."""
        if self._task is not None:
            shown = "  ".join(f"{k} {v:.4f}" for k, v in (logs or {}).items())
            self._progress.update(self._task, completed=batch + 1, metrics=shown)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Takes the bar away."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._progress.stop()

    def on_train_end(self, logs: Any = None) -> None:
        """Takes the bar away."""
        self._progress.stop()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
