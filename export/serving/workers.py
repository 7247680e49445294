"""Several gateway processes on one port: start, supervision and shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import sys
import warnings
from asyncio.subprocess import PIPE, Process
from typing import Any, Final

from prometheus_client import multiprocess

from export.serving.listening import reserved, shared, url_of
from export.serving.model_source import ModelSource
from export.serving.settings import GatewaySettings
from export.serving.worker import FAILED, READY, WorkerTask
from object2vec_tf.errors import UserError
from object2vec_tf.files.leftovers import scratch_directory
from object2vec_tf.progress import end_all

# Seconds until a worker that could not be restarted is started again; then doubled.
_FIRST_DELAY: Final = 1.0
_LONGEST_DELAY: Final = 30.0
_THREADS: Final = "TF_NUM_INTRAOP_THREADS"


def serve_with_workers(
    source: ModelSource,
    host: str,
    port: int,
    *,
    settings: GatewaySettings,
    workers: int,
) -> None:
    """Serves by several processes until SIGTERM or SIGINT.

    Each process loads the model. The kernel distributes connections over them. A worker
    that dies is replaced. All of them end when this process does, whatever ends it.

    Args:
        source: The model.
        host: The address to listen on.
        port: The port; 0 takes a free one. The first line on stdout shows it.
        settings: Limits, names and additional paths, of each process.
        workers: The number of processes.

    Raises:
        UserError: The address is not available, or the model cannot be loaded.
    """
    source = source.pinned()
    with (
        reserved(host, port) as address,
        scratch_directory("metrics") as directory,
    ):
        actual_port = address.getsockname()[1]
        supervisor = _Supervisor(source, settings, (host, actual_port), f"{directory}")
        asyncio.run(supervisor.run(workers, f"serving on {url_of(address)}"))


_mark_dead: Any = multiprocess.mark_process_dead  # it has no types


class _Failed(Exception):
    """A worker that has ended before it was ready.

    Args:
        message: Why.
        is_user_error: Whether the user can resolve it.
    """

    def __init__(self, message: str, *, is_user_error: bool) -> None:
        super().__init__(message)
        self.is_user_error = is_user_error


class _Supervisor:
    """Starts workers, replaces those that die, and stops them.

    Args:
        source: The model.
        settings: Limits, names and additional paths.
        address: Host and port.
        directory: The directory of the workers' metrics.
    """

    def __init__(
        self,
        source: ModelSource,
        settings: GatewaySettings,
        address: tuple[str, int],
        directory: str,
    ) -> None:
        self._source = source
        self._settings = settings
        self._address = address
        self._directory = directory
        self._threads = 0
        self._processes: set[Process] = set()
        self._stopping = asyncio.Event()

    async def run(self, workers: int, message: str) -> None:
        """Runs workers until SIGTERM or SIGINT.

        Args:
            workers: Their number.
            message: The line to print when all of them are ready.
        """
        if _THREADS not in os.environ:
            self._threads = max(_cores() // workers, 1)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        ready = [loop.create_future() for _ in range(workers)]
        keepers = [
            asyncio.create_task(self._keep_running(i + 1, future))
            for i, future in enumerate(ready)
        ]
        try:
            await _first_error(*ready, stopping=self._stopping)
            if not self._stopping.is_set():
                end_all()
                print(message, flush=True)
            await self._stopping.wait()
        except _Failed as error:
            if error.is_user_error:
                raise UserError(str(error)) from error
            raise
        finally:
            if not self._stopping.is_set():
                self._stop()
            await asyncio.gather(*keepers)

    def _stop(self) -> None:
        """Asks all workers to finish the accepted requests and to end.

        At the second signal they end at once.
        """
        self._stopping.set()
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()

    async def _keep_running(self, number: int, ready: asyncio.Future[None]) -> None:
        """Runs a worker, and another one whenever it ends, until the server stops.

        Args:
            number: The number of the worker, from 1.
            ready: Is set when the first one is ready, or has failed.
        """
        delay = _FIRST_DELAY
        while not self._stopping.is_set():
            was_ready, reason = await self._run_one(number, ready)
            if self._stopping.is_set():
                break
            if not ready.done():
                ready.set_exception(reason)
                break
            warnings.warn(f"{reason}. Starting another one.", stacklevel=1)
            if was_ready:
                delay = _FIRST_DELAY
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            delay = min(2 * delay, _LONGEST_DELAY)
        if not ready.done():
            ready.set_result(None)

    async def _run_one(
        self, number: int, ready: asyncio.Future[None]
    ) -> tuple[bool, _Failed]:
        """Runs a worker; returns whether it was ready, and why it ended."""
        process = await self._start()
        self._processes.add(process)
        if self._stopping.is_set():
            process.terminate()
        assert process.stdin
        assert process.stdout
        was_ready, failure = False, ""
        async for line in process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            if text == READY:
                was_ready = True
                if not ready.done():
                    ready.set_result(None)
            elif text.startswith(FAILED):
                failure = text.removeprefix(FAILED)
            else:
                print(f"worker {number}: {text}", flush=True)
        status = await process.wait()
        process.stdin.close()
        self._processes.discard(process)
        _mark_dead(process.pid, self._directory)
        if failure and not was_ready:
            return was_ready, _Failed(failure, is_user_error=True)
        message = f"worker {number} (process {process.pid}) {_end_of(status)}"
        return was_ready, _Failed(message, is_user_error=False)

    async def _start(self) -> Process:
        """Starts a worker and gives it its task."""
        with shared(*self._address) as bound:
            task = WorkerTask(
                self._source,
                self._settings,
                bound.fileno(),
                self._threads,
                self._directory,
            )
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "export.serving.worker",
                stdin=PIPE,
                stdout=PIPE,
                pass_fds=[bound.fileno()],
                # Ctrl-C reaches this process alone, which stops the workers.
                start_new_session=True,
                env=os.environ
                | {
                    "PROMETHEUS_MULTIPROC_DIR": self._directory,
                    # A process would otherwise take all memory of a GPU.
                    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
                },
            )
        assert process.stdin
        process.stdin.write(pickle.dumps(task))
        # stdin stays open: the worker stops when this process ends.
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        return process


async def _first_error(*futures: asyncio.Future[None], stopping: asyncio.Event) -> None:
    """Waits for all futures, for the first error, or until the server stops."""
    stopped = asyncio.create_task(stopping.wait())
    everything = asyncio.gather(*futures)
    both: list[asyncio.Future[Any]] = [stopped, everything]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if everything.done():
            everything.result()
    finally:
        stopped.cancel()
        everything.cancel()
        # Retrieves its exception, which asyncio would otherwise log.
        await asyncio.gather(everything, return_exceptions=True)


def _cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _end_of(status: int) -> str:
    """Returns how a process ended, as the end of a sentence."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
