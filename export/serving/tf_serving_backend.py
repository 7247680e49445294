"""A model on a TF Serving server, reached through its gRPC interface."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Collection, Mapping
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export.serving.backends import Rejected, Response, Unavailable, VersionGone
from export.serving.off_loop import off_loop
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.catalog import DESCRIBE_CATALOG, Catalog
from object2vec_tf.inference.model_store import parse_description
from object2vec_tf.inference.ragged_inputs import (
    CallLimits,
    Ids,
    Predictions,
    RaggedInputs,
    Rows,
    call_limits,
    in_row_order,
)
from object2vec_tf.inference.signature_defs import (
    SignatureDefs,
    signature_defs_to_json,
)
from object2vec_tf.inference.table_rows import ROWS
from object2vec_tf.inference.text_inputs import TextBatch, TextRequest

_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Reconnect to a lost server every second. By default, gRPC waits up to two minutes
    # between attempts and fails every request meanwhile.
    ("grpc.max_reconnect_backoff_ms", 1000),
]

# About the number of values of a row.
_ROW_VALUES = 64

Inputs = Mapping[str, npt.NDArray[Any]]


class TFServingBackend:
    """Gets predictions from TF Serving; a `Backend`.

    Requests are sent one by one; batching is left to the server. Each row has one
    column of padding in front, since the server pads rows of different lengths with
    their first element.

    Args:
        address: ``host:port`` of TF Serving's gRPC interface.
        model_name: The model's name on the server.
        timeout: The maximum duration of a call in seconds.
    """

    def __init__(self, address: str, model_name: str, timeout: float = 60.0) -> None:
        self.hyperparameters: Hyperparameters | None = None
        self._address = address
        self._name = model_name
        self._timeout = timeout
        self.version: int | None = None
        # The catalog, and the version that it belongs to.
        self._catalog: tuple[int, Catalog | None] | None = None

    @functools.cached_property
    def _channel(self) -> Any:
        # A channel belongs to the event loop that is running when it is created.
        return grpc.aio.insecure_channel(self._address, _OPTIONS)

    @functools.cached_property
    def _service(self) -> Any:
        return prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    @functools.cached_property
    def _status_rpc(self) -> Any:
        return model_service_pb2_grpc.ModelServiceStub(self._channel).GetModelStatus

    async def predict(self, rows: Rows) -> Predictions:
        """See `Backend`."""
        if self.hyperparameters is None:  # before the first response
            await self.check()
        assert self.hyperparameters
        limits = call_limits(self.hyperparameters)
        inputs, batches = await _batched(rows, limits)
        predictions = [await self._run(inputs, batch) for batch in batches]
        return in_row_order(batches, predictions)

    @property
    def texts(self) -> Collection[str]:
        """See `Backend`."""
        return self.hyperparameters.texts if self.hyperparameters else ()

    async def tokenize(self, rows: Rows) -> tuple[Rows, int]:
        """See `Backend`."""
        size = _row_values(rows)
        request = await off_loop(size, lambda: TextRequest(rows))
        for batch in request.batches:
            texts = {batch.name: batch.texts}
            response = await self._send(batch.signature, texts)
            await off_loop(size, functools.partial(_store, request, batch, response))
        return request.rows, request.unknown_tokens

    async def catalog(self) -> Catalog | None:
        """See `Backend`."""
        if self.version is None:
            await self.check()
        version = self.version
        assert version is not None
        if self._catalog is None or self._catalog[0] != version:
            self._catalog = version, await self._read_catalog(version)
        return self._catalog[1]

    async def signature_defs(self) -> SignatureDefs:
        """See `Backend`."""
        return signature_defs_to_json(await self._read_signatures(self.version))

    async def call(
        self, signature: str, rows: Rows, version: int | None = None
    ) -> Response:
        """See `Backend`."""
        inputs, batches = await _batched(rows)
        outputs = []
        for batch in batches:
            padded = _padded(inputs.take(batch))
            response = await self._send(signature, padded, version)
            version = response.model_spec.version.value
            arrays = functools.partial(_arrays, response.outputs)
            outputs.append(await off_loop(_values(padded), arrays))
        await self._notice(version)
        in_order = {
            name: in_row_order(batches, [rows[name] for rows in outputs])
            for name in outputs[0]
        }
        return Response(in_order, version)

    async def check(self) -> None:
        """See `Backend`."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._name
        response = await self._call(self._status_rpc(request, timeout=self._timeout))
        available = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
        states = response.model_version_status
        versions = [state.version for state in states if state.state == available]
        if not versions:
            raise Unavailable(f"{self._label}: no version of the model is available")
        await self._notice(max(versions))

    async def close(self) -> None:
        """See `Backend`."""
        await self._channel.close()

    @property
    def _label(self) -> str:
        return f"model {self._name} of TF Serving at {self._address}"

    async def _notice(self, version: int | None) -> None:
        """Reads the description of a version that was not seen before."""
        if self.version != version:  # it may have other vocabularies
            await self._describe()
            self.version = version

    async def _read_catalog(self, version: int) -> Catalog | None:
        if DESCRIBE_CATALOG not in await self._read_signatures(version):
            return None
        rows = {"rows": np.zeros(1, np.int64)}
        response = await self._send(DESCRIBE_CATALOG, rows, version)
        text = tf.make_ndarray(response.outputs["catalog"])[0]
        return Catalog.from_json(text, self._label)

    async def _read_signatures(self, version: int | None) -> Mapping[str, Any]:
        """Returns the messages SignatureDef by name."""
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        request.model_spec.name = self._name
        if version is not None:
            request.model_spec.version.value = version
        request.metadata_field.append("signature_def")
        rpc = self._service.GetModelMetadata(request, timeout=self._timeout)
        response = await self._call(rpc, version)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return dict(signatures.signature_def)

    async def _describe(self) -> None:
        response = await self._send("describe", {"rows": np.zeros(1, np.int64)})
        text = tf.make_ndarray(response.outputs["hyperparameters"])[0]
        self.hyperparameters = parse_description(text, self._label)

    async def _run(self, inputs: RaggedInputs, batch: Ids | None) -> Predictions:
        padded = inputs.take(batch).padded(leading=1)
        response = await self._send(inputs.signature, padded)
        await self._notice(response.model_spec.version.value)
        return np.asarray(tf.make_ndarray(response.outputs[inputs.output]))

    async def _send(
        self, signature: str, inputs: Inputs, version: int | None = None
    ) -> Any:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._name
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version

        def add_inputs() -> None:
            for name, values in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(values))

        await off_loop(_values(inputs), add_inputs)
        rpc = self._service.Predict(request, timeout=self._timeout)
        return await self._call(rpc, version)

    async def _call(self, call: Awaitable[Any], version: int | None = None) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            text = f"{self._label}: {error.code().name}: {error.details()}"
            if any(name in f"{error.details()}" for name in ROWS):  # missing inputs
                raise Unavailable(
                    f"{self._label}: expected a model that contains its token tables, "
                    "got one with tables in files, which TF Serving does not read. "
                    "Give the exported model as --model in place of --tf_serving."
                ) from error
            if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                raise Rejected(text) from error
            if version is not None and error.code() == grpc.StatusCode.NOT_FOUND:
                raise VersionGone(text) from error
            busy = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            raise Unavailable(text, status=429 if busy else 503) from error


