"""Lines that show what a process is doing, every few seconds of a long phase.

A phase, such as reading a channel, is a context. While one lasts and nothing else is
written for some seconds, a thread writes a line with its name, its state and its
duration. Commands choose where the lines go; without that, nothing is written.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

# Seconds between two lines; 0 turns the lines off.
INTERVAL_VARIABLE: Final = "OBJECT2VEC_TF_PROGRESS_SECONDS"
_DEFAULT_SECONDS: Final = 4.0

_Block = TypeVar("_Block")


class Phase:
    """A part of the work that may take long.

    Args:
        name: What is being done, such as ``train: reading``.
        state: Returns how far it is, such as ``1.2 GB``; None for nothing.
        silent: Whether something else shows its progress, such as a bar.

    Attributes:
        name: What is being done.
        silent: Whether something else shows its progress.
        start: ``time.monotonic()`` when it began.
    """

    def __init__(
        self, name: str, state: Callable[[], str] | None = None, silent: bool = False
    ) -> None:
        self.name, self._state = name, state
        self.silent = silent
        self.start = time.monotonic()

    def line(self, now: float) -> str:
        """Returns the name, the state and the duration.

        Args:
            now: The time, as ``time.monotonic()`` measures it.
        """
        state = self._state() if self._state else ""
        parts = [self.name, *([state] if state else []), f"{now - self.start:.0f} s"]
        return ", ".join(parts)


class _Reporter:
    """The phases of this process, and the thread that writes about them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phases: list[Phase] = []
        self.output: Callable[[str], object] | None = None
        self._last = 0.0
        self._thread: threading.Thread | None = None

    def send_to(self, write: Callable[[str], object] | None) -> None:
        self.output = write
        self.written()

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
            with self._lock, contextlib.suppress(ValueError):  # see `clear`
                self._phases.remove(phase)

    def clear(self) -> None:
        with self._lock:
            self._phases.clear()

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
                # The first phase is the whole command.
                outer, phase = self._phases[1:-1], self._phases[-1]
                write = self.output
            due = max(self._last, phase.start) + seconds
            if now < due:
                time.sleep(min(due - now, seconds / 8))
                continue
            self.written()
            if not phase.silent:
                try:
                    names = [f"{other.name}: " for other in outer]
                    write("".join(names) + phase.line(now))
                except (OSError, ValueError):  # the reader is gone
                    self.output = None


_reporter = _Reporter()


@contextlib.contextmanager
def phase(
    name: str, state: Callable[[], str] | None = None, *, silent: bool = False
) -> Iterator[None]:
    """Shows a phase while the context lasts; the innermost one is shown.

    Args:
        name: What is being done.
        state: Returns how far it is. A thread calls it.
        silent: Whether something else shows its progress, such as a bar.

    Example:
        >>> rows = 0
        >>> with phase("train: reading", lambda: f"{rows:,} rows"):
        ...     rows += 1000
    """
    with _reporter.phase(Phase(name, state, silent)):
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


def send_to(write: Callable[[str], object] | None) -> None:
    """Chooses where lines are written.

    Args:
        write: Writes a line; None turns the lines off.
    """
    _reporter.send_to(write)


@contextlib.contextmanager
def kept_output() -> Iterator[None]:
    """Restores at the end of the context where lines were written before it."""
    write = _reporter.output
    try:
        yield
    finally:
        send_to(write)


def send_to_stderr() -> None:
    """Writes lines to stderr, for commands with results on stdout."""
    send_to(_write_to_stderr)


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
