"""A fake TF Serving, since no package registry has the real one.

It follows the source of the real server: a v1 Session loads the SavedModel and is fed
by the tensor names of the SignatureDef. It depends neither on Keras, whose import is
disabled here, nor on this project. It takes the real server's flags:

    python tests/export/model_server.py --port=0 --model_name=object2vec \
        --model_base_path=DIR

When all models are loaded, the first line on stdout is the port.
"""

import sys

sys.modules["keras"] = None  # importing it now raises ImportError

import argparse  # noqa: E402
import contextlib  # noqa: E402
import dataclasses  # noqa: E402
import http.server  # noqa: E402
import importlib.util  # noqa: E402
import json  # noqa: E402
import re  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from concurrent.futures import Future, ThreadPoolExecutor  # noqa: E402
from pathlib import Path  # noqa: E402

import grpc  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from google.protobuf import any_pb2  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

PREDICT, CLASSIFY, REGRESS = (
    f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress")
)
CODES = {code.value[0]: code for code in grpc.StatusCode}
STATES = get_model_status_pb2.ModelVersionStatus.State

# TF Serving has tensorflow-text's ops built in (release notes of 2.0). Their libraries
# are loaded directly, since the Python modules of tensorflow-text need Keras.
_TEXT = importlib.util.find_spec("tensorflow_text").submodule_search_locations[0]
for _library in sorted(Path(_TEXT, "python/ops").glob("*.so")):
    tf.load_op_library(str(_library))


class Status(Exception):
    """A gRPC status other than OK."""

    def __init__(self, name, message):
        super().__init__(message)
        self.code = grpc.StatusCode[name]


@dataclasses.dataclass
class Batching:
    """Settings of the real server's batching parameters file."""

    seconds: float
    max_rows: int
    pad: bool

    @staticmethod
    def read(path):
        text = Path(path).read_text(encoding="utf-8")

        def value(name, default):
            match = re.search(rf"\b{name}\s*(?::|{{\s*value:)\s*(\w+)", text)
            return match[1] if match else default

        return Batching(
            int(value("batch_timeout_micros", 0)) / 1e6,
            int(value("max_batch_size", 1000)),
            value("pad_variable_length_inputs", "false") == "true",
        )


class Version:
    """One version of a model: a Session and its signatures."""

    def __init__(self, path, batching):
        self.number = int(path.name)
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            self.meta_graph = tf.compat.v1.saved_model.load(
                self._session, ["serve"], str(path)
            )
        self._batchers = {}
        self._lock = threading.Lock()
        self._batching = batching

    def signature(self, name):
        signatures = self.meta_graph.signature_def
        name = name or "serving_default"
        if name not in signatures:
            raise Status(
                "INVALID_ARGUMENT",
                f"Serving signature name: {name!r} not found in signature def",
            )
        return name, signatures[name]

    def run(self, name, inputs):
        """Runs a signature; returns its outputs by name."""
        if self._batching is None:
            return self.run_unbatched(name, inputs)
        with self._lock:
            if name not in self._batchers:
                self._batchers[name] = Batcher(self, name, self._batching)
        return self._batchers[name].run(inputs)

    def run_unbatched(self, name, inputs):
        signature = self.meta_graph.signature_def[name]
        feed = {signature.inputs[key].name: array for key, array in inputs.items()}
        fetches = {key: info.name for key, info in signature.outputs.items()}
        return self._session.run(fetches, feed)


