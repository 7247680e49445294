"""Coalescing: what many connections ask a model in this process at a time."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import Predictions, RaggedInputs, Rows

# Requests that waited are answered together up to this many rows.
MAX_ROWS = 1024


@dataclasses.dataclass
class _Waiting:
    rows: Rows
    size: int
    answer: asyncio.Future[Predictions]


class LocalBackend:
    """Answers from this process; a `Backend`.

    One call of the model is under way at a time. What arrives meanwhile waits, and is
    answered together by the next: a call costs a small model half a millisecond,
    however few rows it has.

    Args:
        model: Returns embeddings or scores of objects.
        most_rows: The most rows of a call, which a single request may exceed.
    """

    def __init__(self, model: Predictor, most_rows: int = MAX_ROWS) -> None:
        self.hyperparameters: Hyperparameters | None = model.hyperparameters
        self.texts: Collection[str] = model.texts
        self._model = model
        self._most_rows = most_rows
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._thread = ThreadPoolExecutor(1, "model")
        self._working: asyncio.Task[None] | None = None

    async def answer(self, rows: Rows) -> Predictions:
        """See `Backend`."""
        size = len(next(iter(rows.values())))
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(rows, size, answer))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await answer

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
            while self._waiting:
                together = self._next()
                try:
                    await self._answer(together)
                except Exception as error:
                    await self._answer_alone(together, error)
        finally:
            self._working = None

    async def _answer_alone(self, together: list[_Waiting], error: Exception) -> None:
        """Asks for each by itself, to fail none but the one whose fault it is."""
        for one in together:
            try:
                if len(together) == 1:
                    raise error
                await self._answer([one])
            except Exception as own:
                if not one.answer.done():
                    one.answer.set_exception(own)

    def _next(self) -> list[_Waiting]:
        """Takes the first that waits, and those behind it that ask for the same."""
        first = self._waiting.popleft()
        together, size = [first], first.size
        left: collections.deque[_Waiting] = collections.deque()
        for other in self._waiting:
            if (
                other.rows.keys() == first.rows.keys()
                and size + other.size <= self._most_rows
            ):
                together.append(other)
                size += other.size
            else:
                left.append(other)
        self._waiting = left
        return together

    async def _answer(self, together: list[_Waiting]) -> None:
        rows = {
            name: [ids for one in together for ids in one.rows[name]]
            for name in together[0].rows
        }
        answers = await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._model(RaggedInputs.from_rows(rows))
        )
        start = 0
        for one in together:
            if not one.answer.done():  # its connection may be gone
                one.answer.set_result(answers[start : start + one.size])
            start += one.size
