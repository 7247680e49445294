"""The output of a run on stdout: progress, tables and SageMaker's log lines."""

from __future__ import annotations

import os
import shlex
import sys
import textwrap
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.progress import line_written, other_output, phase, send_to
from object2vec_tf.report.next_steps import Step
from object2vec_tf.report.number_format import duration_text, score_text
from object2vec_tf.report.result_rows import CHANNELS, result_channels, result_rows
from object2vec_tf.report.run_tables import negative_sentence
from object2vec_tf.terminal import is_interactive
from object2vec_tf.text.text_assets import TextAssets
from object2vec_tf.training.epoch_lines import EpochTable, epoch_line
from object2vec_tf.training.sagemaker_metrics import (
    are_wanted,
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
    """Writes to stdout: a table of epochs on a terminal, else plain lines.

    SageMaker's log lines are written where a program may read them: not on a terminal,
    except in SageMaker.

    Args:
        quiet: Whether to write nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.console = _PipeSafeConsole(
            file=sys.stdout, quiet=quiet, highlight=False, emoji=False, markup=False
        )
        self._is_watched = is_interactive(sys.stdout)
        self._has_metric_lines = are_wanted(sys.stdout)
        self._table: EpochTable | None = None
        if not quiet:
            send_to(self.say, sys.stdout)

    def say(self, text: str, style: str | None = None) -> None:
        """Writes a line literally; on a terminal, it is wrapped between words.

        Args:
            text: The line.
            style: The style on a terminal, such as ``bold``.
        """
        if self._is_watched:
            text = _wrapped(text, self.console.width)
        with other_output():
            self.console.print(text, soft_wrap=True, style=style)
        if not self.console.quiet:
            line_written()

    def say_with_details(self, text: str, details: str) -> None:
        """Writes a line and its details, which are lines of their own on a terminal."""
        if self._is_watched:
            self.say(text)
            self.say(f"  {details}")
        else:
            self.say(f"{text}  {details}")

    def metric_lines(self, lines: Iterator[str]) -> None:
        """Writes log lines for SageMaker, where they are wanted."""
        for line in lines if self._has_metric_lines else ():
            self.say(line)

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
        total = 0

        def advance(size: int) -> None:
            nonlocal total
            total += size

        with phase(f"{name}: reading", lambda: f"{total / 1e6:,.0f} MB"):
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
        if self._is_watched:
            if self._table is None:
                self._table = EpochTable(epochs, self.console.width, hidden)
                for line in self._table.header(record, remaining):
                    self._row(line, "bold")
            self._row(self._table.row(record, remaining))
        else:
            self.say(epoch_line(record, epochs, remaining, hidden))
        number = record["epoch"]
        for channel in CHANNELS:
            self.metric_lines(quality_lines(channel, record.get(channel, {}), number))
        self.metric_lines(iter([progress_line(number + 1, epochs)]))
        self.metric_lines(iter([throughput_line(record["records_per_second"])]))

    def _row(self, text: str, style: str | None = None) -> None:
        """Writes a line that fits the terminal, with its spaces."""
        with other_output():
            self.console.print(text, soft_wrap=True, style=style)
        line_written()

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
        with other_output():
            self.console.print(table)
        if negatives := negative_sentence(metrics):
            self.say(negatives)
        self.say(
            f"best epoch {metrics['best_epoch'] + 1} of {metrics['epochs_run']} "
            f"(stopped: {metrics['stopped']}), {duration_text(metrics['seconds'])}, "
            f"{metrics['records_per_second']:,.0f} pairs/s"
        )

    def next_steps(self, steps: Sequence[Step]) -> None:
        """Writes commands to continue with, on a terminal only."""
        if not self._is_watched or self.console.quiet:
            return
        self._row("\nNext:", "bold")
        for step in steps:
            self._row(f"  {step.title}")
            self._row(_shell_lines(step.command, self.console.width))


class TrainingProgress(keras.callbacks.Callback):
    """How far the current epoch is.

    Args:
        pairs: The number of pairs in an epoch.
        hidden: Metrics to leave out.
    """

    def __init__(self, pairs: int, hidden: Collection[str] = ()) -> None:
        super().__init__()
        self._pairs, self._hidden = pairs, hidden
        self._done = 0
        # Batches and time after the first call, which traces the training step.
        self._traced: tuple[int, float] | None = None
        self._speed = 0.0
        self._metrics = ""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts again."""
        self._done, self._traced = 0, None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Notes the finished batches, their speed and their metrics."""
        now = time.perf_counter()
        self._done = batch + 1
        if self._traced is None:
            self._traced = self._done, now
        elif now > self._traced[1]:
            self._speed = (self._done - self._traced[0]) / (now - self._traced[1])
        self._metrics = ", ".join(
            f"{name} {score_text(value)}"
            for name, value in (logs or {}).items()
            if name not in self._hidden
        )

    def share(self) -> float:
        """Returns the share of the epoch's batches that are done."""
        return self._done / max(self.params["steps"], 1)

    def state(self) -> str:
        """Returns the finished batches, the speed, the time left and the metrics."""
        if not self._done:
            return "preparing the training step"
        steps = self.params["steps"]
        parts = [f"{self._done:,} of {steps:,} batches"]
        if self._speed:
            rate = self._speed * self._pairs / max(steps, 1)
            left = duration_text((steps - self._done) / self._speed)
            parts += [f"{left} left", f"{rate:,.0f} pairs/s"]
        return ", ".join(filter(None, [*parts, self._metrics]))


def _shell_lines(command: str, width: int) -> str:
    r"""Returns a shell command in lines that fit a terminal, if its words do.

    Example:
        >>> print(_shell_lines("python -m export --model_dir='my run'", 30))
            python -m export \
                '--model_dir=my run'
    """
    lines, line = [], "   "
    for word in map(shlex.quote, shlex.split(command)):
        if len(line) + len(word) + len(" ") * 3 > width and line.strip():
            lines.append(f"{line} \\")
            line = " " * 7
        line += f" {word}"
    return "\n".join([*lines, line])


def _wrapped(text: str, width: int) -> str:
    """Returns a text with lines that fit a terminal, except for long words."""
    return "\n".join(
        part
        for line in text.splitlines() or [""]
        for part in textwrap.wrap(
            line,
            max(width, 20),
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        or [""]
    )
