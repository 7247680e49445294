"""A model in this process, with dynamic batching of concurrent requests."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import Predictions, RaggedInputs, Rows

# Waiting requests are combined into a batch of up to this many rows.
MAX_BATCH_ROWS = 1024


@dataclasses.dataclass
class _QueuedRequest:
    rows: Rows
    size: int
    predictions: asyncio.Future[Predictions]


class LocalBackend:
    """Computes predictions in this process; a `Backend`.

    One call of the model runs at a time. Requests that arrive meanwhile wait, and the
    next call takes them together: a call of a small model takes half a millisecond,
    however few rows it has.

    Args:
        model: Returns the embeddings or scores of objects.
        max_rows: The maximum number of rows of a call; a single request may exceed it.
    """

    def __init__(self, model: Predictor, max_rows: int = MAX_BATCH_ROWS) -> None:
        self.hyperparameters: Hyperparameters | None = model.hyperparameters
        self.texts: Collection[str] = model.texts
        self._model = model
        self._max_rows = max_rows
        self._queue: collections.deque[_QueuedRequest] = collections.deque()
        self._thread = ThreadPoolExecutor(1, "model")
        self._worker: asyncio.Task[None] | None = None

    async def predict(self, rows: Rows) -> Predictions:
        """See `Backend`."""
        size = len(next(iter(rows.values())))
        predictions = asyncio.get_running_loop().create_future()
        self._queue.append(_QueuedRequest(rows, size, predictions))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await predictions

    async def tokenize(self, rows: Rows) -> tuple[Rows, int]:
        """See `Backend`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._model.tokenize, rows)

    async def check(self) -> None:
        """See `Backend`."""

    async def close(self) -> None:
        """See `Backend`."""
        self._thread.shutdown()

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
                if not request.predictions.done():
                    request.predictions.set_exception(own_error)

    def _next_batch(self) -> list[_QueuedRequest]:
        """Takes the first waiting request and later ones with the same inputs."""
        first = self._queue.popleft()
        batch, size = [first], first.size
        waiting: collections.deque[_QueuedRequest] = collections.deque()
        for request in self._queue:
            if (
                request.rows.keys() == first.rows.keys()
                and size + request.size <= self._max_rows
            ):
                batch.append(request)
                size += request.size
            else:
                waiting.append(request)
        self._queue = waiting
        return batch

    async def _run(self, batch: list[_QueuedRequest]) -> None:
        rows = {
            name: [row for request in batch for row in request.rows[name]]
            for name in batch[0].rows
        }
        predictions = await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._model(RaggedInputs.from_rows(rows))
        )
        start = 0
        for request in batch:
            if not request.predictions.done():  # canceled if the client disconnected
                request.predictions.set_result(
                    predictions[start : start + request.size]
                )
            start += request.size
