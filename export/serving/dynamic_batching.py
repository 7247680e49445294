"""Dynamic batching: requests that wait for the model are answered by one call."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy.typing as npt

from object2vec_tf.inference.ragged_inputs import RaggedInputs, Rows

# Arrays by name, each with one row per row of the inputs.
Outputs = Mapping[str, npt.NDArray[Any]]


@dataclasses.dataclass
class _QueuedRequest:
    signature: str
    rows: Rows
    size: int
    outputs: asyncio.Future[Outputs]


class DynamicBatcher:
    """Runs a model in a thread of its own, one call at a time.

    Requests that arrive during a call wait, and the next call takes them together: a
    call of a small model takes half a millisecond, however few rows it has.

    Args:
        call: Returns the outputs of a signature for its inputs.
        max_rows: The maximum number of rows of a call; a single request may exceed it.
    """

    def __init__(
        self, call: Callable[[str, RaggedInputs], Outputs], max_rows: int
    ) -> None:
        self.thread = ThreadPoolExecutor(1, "model")
        self._call = call
        self._max_rows = max_rows
        self._queue: collections.deque[_QueuedRequest] = collections.deque()
        self._worker: asyncio.Task[None] | None = None

    async def __call__(self, signature: str, rows: Rows) -> Outputs:
        """Returns the outputs of a signature.

        Args:
            signature: The signature; only requests to the same one are combined.
            rows: Its inputs by name, at least one row.
        """
        size = len(next(iter(rows.values())))
        outputs = asyncio.get_running_loop().create_future()
        self._queue.append(_QueuedRequest(signature, rows, size, outputs))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await outputs

    def close(self) -> None:
        """Ends the thread after its last call."""
        self.thread.shutdown()

    async def _work(self) -> None:
        try:
            while self._queue:
                batch = self._next_batch()
                try:
                    await self._run(batch)
                except Exception as error:
                    await self._run_separately(batch, error)
        finally:
            self._worker = None

    async def _run_separately(
        self, batch: list[_QueuedRequest], error: Exception
    ) -> None:
        """Runs each request on its own, so that only the invalid ones fail."""
        for request in batch:
            try:
                if len(batch) == 1:
                    raise error
                await self._run([request])
            except Exception as own_error:
                if not request.outputs.done():
                    request.outputs.set_exception(own_error)

    def _next_batch(self) -> list[_QueuedRequest]:
        """Takes the first waiting request and later ones of the same signature."""
        first = self._queue.popleft()
        batch, size = [first], first.size
        waiting: collections.deque[_QueuedRequest] = collections.deque()
        for request in self._queue:
            if (
                request.signature == first.signature
                and size + request.size <= self._max_rows
            ):
                batch.append(request)
                size += request.size
            else:
                waiting.append(request)
        self._queue = waiting
        return batch

    async def _run(self, batch: list[_QueuedRequest]) -> None:
        outputs = await asyncio.get_running_loop().run_in_executor(
            self.thread, self._outputs, batch
        )
        start = 0
        for request in batch:
            if not request.outputs.done():  # canceled if the client disconnected
                stop = start + request.size
                own = {name: array[start:stop] for name, array in outputs.items()}
                request.outputs.set_result(own)
            start += request.size

    def _outputs(self, batch: list[_QueuedRequest]) -> Outputs:
        rows = {
            name: [row for request in batch for row in request.rows[name]]
            for name in batch[0].rows
        }
        return self._call(batch[0].signature, RaggedInputs.from_rows(rows))