async def _batched(
    rows: Rows, limits: CallLimits | None = None
) -> tuple[RaggedInputs, list[Ids | None]]:
    """Returns rows as inputs of the model, and the row numbers of each call."""

    def batched() -> tuple[RaggedInputs, list[Ids | None]]:
        inputs = RaggedInputs.from_rows(rows)
        return inputs, list(inputs.batches(limits or CallLimits()))

    return await off_loop(_row_values(rows), batched)


def _row_values(rows: Rows) -> int:
    """Returns about the number of values of rows, without reading them."""
    return sum(map(len, rows.values())) * _ROW_VALUES


def _values(inputs: Inputs) -> int:
    """Returns the number of values of inputs."""
    return sum(array.size for array in inputs.values())


def _arrays(outputs: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    return {name: tf.make_ndarray(tensor) for name, tensor in outputs.items()}


def _store(request: TextRequest, batch: TextBatch, response: Any) -> None:
    request.store(batch, _arrays(response.outputs))


def _padded(inputs: RaggedInputs) -> dict[str, Ids]:
    """Returns inputs with a leading -1, except positions of items to describe.

    The server pads the rows of its batch with their first element. Only the additional
    outputs of positions are affected, which are not used.
    """
    columns = dict(inputs.columns)
    items = {name: columns.pop(name) for name in ("items",) if name in columns}
    padded = RaggedInputs(columns).padded(leading=1) if columns else {}
    return padded | RaggedInputs(items).padded()
