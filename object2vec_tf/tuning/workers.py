"""Trials in several processes, which share a study's storage."""

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

from object2vec_tf.commands.runner import INTERRUPTED, USER_ERROR
from object2vec_tf.commands.signals import catch_sigterm
from object2vec_tf.errors import Interrupted, UserError
from object2vec_tf.tuning.trials import Task

_MODULE = "object2vec_tf.tuning.worker"
_POLL_SECONDS = 0.1


def run_workers(task: Task, jobs: int, orphans: Sequence[int], lock: int) -> bool:
    """Runs trials in processes of their own until the study has enough of them.

    Args:
        task: The study.
        jobs: The number of processes; they share the cores.
        orphans: Numbers of trials whose processes were stopped: they come first.
        lock: A file descriptor that the processes keep open while they live.

    Returns:
        Whether all of them came to their end; a trial whose process was killed is left.

    Raises:
        UserError: One of them found settings or data that need mending.
        Interrupted: The process got a SIGTERM; the study can be gone on with.
    """
    with ExitStack() as stack:
        interruption = stack.enter_context(catch_sigterm())
        workers = [
            _Worker(stack, task, orphans[place::jobs], _threads(jobs), lock)
            for place in range(jobs)
        ]
        stack.callback(_end, workers)
        while any(worker.runs for worker in workers):
            if interruption.asked or any((w.status or 0) > 0 for w in workers):
                for worker in workers:
                    worker.terminate()
            time.sleep(_POLL_SECONDS)
        for worker in workers:
            worker.tell()
        if interruption.asked:
            raise Interrupted("stopped")
        return all(worker.status == 0 for worker in workers)


class _Worker:
    def __init__(
        self,
        stack: ExitStack,
        task: Task,
        orphans: Sequence[int],
        threads: int,
        lock: int,
    ) -> None:
        self._is_asked = False
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        shares = {
            "TF_NUM_INTRAOP_THREADS": str(threads),
            "TF_NUM_INTEROP_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **shares},
            pass_fds=[lock],
        )
        stack.callback(self._close)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # its end says why
            self._process.stdin.write(pickle.dumps((task, list(orphans))))
            self._process.stdin.flush()

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return self.status is None

    def terminate(self) -> None:
        """Asks it, once, to stop when what it learnt is safe."""
        if self.runs and not self._is_asked:
            self._is_asked = True
            self._process.terminate()

    def kill(self) -> None:
        """Ends it."""
        if self.runs:
            self._process.kill()
        self._process.wait()

    def tell(self) -> None:
        """Passes on what it wrote to stderr.

        Raises:
            UserError: It found settings or data that need mending.
            RuntimeError: It failed otherwise.
        """
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace")
        status = self.status or 0
        if status == USER_ERROR:
            said, _, message = f"\n{text}".rpartition("\nerror: ")
            sys.stderr.write(said.lstrip("\n"))
            raise UserError(message.strip())
        sys.stderr.write(text)
        if status < 0 and not self._is_asked:
            warnings.warn(
                f"a process of the study was killed (signal {-status}), perhaps "
                "for want of memory; its trial is started again",
                stacklevel=3,
            )
        elif status > 0 and status != INTERRUPTED:
            raise RuntimeError(f"a process of the study ended with {status}")

    def _close(self) -> None:
        self._errors.close()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.kill()


def _threads(jobs: int) -> int:
    return max(1, len(os.sched_getaffinity(0)) // jobs)
