"""Fixtures that several tests share: models, their SavedModels and a model server."""

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

import object2vec_tf as o2v
from export import export_saved_model
from tests.command_server import python_m

FAKE_SERVER = "tests.export.model_server"
# The path of a real TF Serving binary, to be used instead of the fake server.
REAL_SERVER = os.environ.get("TENSORFLOW_MODEL_SERVER")
NETWORKS = ("pooled_embedding", "hcnn", "bilstm")
OUTPUTS = ("softmax", "mean_squared_error")
# Encoders and output layers of the models that the model server serves.
SERVED = (*((network, "softmax") for network in NETWORKS), (NETWORKS[0], OUTPUTS[1]))
TIMEOUT = 180  # seconds until a test fails because something hangs

SETTINGS = {
    "enc0_max_seq_len": 6,
    "enc0_vocab_size": 50,
    "enc1_max_seq_len": 4,
    "enc1_vocab_size": 30,
    "enc_dim": 8,
    "mlp_dim": 5,
    "mlp_layers": 1,
    "mlp_activation": "tanh",
    "num_classes": 3,
}


def make_model(
    network="pooled_embedding", output="softmax", seed=4, auxiliary=None, **more
):
    """Returns an untrained model with non-zero biases, so that padding would matter."""
    settings = SETTINGS | {"enc0_network": network, "enc1_network": network}
    if network != "pooled_embedding":
        for side in (0, 1):
            settings[f"enc{side}_token_embedding_dim"] = 4
            settings[f"enc{side}_layers"] = 2 if network == "hcnn" else 1
    settings |= {"output_layer": output, **more}
    hyperparameters = o2v.Hyperparameters(**settings)
    tokenizers = o2v.read_tokenizers(hyperparameters, auxiliary)
    model = o2v.Object2Vec(hyperparameters, seed=seed, tokenizers=tokenizers)
    generator = np.random.default_rng(1)
    for variable in model.trainable_variables:
        if len(variable.shape) == 1 or variable.shape[0] in (30, 50):
            variable.assign(generator.normal(size=variable.shape))
    return model


def ragged(rows):
    return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


@dataclasses.dataclass
class Exported:
    """A model, and the directory with its exported version 1."""

    name: str
    model: o2v.Object2Vec
    directory: Path
    _graphs: dict = dataclasses.field(default_factory=dict)

    @property
    def path(self):
        return self.directory / "1"

    def expected(self, rows):
        """Returns the Keras model's predictions for rows of token ids by input name."""
        limits = {"in0": 6, "in1": 4}
        inputs = {
            name: ragged([row[: limits[name]] for row in ids])
            for name, ids in rows.items()
        }
        if len(inputs) == 2:
            return self._call(self.model, inputs)
        ((name, ids),) = inputs.items()
        return self._call(self.model.enc0 if name == "in0" else self.model.enc1, ids)

    def _call(self, network, inputs):
        # In a graph, as in predict(): TensorFlow fuses a layer's product, bias and
        # activation there, and rounds once; the eager model rounds three times.
        if network.name not in self._graphs:
            self._graphs[network.name] = tf.function(
                lambda x: network(x, training=False), reduce_retracing=True
            )
        return self._graphs[network.name](inputs).numpy()


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Returns a function from an encoder and an output layer to an exported model."""
    models = {}

    def get(network="pooled_embedding", output="softmax"):
        name = f"{network}-{output}"
        if name not in models:
            model = make_model(network, output)
            directory = tmp_path_factory.mktemp("models") / name
            export_saved_model(model, directory)
            models[name] = Exported(name, model, directory)
        return models[name]

    return get


@pytest.fixture(scope="session")
def recommending(tmp_path_factory):
    """A model of text for two classes that recommends 100 items with labels, with k=20.

    Items 90 to 99 are equal to items 0 to 9.
    """
    root = tmp_path_factory.mktemp("recommending")
    words = ["a", "man", "sleeps", "dog", "[UNK]"]
    (root / "vocab").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    settings = {"tokenizer": "whitespace", "vocab_file": "vocab"}
    model = make_model(
        num_classes=2,
        auxiliary=root,
        **{f"enc{i}_{name}": value for i in (0, 1) for name, value in settings.items()},
    )
    ids = [[i % 30, i // 30][: 1 + i % 2] for i in range(90)] + [[i] for i in range(10)]
    ids[91::2] = [[i % 30, 0] for i in range(1, 10, 2)]
    items = [{"in1": row, "n": i} for i, row in enumerate(ids)]
    items[60]["in1"], ids[60] = "a dog xyz a", [0, 3, 4, 0]
    items[61]["in1"], ids[61] = ["man", "man"], [1, 1]
    text = "".join(f"{json.dumps(item)}\n" for item in items)
    (root / "items.jsonl").write_text(text.replace("\n", "\n\n", 1))  # a blank line
    (root / "labels").write_text("".join(f"\u00e9 {i}\n" for i in range(100)))
    files = {"items": root / "items.jsonl", "labels": root / "labels"}
    # The tokens of the texts of items 60 and 61.
    with pytest.warns(UserWarning, match="in1: 1 of 6 tokens are unknown$"):
        export_saved_model(model, root / "m", k=20, **files)
    return Recommending(Exported("recommending", model, root / "m"), items, ids)


@dataclasses.dataclass
class Recommending:
    """An exported model that recommends, and its items."""

    exported: Exported
    items: list
    item_ids: list

    def best(self, in0, exclude, k=20):
        """Returns positions and cosines by numpy's stable sort."""
        queries = self.exported.expected({"in0": in0})
        items = self.exported.expected({"in1": self.item_ids})
        queries, items = (
            (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float64)
            for x in (queries, items)
        )
        scores = np.round(queries @ items.T, 6)  # so that equal items are equal here
        for row, positions in zip(scores, exclude, strict=True):
            row[positions] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return order, np.take_along_axis(scores, order, 1)