class Batcher:
    """Combines concurrent requests to a signature into one call."""

    def __init__(self, version, name, batching):
        self._version, self._name, self._batching = version, name, batching
        self._waiting = []
        self._arrived = threading.Condition()
        threading.Thread(target=self._work, daemon=True).start()

    def run(self, inputs):
        rows = {len(array) if array.ndim else None for array in inputs.values()}
        if len(rows) != 1 or None in rows:
            raise Status(
                "INVALID_ARGUMENT",
                "Batching session Run() input tensors must have equal 0th-dimension "
                "size",
            )
        result = Future()
        with self._arrived:
            self._waiting.append((inputs, rows.pop(), result))
            self._arrived.notify()
        return result.result()

    def _work(self):
        while True:
            with self._arrived:
                self._arrived.wait_for(lambda: self._waiting)
                self._arrived.wait_for(self._full, self._batching.seconds)
                batch, size = [], 0
                while self._waiting:
                    size += self._waiting[0][1]
                    if batch and size > self._batching.max_rows:
                        break
                    batch.append(self._waiting.pop(0))
            self._run(batch)

    def _full(self):
        rows = sum(rows for _, rows, _ in self._waiting)
        return rows >= self._batching.max_rows

    def _run(self, batch):
        try:
            inputs = {
                key: self._concatenated([request[0][key] for request in batch])
                for key in batch[0][0]
            }
            outputs = self._version.run_unbatched(self._name, inputs)
        except Exception as error:  # one invalid request fails its whole batch
            for _, _, result in batch:
                result.set_exception(error)
            return
        start = 0
        for _, rows, result in batch:
            part = slice(start, start + rows)
            result.set_result({key: array[part] for key, array in outputs.items()})
            start += rows

    def _concatenated(self, arrays):
        if self._batching.pad and arrays[0].ndim > 1:
            width = max(array.shape[1] for array in arrays)
            arrays = [_padded(array, width) for array in arrays]
        if len({array.shape[1:] for array in arrays}) > 1:
            raise Status(
                "FAILED_PRECONDITION",
                "Tensors with name have different shapes besides 0th dimension",
            )
        return np.concatenate(arrays)


def _padded(array, width):
    """Pads with the first element of the tensor, as the real server does."""
    missing = width - array.shape[1]
    if not missing:
        return array
    return np.pad(array, [(0, 0), (0, missing)], constant_values=array.flat[0])


class Model:
    """The newest version at a base path, which is polled."""

    def __init__(self, name, base_path, batching):
        self.name = name
        self._base, self._batching = Path(base_path), batching
        self.version = None
        self.ended = []
        self.poll()

    def poll(self):
        numbers = [int(p.name) for p in self._base.glob("*") if p.name.isdecimal()]
        newest = max(numbers, default=None)
        old = self.version
        if newest is None or (old and old.number == newest):
            return
        self.version = Version(self._base / str(newest), self._batching)
        if old:  # its Session ends with the last request that uses it
            self.ended.append(old.number)


