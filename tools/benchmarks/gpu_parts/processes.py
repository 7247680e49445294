"""Runs each part in its own process, with a time limit; the next ones get ready."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Result = dict[str, Any]

# Imports, and loading the batches.
_READY_SECONDS = 90


@dataclasses.dataclass(frozen=True)
class Part:
    """A process that measures one side of one work.

    Attributes:
        work: Name of the work.
        side: Name of the side.
        command: Returns the command; called in another thread, and may take long.
        environment: Environment variables of the process.
    """

    work: str
    side: str
    command: Callable[[], Sequence[str]]
    environment: Mapping[str, str]


class _Process:
    """A process of a part, from its start to its results."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self._process = subprocess.Popen(
            list(part.command()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(part.environment),
            text=True,
        )
        self._errors: deque[str] = deque(maxlen=1)
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    def run(self, seconds: float) -> list[Result]:
        """Lets the process measure, and returns what it reported.

        Args:
            seconds: Time limit, after the process is ready.
        """
        results: list[Result] = []
        with self._process:
            try:
                with self._limit(_READY_SECONDS) as expired:
                    ready = self._read_until_ready()
                if ready:
                    with self._limit(seconds) as expired:
                        self._answer()
                        results = [json.loads(line) for line in self._json_lines()]
                        self._process.wait()
                reason = f"no result after {seconds:.3g} s" if expired.is_set() else ""
                if not reason and self._process.wait():
                    reason = self._last_error()
            finally:
                self._process.kill()
        if reason:
            rest = f"{self.part.side}, the rest" if results else self.part.side
            results.append({"variant": rest, "error": reason})
        return results

    def close(self) -> None:
        """Ends a process that is not needed."""
        with self._process:
            self._process.kill()

    @contextlib.contextmanager
    def _limit(self, seconds: float) -> Iterator[threading.Event]:
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        timer = threading.Timer(seconds, expire)
        timer.start()
        try:
            yield expired
        finally:
            timer.cancel()

    def _read_until_ready(self) -> bool:
        assert self._process.stdout
        return any(line.strip() == "ready" for line in self._process.stdout)

    def _answer(self) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            print("go", file=self._process.stdin, flush=True)

    def _json_lines(self) -> Iterator[str]:
        assert self._process.stdout
        # The last line of a process that was killed may be cut off.
        lines = (line.strip() for line in self._process.stdout)
        return (line for line in lines if line.startswith("{") and line.endswith("}"))

    def _last_error(self) -> str:
        self._reader.join(timeout=1)
        status = f"exit status {self._process.returncode}"
        return f"{status}: {self._errors[0][:200]}" if self._errors else status

    def _read_errors(self) -> None:
        """Keeps the last line of stderr."""
        assert self._process.stderr
        lines = (line.strip() for line in self._process.stderr)
        self._errors.extend(line for line in lines if line)


def run_parts(
    parts: Sequence[Part], *, deadline: float, limit: float, ahead: int
) -> Iterator[tuple[Part, list[Result]]]:
    """Runs parts one after the other, and yields the results of each.

    Args:
        parts: The parts, in order.
        deadline: ``time.monotonic()`` at which everything ends. Parts that did not
            start by then get a result with the reason.
        limit: Seconds per part.
        ahead: Number of parts that get ready while another one measures.
    """
    waiting, started = deque(parts), deque[tuple[Part, Any]]()
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        while waiting or started:
            while waiting and len(started) <= ahead and time.monotonic() < deadline:
                part = waiting.popleft()
                started.append((part, executor.submit(_Process, part)))
            remaining = deadline - time.monotonic()
            if not started:
                yield waiting[0], [_late(waiting.popleft())]
                continue
            part, future = started.popleft()
            try:
                process = future.result()
            except Exception as error:
                message = str(error) or type(error).__name__
                yield part, [{"variant": part.side, "error": message}]
                continue
            if remaining > 0:
                yield part, process.run(min(limit, remaining))
            else:
                process.close()
                yield part, [_late(part)]


def _late(part: Part) -> Result:
    return {"variant": part.side, "error": "not started: the time was over"}


def environment_of(device: str, **more: str) -> dict[str, str]:
    """Returns the environment of a process that uses a GPU, or the CPU only."""
    environment = os.environ | {
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **more,
    }
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    return environment
