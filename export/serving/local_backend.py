"""A model in this process, with dynamic batching of concurrent requests."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from export.serving.backends import Response, Unavailable
from export.serving.dynamic_batching import DynamicBatcher
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.catalog import Catalog
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import (
    Predictions,
    Rows,
    output_name,
    signature_name,
)
from object2vec_tf.inference.signature_defs import SignatureDefs
from object2vec_tf.tables.mapped_table import TableFileChanged

# Waiting requests are combined into a batch of up to this many rows.
MAX_BATCH_ROWS = 1024
# Searching a million items takes tens of milliseconds per call and a few per row, so
# that larger batches would only delay the requests in them.
MAX_SEARCH_ROWS = 64


class LocalBackend:
    """Computes predictions in this process; a `Backend`.

    Embeddings and scores are computed by one call at a time, and searches by one call
    at a time, in two threads: a search of many items does not delay other requests.

    Args:
        model: The model.
        max_rows: The maximum number of rows of a call; a single request may exceed it.
    """

    def __init__(self, model: Predictor, max_rows: int = MAX_BATCH_ROWS) -> None:
        self.hyperparameters: Hyperparameters | None = model.hyperparameters
        self.texts: Collection[str] = model.texts
        self.version = model.version
        self._model = model
        # Why predictions have failed, and will fail until another version is loaded.
        self._damage = ""
        self._predict = DynamicBatcher(
            lambda _, inputs: {inputs.output: model(inputs)}, max_rows
        )
        self._search = DynamicBatcher(
            lambda signature, inputs: model.call(signature, inputs), MAX_SEARCH_ROWS
        )

    async def predict(self, rows: Rows) -> Predictions:
        """See `Backend`."""
        try:
            outputs = await self._predict(signature_name(rows), rows)
        except TableFileChanged as error:
            self._damage = f"{error}"
            raise Unavailable(self._damage) from error
        return outputs[output_name(rows)]

    async def tokenize(self, rows: Rows) -> tuple[Rows, int]:
        """See `Backend`."""
        loop = asyncio.get_running_loop()
        thread = self._predict.thread
        return await loop.run_in_executor(thread, self._model.tokenize, rows)

    async def catalog(self) -> Catalog | None:
        """See `Backend`."""
        return self._model.catalog

    async def signature_defs(self) -> SignatureDefs:
        """See `Backend`."""
        return self._model.signature_defs

    async def call(
        self, signature: str, rows: Rows, version: int | None = None
    ) -> Response:
        """See `Backend`; there is only one version."""
        return Response(await self._search(signature, rows), None)

    async def check(self) -> None:
        """See `Backend`."""
        if self._damage:
            raise Unavailable(self._damage)

    async def close(self) -> None:
        """See `Backend`."""
        self._predict.close()
        self._search.close()