class ModelServer(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """PredictionService and ModelService; other methods return UNIMPLEMENTED."""

    def __init__(self, models):
        self._models = {model.name: model for model in models}

    def _version(self, spec):
        model = self._models.get(spec.name)
        if model is None or model.version is None:
            raise Status(
                "NOT_FOUND", f"Servable not found for request: Latest({spec.name})"
            )
        requested = spec.version.value
        if spec.HasField("version") and requested != model.version.number:
            raise Status(
                "NOT_FOUND",
                f"Servable not found for request: Specific({spec.name}, {requested})",
            )
        return model.version

    def Predict(self, request, context):
        version = self._version(request.model_spec)
        name, signature = version.signature(request.model_spec.signature_name)
        if signature.method_name not in (PREDICT, CLASSIFY, REGRESS):
            raise Status(
                "INVALID_ARGUMENT",
                f"Expected prediction signature method_name, got "
                f"{signature.method_name}",
            )
        if set(request.inputs) != set(signature.inputs):
            raise Status(
                "INVALID_ARGUMENT",
                "input size does not match signature: "
                f"{len(request.inputs)}!={len(signature.inputs)}. Sent extra: "
                f"{sorted(set(request.inputs) - set(signature.inputs))}. Missing but "
                f"required: {sorted(set(signature.inputs) - set(request.inputs))}.",
            )
        inputs = {}
        for key, tensor in request.inputs.items():
            expected = signature.inputs[key].dtype
            if tensor.dtype != expected:
                raise Status(
                    "INVALID_ARGUMENT",
                    f"Expects {key} to be {tf.dtypes.as_dtype(expected).name} but "
                    f"{tf.dtypes.as_dtype(tensor.dtype).name} is provided",
                )
            inputs[key] = tf.make_ndarray(tensor)
        outputs = version.run(name, inputs)
        output_names = list(request.output_filter) or sorted(outputs)
        response = predict_pb2.PredictResponse()
        self._fill_spec(response.model_spec, request.model_spec, version, name)
        for key in output_names:
            if key not in outputs:
                raise Status(
                    "INVALID_ARGUMENT",
                    f"output tensor alias not found in signature: {key}",
                )
            response.outputs[key].CopyFrom(tf.make_tensor_proto(outputs[key]))
        return response

    def Classify(self, request, context):
        version, name, outputs = self._examples(request, CLASSIFY)
        response = classification_pb2.ClassificationResponse()
        self._fill_spec(response.model_spec, request.model_spec, version, name)
        rows = zip(outputs["classes"], outputs["scores"], strict=True)
        for labels, scores in rows:
            row = response.result.classifications.add()
            for label, score in zip(labels, scores, strict=True):
                row.classes.add(label=label, score=score)
        return response

    def Regress(self, request, context):
        version, name, outputs = self._examples(request, REGRESS)
        array = outputs["outputs"]
        if array.ndim != 1 and array.shape[1:] != (1,):
            raise Status(
                "INVALID_ARGUMENT",
                "Expected output Tensor shape to be either [batch_size] or "
                f"[batch_size, 1] but got {array.shape}",
            )
        response = regression_pb2.RegressionResponse()
        self._fill_spec(response.model_spec, request.model_spec, version, name)
        for value in array.ravel():
            response.result.regressions.add(value=value)
        return response

    def _examples(self, request, method):
        version = self._version(request.model_spec)
        name, signature = version.signature(request.model_spec.signature_name)
        if signature.method_name != method:
            kind = {CLASSIFY: "classification", REGRESS: "regression"}[method]
            raise Status(
                "INVALID_ARGUMENT",
                f"Expected {kind} signature method_name to be {method}. Was: "
                f"{signature.method_name}",
            )
        if set(signature.inputs) != {"inputs"}:
            raise Status("INVALID_ARGUMENT", "Expected one input Tensor.")
        examples = request.input.example_list.examples
        if not examples:
            raise Status("INVALID_ARGUMENT", "Input is empty.")
        array = np.array([e.SerializeToString() for e in examples], object)
        return version, name, version.run(name, {"inputs": array})

    def GetModelMetadata(self, request, context):
        if list(request.metadata_field) != ["signature_def"]:
            raise Status(
                "INVALID_ARGUMENT",
                f"Metadata field {', '.join(request.metadata_field)} is not supported",
            )
        version = self._version(request.model_spec)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in version.meta_graph.signature_def.items():
            signatures.signature_def[name].CopyFrom(signature)
        packed = any_pb2.Any()
        packed.Pack(signatures)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        self._fill_spec(response.model_spec, request.model_spec, version)
        response.metadata["signature_def"].CopyFrom(packed)
        return response

    def GetModelStatus(self, request, context):
        name = request.model_spec.name
        model = self._models.get(name)
        if model is None or model.version is None:
            raise Status(
                "NOT_FOUND",
                f"Could not find any versions of model {name}",
            )
        response = get_model_status_pb2.GetModelStatusResponse()
        states = [(model.version.number, STATES.AVAILABLE)]
        states += [(number, STATES.END) for number in model.ended]
        for number, state in states:
            response.model_version_status.add(version=number, state=state)
        return response

    def _fill_spec(self, spec, request_spec, version, name=""):
        spec.name = request_spec.name
        spec.version.value = version.number
        spec.signature_name = name


class Rest(http.server.BaseHTTPRequestHandler):
    """The real server's REST interface, which translates JSON to and from gRPC.

    Source: TF Serving's documentation, "RESTful API".
    """

    service = None

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            name, verb = re.fullmatch(r"/v1/models/(\w+):(\w+)", self.path).groups()
            content, status = getattr(self, verb)(name, body), 200
        except Status as error:
            content, status = {"error": str(error)}, 400
        except tf.errors.OpError as error:
            content, status = {"error": error.message}, 400
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def predict(self, name, body):
        request = predict_pb2.PredictRequest()
        self._set_spec(request, name, body)
        rows = body["instances"]
        for key in rows[0]:
            try:
                array = np.array([row[key] for row in rows], np.int64)
            except ValueError as error:
                raise Status(
                    "INVALID_ARGUMENT", f"JSON Value: {rows} not formatted correctly"
                ) from error
            request.inputs[key].CopyFrom(tf.make_tensor_proto(array))
        response = self.service.Predict(request, None)
        outputs = {k: tf.make_ndarray(t).tolist() for k, t in response.outputs.items()}
        if len(outputs) == 1:
            return {"predictions": next(iter(outputs.values()))}
        rows = zip(*outputs.values(), strict=True)
        return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}

    def classify(self, name, body):
        request = classification_pb2.ClassificationRequest()
        result = self.service.Classify(self._examples(request, name, body), None).result
        return {
            "results": [
                [[c.label, c.score] for c in row.classes]
                for row in result.classifications
            ]
        }

    def regress(self, name, body):
        request = regression_pb2.RegressionRequest()
        result = self.service.Regress(self._examples(request, name, body), None).result
        return {"results": [row.value for row in result.regressions]}

    def _examples(self, request, name, body):
        self._set_spec(request, name, body)
        for row in body["examples"]:
            example = request.input.example_list.examples.add()
            for key, value in row.items():
                values = value if isinstance(value, list) else [value]
                example.features.feature[key].int64_list.value.extend(values)
        return request

    def _set_spec(self, request, name, body):
        request.model_spec.name = name
        request.model_spec.signature_name = body.get("signature_name", "")

    def log_message(self, *args):
        pass


