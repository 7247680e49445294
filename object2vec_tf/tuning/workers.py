"""Trials in several worker processes, which share a study's storage."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import IO

from object2vec_tf.commands.early_interrupts import INTERRUPTED
from object2vec_tf.commands.runner import USER_ERROR
from object2vec_tf.commands.signals import catch_sigterm
from object2vec_tf.errors import Interrupted, UserError
from object2vec_tf.tuning.trials import Task

_MODULE = "object2vec_tf.tuning.worker"
_POLL_SECONDS = 0.1


def run_workers(task: Task, jobs: int, orphans: Sequence[int], lock: int) -> bool:
    """Runs trials in worker processes until the study has enough of them.

    Args:
        task: The study.
        jobs: The number of processes. They share the cores.
        orphans: Numbers of trials whose processes were stopped. They are resumed first.
        lock: A file descriptor that the processes keep open while they live.

    Returns:
        Whether all processes ended normally. A killed process leaves its trial
        unfinished.

    Raises:
        UserError: A process found invalid settings or data.
        Interrupted: The main process received a SIGTERM. The study can be resumed.
    """
    with ExitStack() as stack:
        interruption = stack.enter_context(catch_sigterm())
        workers = [
            _Worker(stack, task, orphans[i::jobs], _threads_per_worker(jobs), lock)
            for i in range(jobs)
        ]
        stack.callback(_kill_all, workers)
        while any(worker.is_running for worker in workers):
            if interruption.asked or any((w.status or 0) > 0 for w in workers):
                for worker in workers:
                    worker.terminate()
            time.sleep(_POLL_SECONDS)
        for worker in workers:
            worker.relay_errors()
        if interruption.asked:
            raise Interrupted("stopped")
        return all(worker.status == 0 for worker in workers)


class _Worker:
    """A worker process, which runs trials one after another.

    Args:
        stack: Closes the process's pipes and files at its end.
        task: The study.
        orphans: Numbers of the trials that the process resumes first.
        threads: The number of threads that TensorFlow uses in the process.
        lock: A file descriptor that the process inherits.
    """

    def __init__(
        self,
        stack: ExitStack,
        task: Task,
        orphans: Sequence[int],
        threads: int,
        lock: int,
    ) -> None:
        self._is_terminated = False
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        limits = {
            "TF_NUM_INTRAOP_THREADS": str(threads),
            "TF_NUM_INTEROP_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **limits},
            pass_fds=[lock],
        )
        stack.callback(self._close)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # relay_errors() reports why the process ended
            self._process.stdin.write(pickle.dumps((task, list(orphans))))
            self._process.stdin.flush()

    @property
    def status(self) -> int | None:
        """Its exit status; None while it is running."""
        return self._process.poll()

    @property
    def is_running(self) -> bool:
        """Whether the process is running."""
        return self.status is None

    def terminate(self) -> None:
        """Sends one SIGTERM: the process stops at its next checkpoint."""
        if self.is_running and not self._is_terminated:
            self._is_terminated = True
            self._process.terminate()

    def kill(self) -> None:
        """Kills the process if it is running, and waits for its end."""
        if self.is_running:
            self._process.kill()
        self._process.wait()

    def relay_errors(self) -> None:
        """Writes the process's stderr to this process's stderr.

        Raises:
            UserError: The process found invalid settings or data.
            RuntimeError: The process failed for another reason.
        """
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace")
        status = self.status or 0
        if status == USER_ERROR:
            before, _, message = f"\n{text}".rpartition("\nerror: ")
            sys.stderr.write(before.lstrip("\n"))
            raise UserError(message.strip())
        sys.stderr.write(text)
        if status < 0 and not self._is_terminated:
            warnings.warn(
                f"a worker process of the study was killed (signal {-status}), perhaps "
                "because memory ran out. Its trial is started again.",
                stacklevel=3,
            )
        elif status > 0 and status != INTERRUPTED:
            raise RuntimeError(
                f"a worker process of the study ended with exit status {status}"
            )

    def _close(self) -> None:
        self._stderr.close()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()


def _kill_all(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.kill()


def _threads_per_worker(jobs: int) -> int:
    return max(1, len(os.sched_getaffinity(0)) // jobs)
