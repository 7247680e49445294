"""Groups of processes on this machine that measure something together, in rounds.

A process gets each request as a line of stdin, and answers with a line of numbers on
stdout. It ends with its stdin, whatever it is doing, so that no process outlives the
program that started it.
"""

from __future__ import annotations

import json
import os
import queue
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_LOOPBACK = "lo"


class WorkerGroup:
    """Processes that answer requests together.

    Args:
        commands: The arguments of each process.
        environments: Variables that each process has in addition.

    Raises:
        RuntimeError: A process has ended; the others are ended, too.
    """

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        environments: Sequence[Mapping[str, str]],
    ) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        for arguments, environment in zip(commands, environments, strict=True):
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | dict(environment),
            )
            self._processes.append(process)

    def __enter__(self) -> WorkerGroup:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the processes."""
        self.end()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [process.pid for process in self._processes]

    def cpu_seconds(self) -> float:
        """Returns the CPU seconds that all processes have used."""
        return sum(map(_cpu_seconds, self.pids))

    def round(
        self, request: str, processes: Sequence[int] = (), seconds: float = 300
    ) -> list[list[float]]:
        """Sends a request to processes at once, and returns the numbers of each.

        Args:
            request: One line.
            processes: Which processes get it; by default all.
            seconds: Limit of the time.

        Raises:
            RuntimeError: A process ended, or did not answer in time.
        """
        asked = [self._processes[i] for i in processes] or self._processes
        for process in asked:
            assert process.stdin is not None
            try:
                process.stdin.write(f"{request}\n")
                process.stdin.flush()
            except BrokenPipeError:
                raise self._failure(f"cannot send {request!r}") from None
        answers = self._answers(request, time.monotonic() + seconds, asked)
        return [answers[process.pid] for process in asked]

    def _answers(
        self, request: str, deadline: float, asked: Sequence[subprocess.Popen[str]]
    ) -> dict[int, list[float]]:
        answers: dict[int, list[float]] = {}
        with selectors.DefaultSelector() as selector:
            for process in self._processes:  # those that are not asked may end, too
                assert process.stdout is not None
                selector.register(process.stdout, selectors.EVENT_READ, process)
            while len(answers) < len(asked):
                ready = selector.select(max(deadline - time.monotonic(), 0))
                if not ready:
                    raise self._failure(f"no answer to {request!r} in time")
                for key, _ in ready:
                    line = key.data.stdout.readline()
                    if not line:
                        raise self._failure(f"a process ended during {request!r}")
                    answers[key.data.pid] = [float(text) for text in line.split()]
        return answers

    def _failure(self, problem: str) -> RuntimeError:
        self.end()
        codes = [process.returncode for process in self._processes]
        return RuntimeError(f"{problem}; exit codes of all processes: {codes}")

    def end(self) -> None:
        """Ends the processes."""
        for process in self._processes:
            if process.stdin is not None and not process.stdin.closed:
                with suppress(BrokenPipeError):
                    process.stdin.close()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def requests() -> Iterator[str]:
    """Returns an iterator over the lines of stdin; the process ends when stdin does.

    From this call on, it ends whatever it is doing, for instance if it waits for a
    process that has ended.
    """
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line.strip())
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return iter(lines.get, None)


def answer(*numbers: float) -> None:
    """Answers the current request."""
    print(*numbers, flush=True)


def tf_configs(jobs: Mapping[str, int]) -> list[dict[str, str]]:
    """Returns TF_CONFIG of each process of a cluster on free ports of loopback.

    Args:
        jobs: The number of processes of each job, such as ``{"worker": 2}``.
    """
    ports = iter(free_ports(sum(jobs.values())))
    cluster = {
        job: [f"127.0.0.1:{next(ports)}" for _ in range(count)]
        for job, count in jobs.items()
    }
    configs: list[dict[str, Any]] = [
        {"cluster": cluster, "task": {"type": job, "index": index}}
        for job, count in jobs.items()
        for index in range(count)
    ]
    return [{"TF_CONFIG": json.dumps(config)} for config in configs]


def free_ports(count: int) -> list[int]:
    """Returns ports of loopback that were free a moment ago."""
    # All ports are opened before one is closed, so that they differ.
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports


def loopback_bytes() -> int:
    """Returns the bytes sent by the loopback device, including other programs'.

    In a network namespace of its own, a program has a loopback device of its own.
    """
    for line in Path("/proc/net/dev").read_text(encoding="utf-8").splitlines():
        device, _, counts = line.partition(":")
        if device.strip() == _LOOPBACK:
            return int(counts.split()[8])
    return 0


def _cpu_seconds(pid: int) -> float:
    """Returns the CPU seconds that a process has used, in user and in system mode."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    # The name of the program, in parentheses, may have spaces.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def use_one_core(worker: int) -> None:
    """Restricts this process to one of its cores, which workers share in turn.

    TensorFlow must not run before. It gets two threads, so that one can compute while
    the other one waits for a message.
    """
    import tensorflow as tf

    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[worker % len(cores)]})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