class _Statuses(grpc.ServerInterceptor):
    """Turns exceptions into gRPC statuses."""

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        if handler is None:
            return None

        def handle(request, context):
            try:
                return handler.unary_unary(request, context)
            except Status as error:
                context.abort(error.code, str(error))
            except tf.errors.OpError as error:
                context.abort(CODES[error.error_code], error.message)

        return grpc.unary_unary_rpc_method_handler(
            handle, handler.request_deserializer, handler.response_serializer
        )


def _models(arguments):
    batching = None
    if arguments.enable_batching:
        batching = Batching.read(arguments.batching_parameters_file)
    if not arguments.model_config_file:
        return [Model(arguments.model_name, arguments.model_base_path, batching)]
    text = Path(arguments.model_config_file).read_text(encoding="utf-8")
    models = re.findall(r'name: "([^"]*)"\s+base_path: "([^"]*)"', text)
    return [Model(name, path, batching) for name, path in models]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rest_api_port", type=int)
    parser.add_argument("--model_name", default="default")
    parser.add_argument("--model_base_path")
    parser.add_argument("--model_config_file")
    parser.add_argument("--enable_batching", action="store_true")
    parser.add_argument("--batching_parameters_file")
    parser.add_argument("--file_system_poll_wait_seconds", type=float, default=1)
    arguments = parser.parse_args()
    models = _models(arguments)
    server = grpc.server(
        ThreadPoolExecutor(32),
        interceptors=[_Statuses()],
        options=[
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
    )
    service = ModelServer(models)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, server)
    port = server.add_insecure_port(f"127.0.0.1:{arguments.port}")
    server.start()
    if arguments.rest_api_port is not None:
        Rest.service = service
        address = ("127.0.0.1", arguments.rest_api_port)
        rest = http.server.ThreadingHTTPServer(address, Rest)
        threading.Thread(target=rest.serve_forever, daemon=True).start()
    print(port, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(arguments.file_system_poll_wait_seconds)
            for model in models:
                model.poll()


if __name__ == "__main__":
    main()
