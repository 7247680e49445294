"""Lines that show what a process is doing, every few seconds of a long phase.

A phase, such as reading a channel, is a context. While one lasts and nothing else is
written for some seconds, a thread writes a line with its name, its state and its
duration. On a terminal, one line at the bottom shows them instead, and is erased when
the phase ends. Commands choose where the lines go; without that, nothing is written.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Final, TextIO, TypeVar

from object2vec_tf.terminal import StatusLine, bar, can_redraw

# Seconds between two lines; 0 turns the lines off.
INTERVAL_VARIABLE: Final = "OBJECT2VEC_TF_PROGRESS_SECONDS"
_DEFAULT_SECONDS: Final = 4.0
# Seconds between two states of the line on a terminal, and before its first one.
_REDRAW_SECONDS: Final = 0.2

_Block = TypeVar("_Block")


class Phase:
    """A part of the work that may take long.

    Args:
        name: What is being done, such as ``train: reading``.
        state: Returns how far it is, such as ``1.2 GB``; None for nothing.
        silent: Whether something else shows its progress, such as a bar.
        share: Returns the share that is done, from 0 to 1; None if it is unknown.
        is_command: Whether it is the whole command.

    Attributes:
        name: What is being done.
        silent: Whether something else shows its progress.
        is_command: Whether it is the whole command.
        start: ``time.monotonic()`` when it began.
    """

    def __init__(
        self,
        name: str,
        state: Callable[[], str] | None = None,
        silent: bool = False,
        share: Callable[[], float] | None = None,
        is_command: bool = False,
    ) -> None:
        self.name, self._state, self._share = name, state, share
        self.silent, self.is_command = silent, is_command
        self.start = time.monotonic()

    def line(self, now: float) -> str:
        """Returns the name, the state and the duration.

        Args:
            now: The time, as ``time.monotonic()`` measures it.
        """
        state = self._state() if self._state else ""
        parts = [self.name, *([state] if state else []), f"{now - self.start:.0f} s"]
        return ", ".join(parts)

    def status(self, now: float, stream: IO[str]) -> str:
        """Returns the line on a terminal, with a bar once a share is done.

        Args:
            now: The time, as ``time.monotonic()`` measures it.
            stream: The terminal.
        """
        share = self._share() if self._share else 0.0
        if not share:
            return self.line(now)
        state = self._state() if self._state else ""
        return f"{self.name} {bar(share, stream)} {state}"


class _Reporter:
    """The phases of this process, and the thread that writes about them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phases: list[Phase] = []
        self.output: Callable[[str], object] | None = None
        self.terminal: StatusLine | None = None
        self._last = 0.0
        self._thread: threading.Thread | None = None

    def send_to(
        self, write: Callable[[str], object] | None, terminal: StatusLine | None = None
    ) -> None:
        self.clear_line()
        self.output, self.terminal = write, terminal
        self.written()

    def clear_line(self) -> None:
        if self.terminal:
            with contextlib.suppress(OSError, ValueError):  # the reader is gone
                self.terminal.clear()

    def _outer(self) -> str:
        """Returns the names of the phases around the innermost one."""
        names = [phase.name for phase in self._phases[:-1] if not phase.is_command]
        return "".join(f"{name}: " for name in names)

    def written(self) -> None:
        self._last = time.monotonic()

    @contextlib.contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        seconds = interval()
        with self._lock:
            self._phases.append(phase)
            if self.output and seconds > 0:
                self._start_thread(seconds)
        try:
            yield
        finally:
            with self._lock:
                with contextlib.suppress(ValueError):  # see `clear`
                    self._phases.remove(phase)
                self.clear_line()

    def clear(self) -> None:
        with self._lock:
            self._phases.clear()
            self.clear_line()

    def _start_thread(self, seconds: float) -> None:
        # In a forked process, which has no other threads, it is not alive.
        if self._thread and self._thread.is_alive():
            return
        self._thread = threading.Thread(
            target=self._run, args=(seconds,), name="progress", daemon=True
        )
        self._thread.start()

    def _run(self, seconds: float) -> None:
        while True:
            now = time.monotonic()
            with self._lock:
                if not self._phases or self.output is None:
                    self._thread = None
                    return
                if self.terminal:
                    self._redraw(self.terminal, now)
                outer, phase = self._outer(), self._phases[-1]
                write, is_redrawn = self.output, self.terminal is not None
            if is_redrawn:
                time.sleep(_REDRAW_SECONDS)
                continue
            due = max(self._last, phase.start) + seconds
            if now < due:
                time.sleep(min(due - now, seconds / 8))
                continue
            self.written()
            if not phase.silent:
                try:
                    write(outer + phase.line(now))
                except (OSError, ValueError):  # the reader is gone
                    self.output = None

    def _redraw(self, terminal: StatusLine, now: float) -> None:
        """Shows the innermost phase on a terminal, if it is not very short."""
        phase = self._phases[-1]
        # A command writes lines of its own between its phases.
        is_hidden = phase.silent or phase.is_command
        if is_hidden or now - phase.start < _REDRAW_SECONDS:
            return
        try:
            terminal.show(self._outer() + phase.status(now, terminal.stream))
        except (OSError, ValueError):  # the reader is gone
            self.output = None