class Server:
    """A server process and its address."""

    def __init__(self, process, address):
        self.process = process
        self.address = address

    def stop(self):
        self.process.terminate()
        self.process.wait(TIMEOUT)


class ModelServer(Server):
    """TF Serving, or the fake server."""

    def __init__(self, process, address, rest_address):
        super().__init__(process, address)
        self.rest_address = rest_address
        self._channel = grpc.insecure_channel(address)
        predict = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        status = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self.prediction = predict
        self.status = status

    def await_model(self, name):
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        deadline = time.monotonic() + TIMEOUT
        while True:
            with contextlib.suppress(grpc.RpcError):
                response = self.status.GetModelStatus(
                    request, wait_for_ready=True, timeout=1
                )
                if any(v.state == 30 for v in response.model_version_status):
                    return
            assert time.monotonic() < deadline, f"{name} is not available in time"
            assert self.process.poll() is None, "the model server has ended"
            time.sleep(0.05)

    def predict(self, model, signature, **inputs):
        """Returns the outputs by name."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        for name, rows in inputs.items():
            array = np.array(rows, None if isinstance(rows, np.ndarray) else np.int64)
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        response = self.prediction.Predict(request, timeout=TIMEOUT)
        return {k: tf.make_ndarray(tensor) for k, tensor in response.outputs.items()}

    def stop(self):
        self._channel.close()
        super().stop()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def first_line(process):
    """Returns the first line of a process's stdout, without waiting for its end."""
    killer = threading.Timer(TIMEOUT, process.kill)
    killer.start()
    line = process.stdout.readline()
    killer.cancel()
    return line


@contextlib.contextmanager
def start_model_server(models, directory, batching="", port=0):
    """Starts a model server.

    Args:
        models: The models' base paths, by name.
        directory: The directory for its configuration and log.
        batching: The content of its batching parameters file.
        port: The gRPC port; 0 takes a free one.
    """
    config = "".join(
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }}'
        for name, path in models.items()
    )
    (directory / "models").write_text(f"model_config_list {{ {config} }}")
    port = port or (free_port() if REAL_SERVER else 0)
    command = [REAL_SERVER] if REAL_SERVER else python_m(FAKE_SERVER)
    rest_port = free_port()
    command += [f"--port={port}", f"--rest_api_port={rest_port}"]
    command += [f"--model_config_file={directory / 'models'}"]
    if batching:
        (directory / "batching").write_text(batching)
        command += ["--enable_batching"]
        command += [f"--batching_parameters_file={directory / 'batching'}"]
    if not REAL_SERVER:  # the real server takes whole seconds only
        command += ["--file_system_poll_wait_seconds=0.2"]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdout=log if REAL_SERVER else subprocess.PIPE,
            stderr=log,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )
    try:
        if not REAL_SERVER:
            port = int(first_line(process) or port)
        server = ModelServer(process, f"127.0.0.1:{port}", f"127.0.0.1:{rest_port}")
        try:
            for name in models:
                server.await_model(name)
            yield server
        finally:
            server.stop()
    except BaseException:
        print((directory / "log").read_text())
        raise
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.fixture(scope="session")
def model_server(exported, recommending, tmp_path_factory):
    """A server with a model for every encoder and output layer."""
    models = [exported(network, output) for network, output in SERVED]
    models.append(recommending.exported)
    paths = {model.name: model.directory for model in models}
    with start_model_server(paths, tmp_path_factory.mktemp("server")) as server:
        yield server
