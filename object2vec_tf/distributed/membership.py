"""Connections between the workers of a job, by which each learns that another ended.

TensorFlow's cluster detects a lost worker only in collective operations, and only once
all workers have joined it. Each pair of workers therefore has a TCP connection from the
start of the run to its end. A worker that fails sends the reason; a connection that
closes without one shows that the process ended.

Messages are lines of JSON. The worker with the higher index connects to the port of the
other in TF_CONFIG, on which TensorFlow listens later. It sends ``{"worker": index}``,
receives the same, and confirms by ``{"joined": true}``. The last message of a worker is
``{"finished": true}`` or ``{"failed": reason, "resumable": bool}``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from object2vec_tf.distributed.cluster import TF_CONFIG, Cluster, host_and_port
from object2vec_tf.distributed.listener import open_listener
from object2vec_tf.distributed.messages import read_message, write_message
from object2vec_tf.errors import Interrupted, UserError, WorkerLost

# Seconds to wait for the other workers, and seconds before a message says so.
START_SECONDS = 600.0
_SILENT_SECONDS = 10.0
_HANDSHAKE_SECONDS, _RETRY_SECONDS = 5.0, 0.2
# How long a worker that failed waits for others that have not started yet.
REPORT_SECONDS = 60.0
_SEND_SECONDS = 2.0
# A worker that still prepares its run this long after another ended is ended.
PREPARATION_SECONDS = 30.0
_MAX_REASON_CHARACTERS = 2000


@dataclasses.dataclass(frozen=True)
class Loss:
    """Why a worker is missing.

    Attributes:
        worker: Its index.
        reason: The first line of its error message; empty if it sent none.
        resumable: Whether it stopped on SIGTERM.
    """

    worker: int
    reason: str = ""
    resumable: bool = False


class Membership:
    """This worker's connections to all others.

    Args:
        cluster: The workers.

    Attributes:
        cluster: As given.
        is_preparing: Whether nothing would notice a lost worker, so that the process
            has to be ended; see `PREPARATION_SECONDS`.
        has_left: Whether `leave` was called.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.is_preparing = True
        self.has_left = False
        self._others = set(range(len(cluster.addresses))) - {cluster.worker}
        self._writers: dict[int, asyncio.StreamWriter] = {}
        # Workers that need no more messages: they left, or have this worker's last one.
        self._done: set[int] = set()
        self._loss: Loss | None = None
        self._on_loss: list[Callable[[Loss], None]] = []
        self._last_message: dict[str, Any] | None = None
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, name="workers", daemon=True)
        self._thread.start()

    def listen(self) -> None:
        """Accepts connections of workers with higher indices, and connects to others.

        Raises:
            UserError: This worker's port cannot be used.
        """
        own = self.cluster.worker
        for worker in range(own):
            self._start(self._connect(worker))
        try:
            listener = open_listener(self.cluster.addresses[own])
        except OSError as error:
            raise UserError(
                f"{TF_CONFIG}: {self.cluster.name(own)}: the port cannot be used: "
                f"{error.strerror}. Give this worker another port."
            ) from error
        self._call(self._serve(listener))

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Waits until all workers are connected, and frees the port for TensorFlow.

        TensorFlow would wait for an hour, print nothing and ignore signals.

        Args:
            seconds: How long to wait.

        Raises:
            UserError: A worker is missing after that time.
            WorkerLost: A worker ended.
            Interrupted: A worker was stopped.
        """
        reported, start = False, time.monotonic()
        while True:
            self.check()
            missing = sorted(self._others - self._writers.keys())
            if not missing:
                break
            waited, names = time.monotonic() - start, self.cluster.names(missing)
            if waited > seconds:
                raise UserError(
                    f"{names}: not reachable after {waited:.0f} seconds. Start all "
                    f"workers that {TF_CONFIG} lists, each with its own task."
                )
            if waited > _SILENT_SECONDS and not reported:
                reported = True
                print(f"waiting for {names}", file=sys.stderr, flush=True)
            with self._changed:
                self._changed.wait(_RETRY_SECONDS)
        self._call(self._stop_listening())
        self.wait_for_loss(_RETRY_SECONDS)  # a worker may have joined to say that
        self.check()

    def check(self) -> None:
        """Raises an error if another worker ended.

        Raises:
            WorkerLost: It failed.
            Interrupted: It was stopped.
        """
        if self._loss is not None:
            raise self.error_of(self._loss)

    def error_of(self, loss: Loss) -> WorkerLost | Interrupted:
        """Returns the error by which this worker ends after the loss of another."""
        name = self.cluster.name(loss.worker)
        if loss.resumable:
            return Interrupted(f"{name} was stopped: {loss.reason}")
        return worker_lost(name, loss.reason)

    def wait_for_loss(self, seconds: float = _SEND_SECONDS) -> Loss | None:
        """Returns the loss of a worker, for which it waits a moment."""
        with self._changed:
            self._changed.wait_for(lambda: self._loss is not None, seconds)
        return self._loss

    def on_loss(self, call: Callable[[Loss], None]) -> None:
        """Calls a function in another thread when a worker is lost, at most once."""
        with self._changed:
            if self._loss is None:
                self._on_loss.append(call)
                return
        call(self._loss)

    def leave(self, reason: str | None = None, resumable: bool = False) -> None:
        """Ends the membership.

        After a failure, a thread continues to send the reason to workers that have not
        started yet, for `REPORT_SECONDS`. The process ends after that thread.

        Args:
            reason: Why this worker failed; None if it finished.
            resumable: Whether it was stopped by SIGTERM.
        """
        if self.has_left:
            return
        self.has_left = True
        message: dict[str, Any] = {"finished": True}
        if reason is not None:
            line = reason.partition("\n")[0][:_MAX_REASON_CHARACTERS]
            message = {"failed": line, "resumable": resumable}
        self._call(self._say_last(message))
        if reason is None or self._wait_until_done(_RETRY_SECONDS):
            self._wait_until_done(_SEND_SECONDS)
            self._close()
            return
        threading.Thread(target=self._report, name="failure report").start()

    def _report(self) -> None:
        self._wait_until_done(REPORT_SECONDS)
        self._close()

    def _wait_until_done(self, seconds: float) -> bool:
        """Returns whether all workers that need this one's last message have it."""

        def is_done() -> bool:
            has_failed = "failed" in (self._last_message or {})
            return self._done >= (self._others if has_failed else self._writers.keys())

        with self._changed:
            return self._changed.wait_for(is_done, seconds)

    def _close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        """Runs everything that concerns the connections."""
        loop = self._loop
        loop.run_forever()
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks))
        loop.run_until_complete(asyncio.sleep(0))  # transports close
        loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine in the thread of the connections, and waits for it."""
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Starts a task in the thread of the connections."""
        self._loop.call_soon_threadsafe(self._start_in_loop, coroutine)

    def _start_in_loop(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, listener: socket.socket) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._start_in_loop(self._accept(reader, writer))

        self._server = await asyncio.start_server(accept, sock=listener)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answers a connection, which may also come from any other program."""
        try:
            worker = await self._answer(reader, writer)
            if worker is not None:
                await self._follow(worker, reader, writer)
        finally:
            writer.transport.abort()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> int | None:
        """Returns the index of the worker that has connected; None for others."""
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                worker = (await read_message(reader)).get("worker")
                if type(worker) is not int or worker not in self._others:
                    return None
                await write_message(writer, {"worker": self.cluster.worker})
                return worker if (await read_message(reader)).get("joined") else None
        except (OSError, ValueError):  # TimeoutError is an OSError
            return None

    async def _connect(self, worker: int) -> None:
        """Connects to a worker as soon as it listens."""
        address = host_and_port(self.cluster.addresses[worker])
        while worker not in self._writers:
            with suppress(OSError, ValueError):
                async with asyncio.timeout(_HANDSHAKE_SECONDS):
                    reader, writer = await asyncio.open_connection(*address)
                try:
                    async with asyncio.timeout(_HANDSHAKE_SECONDS):
                        await write_message(writer, {"worker": self.cluster.worker})
                        is_worker = (await read_message(reader)).get("worker") == worker
                        await write_message(writer, {"joined": is_worker})
                    if is_worker:
                        await self._follow(worker, reader, writer)
                        return
                finally:
                    writer.transport.abort()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(
        self, worker: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Reads what a worker sends until it leaves."""
        _keep_alive(writer.get_extra_info("socket"))
        self._writers[worker] = writer
        self._notify()
        if self._last_message is not None:
            await self._send_last(worker, writer)
        loss = Loss(worker)
        try:
            message = await read_message(reader)
            if "failed" in message:
                loss = Loss(worker, str(message["failed"]), bool(message["resumable"]))
            elif message.get("finished"):
                self._done.add(worker)
                self._notify()
                return
        except (OSError, ValueError, KeyError):
            pass
        self._done.add(worker)
        self._lose(loss)

    def _lose(self, loss: Loss) -> None:
        with self._changed:
            if self._loss is not None or self.has_left:
                self._changed.notify_all()
                return
            self._loss = loss
            calls, self._on_loss = self._on_loss, []
            self._changed.notify_all()
        self._loop.call_later(PREPARATION_SECONDS, self._end_preparation, loss)
        for call in calls:
            call(loss)

    def _end_preparation(self, loss: Loss) -> None:
        """Ends the process if its main thread has not noticed the loss."""
        if self.is_preparing and not self.has_left:
            print(f"error: {self.error_of(loss)}", file=sys.stderr, flush=True)
            os._exit(2)

    async def _say_last(self, message: dict[str, Any]) -> None:
        """Sends a last message to all workers, later also to those not connected."""
        self._last_message = message
        for worker, writer in list(self._writers.items()):
            await self._send_last(worker, writer)
        if "failed" in message:
            for worker in self._others - self._writers.keys():
                self._start(self._connect(worker))

    async def _send_last(self, worker: int, writer: asyncio.StreamWriter) -> None:
        try:
            await write_message(writer, self._last_message or {})
            writer.write_eof()
        except OSError:
            pass
        self._done.add(worker)
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


def worker_lost(name: str, reason: str = "") -> WorkerLost:
    """Returns the error of a worker that lost another one.

    Args:
        name: The name of the lost worker.
        reason: Its error message, if it sent one.
    """
    problem = f"failed: {reason}\nIts" if reason else "ended or cannot be reached; its"
    return WorkerLost(
        f"{name} {problem} own output shows the cause. Start all workers again with "
        "the same command: the run resumes from its last checkpoint."
    )


def _keep_alive(connection: socket.socket) -> None:
    """Makes a connection fail half a minute after the other host has vanished."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("KEEPIDLE", 15), ("KEEPINTVL", 5), ("KEEPCNT", 4)):
        option = getattr(socket, f"TCP_{name}", None)
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