_reporter = _Reporter()


@contextlib.contextmanager
def phase(
    name: str,
    state: Callable[[], str] | None = None,
    *,
    silent: bool = False,
    share: Callable[[], float] | None = None,
) -> Iterator[None]:
    """Shows a phase while the context lasts; the innermost one is shown.

    Args:
        name: What is being done.
        state: Returns how far it is. A thread calls it.
        silent: Whether something else shows its progress, such as a bar.
        share: Returns the share that is done, from 0 to 1, for the bar on a terminal.

    Example:
        >>> rows = 0
        >>> with phase("train: reading", lambda: f"{rows:,} rows"):
        ...     rows += 1000
    """
    with _reporter.phase(Phase(name, state, silent, share)):
        yield


@contextlib.contextmanager
def command(name: str) -> Iterator[None]:
    """Shows a whole command where it is in none of its phases.

    Args:
        name: The name of the command.
    """
    with _reporter.phase(Phase(name, is_command=True)):
        yield


def counted(
    blocks: Iterable[_Block],
    name: str,
    unit: str,
    size: Callable[[_Block], int] = len,  # type: ignore[assignment]
) -> Iterator[_Block]:
    """Yields blocks, and shows how many rows the blocks had that are done.

    Args:
        blocks: The blocks.
        name: What is being done.
        unit: What a block consists of, such as ``items``.
        size: Returns the number of them in a block.
    """
    count = 0
    with phase(name, lambda: f"{count:,} {unit}"):
        for block in blocks:
            yield block
            count += size(block)


def send_to(
    write: Callable[[str], object] | None, stream: TextIO | None = None
) -> None:
    """Chooses where lines are written.

    Args:
        write: Writes a line; None turns the lines off.
        stream: Where ``write`` writes. On a terminal, one line that is overwritten
            shows the phases; other output has to be inside `other_output`.
    """
    redraws = stream is not None and can_redraw(stream)
    _reporter.send_to(write, StatusLine(stream) if stream and redraws else None)


@contextlib.contextmanager
def kept_output() -> Iterator[None]:
    """Restores at the end of the context where lines were written before it."""
    write, terminal = _reporter.output, _reporter.terminal
    try:
        yield
    finally:
        _reporter.send_to(write, terminal)


def send_to_stderr() -> None:
    """Writes lines to stderr, for commands with results on stdout."""
    send_to(_write_to_stderr, sys.stderr)


@contextlib.contextmanager
def other_output() -> Iterator[None]:
    """Keeps the line that shows phases on a terminal away while others are written."""
    if _reporter.terminal is None:
        yield
        return
    with _reporter.terminal.paused():
        yield


def line_written() -> None:
    """Notes that a line was written, so that the next one is not due soon."""
    _reporter.written()


def end_all() -> None:
    """Ends all phases, as when a server is ready and waits for requests."""
    _reporter.clear()


def interval() -> float:
    """Returns the seconds between two lines; 0 for no lines."""
    try:
        return float(os.environ.get(INTERVAL_VARIABLE, _DEFAULT_SECONDS))
    except ValueError:
        return _DEFAULT_SECONDS


def _write_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
