"""A model behind TF Serving's gRPC interface."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Collection
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export.serving.backends import Rejected, Unavailable
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.model_store import parse_description
from object2vec_tf.inference.ragged_inputs import (
    Predictions,
    RaggedInputs,
    Rows,
    in_row_order,
)
from object2vec_tf.inference.text_inputs import Row, put, text_batches

_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A server that was away is looked for every second; gRPC would wait up to two
    # minutes between attempts, and fail every request meanwhile.
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class TFServingBackend:
    """Answers from TF Serving; a `Backend`.

    Every request is sent as it comes, for the server to batch, each row with padding in
    front: the server pads rows of different lengths by repeating what they begin with.

    Args:
        address: ``host:port`` of TF Serving's gRPC interface.
        model_name: The model's name there.
        timeout: Seconds that a call may take.
    """

    def __init__(self, address: str, model_name: str, timeout: float = 60.0) -> None:
        self.hyperparameters: Hyperparameters | None = None
        self._address = address
        self._name = model_name
        self._timeout = timeout
        self._version: int | None = None

    @functools.cached_property
    def _channel(self) -> Any:
        # A channel belongs to the event loop that runs when it is made.
        return grpc.aio.insecure_channel(self._address, _OPTIONS)

    @functools.cached_property
    def _predict(self) -> Any:
        return prediction_service_pb2_grpc.PredictionServiceStub(self._channel).Predict

    @functools.cached_property
    def _status(self) -> Any:
        return model_service_pb2_grpc.ModelServiceStub(self._channel).GetModelStatus

    async def answer(self, rows: Rows) -> Predictions:
        """See `Backend`."""
        objects = RaggedInputs.from_rows(rows)
        batches = list(objects.batches())
        parts = [await self._ask(objects.take(part)) for part in batches]
        return in_row_order(batches, parts)

    @property
    def texts(self) -> Collection[str]:
        """See `Backend`."""
        return self.hyperparameters.texts if self.hyperparameters else ()

    async def tokenize(self, rows: Rows) -> tuple[Rows, int]:
        """See `Backend`."""
        tokenized: dict[str, list[Row]] = {}
        unknown = 0
        for name, side in rows.items():
            tokenized[name] = list(side)
            for places, texts in text_batches(side):
                answer = await self._send(f"tokenize_{name}", {name: texts})
                unknown += int(tf.make_ndarray(answer.outputs["unknown"]).sum())
                ids = tf.make_ndarray(answer.outputs["ids"])
                put(tokenized[name], places, ids)
        return tokenized, unknown

    async def check(self) -> None:
        """See `Backend`."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._name
        response = await self._call(self._status(request, timeout=self._timeout))
        available = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
        states = response.model_version_status
        numbers = [state.version for state in states if state.state == available]
        if not numbers:
            raise Unavailable(f"{self._place}: no version of the model is available")
        if self._version != max(numbers):
            await self._describe()
            self._version = max(numbers)

    async def close(self) -> None:
        """See `Backend`."""
        await self._channel.close()

    @property
    def _place(self) -> str:
        return f"model {self._name} of TF Serving at {self._address}"

    async def _describe(self) -> None:
        answer = await self._send("describe", {"rows": np.zeros(1, np.int64)})
        text = tf.make_ndarray(answer.outputs["hyperparameters"])[0]
        self.hyperparameters = parse_description(text, self._place)

    async def _ask(self, objects: RaggedInputs) -> Predictions:
        response = await self._send(objects.signature, objects.padded(leading=1))
        version = response.model_spec.version.value
        if self._version != version:  # a new one may have other vocabularies
            await self._describe()
            self._version = version
        return np.asarray(tf.make_ndarray(response.outputs[objects.output]))

    async def _send(self, signature: str, inputs: dict[str, Any]) -> Any:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._name
        request.model_spec.signature_name = signature
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
        return await self._call(self._predict(request, timeout=self._timeout))

    async def _call(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            text = f"{self._place}: {error.code().name}: {error.details()}"
            if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                raise Rejected(text) from error
            busy = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            raise Unavailable(text, status=429 if busy else 503) from error
