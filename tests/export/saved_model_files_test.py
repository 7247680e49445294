"""The files of an export, and exports that fail."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow_serving.apis import prediction_log_pb2

import export.saved_model
import object2vec_tf as o2v
from export import export_saved_model
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs, input_limits
from object2vec_tf.inference.warmup_requests import SIGNATURE_INPUTS, warm_up_requests
from tests.command_server import python_m
from tests.export.conftest import NETWORKS, OUTPUTS, SERVED, TIMEOUT, make_model

EXTRA = "assets.extra"


def read_logs(path):
    file = path / EXTRA / "tf_serving_warmup_requests"
    return [
        prediction_log_pb2.PredictionLog.FromString(record)
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    ]


@pytest.mark.parametrize("output", OUTPUTS)
def test_warm_up_has_every_signature_over_batches_and_lengths(exported, output):
    model = exported("pooled_embedding", output)
    shapes = {}
    for log in read_logs(model.path):
        kind = log.WhichOneof("log_type")
        request = getattr(log, kind).request
        seen = shapes.setdefault((kind, request.model_spec.signature_name), set())
        if kind == "predict_log":
            for tensor in request.inputs.values():
                seen.add(tuple(d.size for d in tensor.tensor_shape.dim))
        else:
            for example in (examples := request.input.example_list.examples):
                ids = example.features.feature["in0"].int64_list.value
                seen.add((len(examples), len(ids)))
    twin = (
        ("classify_log", "classify_pair")
        if output == "softmax"
        else ("regress_log", "regress_pair")
    )
    signatures = {name for _, name in shapes}
    assert signatures == {*SIGNATURE_INPUTS, "describe", twin[1]}
    # Rows have one column of padding in front; the maximum lengths are 6 and 4.
    batches = (1, 8, 64)
    assert shapes["predict_log", "embed_enc0"] == {
        (b, n) for b in batches for n in (2, 7)
    }
    assert shapes["predict_log", "embed_enc1"] == {
        (b, n) for b in batches for n in (2, 5)
    }
    assert shapes[twin] == {(b, n) for b in batches for n in (1, 6)}


@pytest.mark.parametrize(("network", "output"), SERVED)
def test_a_server_runs_every_warm_up_request(network, output, exported, model_server):
    model = exported(network, output)
    methods = {
        "predict_log": model_server.prediction.Predict,
        "classify_log": model_server.prediction.Classify,
        "regress_log": model_server.prediction.Regress,
    }
    logs = read_logs(model.path)
    assert len(logs) == 25
    for log in logs:
        kind = log.WhichOneof("log_type")
        request = getattr(log, kind).request
        request.model_spec.name = model.name
        response = methods[kind](request, timeout=TIMEOUT)
        assert response.model_spec.version.value == 1


def test_warm_up_of_long_rows_uses_small_batches():
    hyperparameters = o2v.Hyperparameters(
        enc0_network="hcnn",
        enc0_vocab_size=3,
        enc0_max_seq_len=5000,
        enc1_network="hcnn",
        enc1_vocab_size=3,
        enc1_max_seq_len=100,
    )

    def shapes(name):
        requests = warm_up_requests(hyperparameters, ("in0", "in1"))
        columns = [inputs.columns[name] for inputs in requests]
        assert all(column.values.min() >= 0 for column in columns)
        assert all(column.values.max() < 3 for column in columns)
        return [(len(c), int(c.lengths.min()), int(c.lengths.max())) for c in columns]

    batches = [(1, 1), (1, 8), (1, 64), (1, 512), (8, 1), (8, 8), (8, 64)]
    batches += [(64, 1), (64, 8)]
    assert shapes("in0") == [(rows, n, n) for rows, n in batches]
    assert shapes("in1") == [(rows, min(n, 100), min(n, 100)) for rows, n in batches]


def test_golden_requests_and_settings_are_extra_assets(exported, tmp_path):
    model = exported("pooled_embedding", "mean_squared_error")
    path = export_saved_model(model.model, tmp_path, metrics={"test": {"mse": 0.5}})
    extra = path / EXTRA
    assert sorted(p.name for p in extra.iterdir()) == [
        "digests.json",
        "golden.jsonl",
        "hyperparameters.json",
        "metrics.json",
        "tf_serving_warmup_requests",
    ]
    assert json.loads((extra / "metrics.json").read_text()) == {"test": {"mse": 0.5}}
    hyperparameters = json.loads((extra / "hyperparameters.json").read_text())
    assert hyperparameters == model.model.hyperparameters.to_dict()
    assert (
        hyperparameters["enc1_vocab_size"]
        == input_limits(model.model.hyperparameters)["in1"][0]
    )
    lines = (extra / "golden.jsonl").read_text().splitlines()
    seen = set()
    for golden in map(json.loads, lines):
        ((_, values),) = golden["outputs"].items()
        expected = model.expected(golden["inputs"])
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
        seen.add(golden["signature"])
    assert seen == {"embed_enc0", "embed_enc1", "predict_pair"}


@pytest.mark.long
def test_concurrent_exports_get_versions_of_their_own(tmp_path):
    models = [make_model(seed=seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        paths = list(pool.map(lambda m: export_saved_model(m, tmp_path), models))
    assert sorted(p.name for p in paths) == ["1", "2", "3"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [*"123"]
    for path, model in zip(paths, models, strict=True):
        signatures = tf.saved_model.load(str(path)).signatures
        predictions = signatures["embed_enc0"](in0=tf.constant([[3]], tf.int64))
        expected = model.enc0(tf.ragged.constant([[3]], tf.int64))
        np.testing.assert_array_equal(predictions["embeddings"], expected)


@pytest.mark.long
def test_two_processes_export_to_one_directory(exported, tmp_path):
    exported("pooled_embedding").model.save(tmp_path / "model.keras")
    (tmp_path / "export").mkdir()
    command = [*python_m("export"), f"--model_dir={tmp_path}"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate(timeout=TIMEOUT)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    versions = [tmp_path / "export" / name for name in "12"]
    assert sorted(outputs) == [f"{path}\n".encode() for path in versions]
    assert sorted((tmp_path / "export").iterdir()) == versions
    files = [{p.relative_to(v) for p in v.rglob("*")} for v in versions]
    assert files[0] == files[1]
    for version in versions:
        predictions = load_model(version)(RaggedInputs.from_rows({"in0": [[1, 2]]}))
        expected = exported("pooled_embedding").expected({"in0": [[1, 2]]})
        np.testing.assert_array_equal(predictions, expected)


def test_a_damaged_saved_model_does_not_become_a_version(tmp_path, monkeypatch):
    model = make_model()
    first = export_saved_model(model, tmp_path)
    before = sorted(tmp_path.rglob("*"))

    def write_and_damage(model, directory, *rest):
        write(model, directory, *rest)
        data = directory / "variables/variables.data-00000-of-00001"
        content = bytearray(data.read_bytes())
        content[100:116] = np.full(4, 9.5, np.float32).tobytes()  # four weights
        data.write_bytes(content)

    write = export.saved_model._write_requests
    monkeypatch.setattr(export.saved_model, "_write_requests", write_and_damage)
    with pytest.raises((RuntimeError, tf.errors.OpError)):
        export_saved_model(model, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert first.name == "1"


def test_a_graph_with_other_predictions_does_not_become_a_version(
    tmp_path, monkeypatch
):
    model, other = make_model(), make_model(seed=5)
    golden = export.golden._golden_request
    monkeypatch.setattr(
        export.golden, "_golden_request", lambda _, name: golden(other, name)
    )
    with pytest.raises(
        RuntimeError, match="predict_pair: expected the scores of the Keras model, got"
    ):
        export_saved_model(model, tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_nan_weights_do_not_become_a_version(tmp_path):
    model = make_model()
    first = export_saved_model(model, tmp_path)
    before = [(p, p.stat().st_mtime_ns) for p in sorted(tmp_path.rglob("*"))]
    model.trainable_variables[-1].assign(np.full(3, np.nan))
    with pytest.raises(RuntimeError, match="scores that differ by nan"):
        export_saved_model(model, tmp_path)
    assert [(p, p.stat().st_mtime_ns) for p in sorted(tmp_path.rglob("*"))] == before
    assert {p.name for p in tmp_path.iterdir()} == {first.name}


@pytest.mark.parametrize("network", NETWORKS)
def test_the_graph_has_no_compiled_or_device_specific_ops(exported, network):
    text = (exported(network).path / "saved_model.pb").read_bytes()
    saved = saved_model_pb2.SavedModel.FromString(text)
    nodes, compiled, functions = [], [], set()
    for meta_graph in saved.meta_graphs:
        graph = meta_graph.graph_def
        nodes += graph.node
        for function in graph.library.function:
            functions.add(function.signature.name)
            nodes += function.node_def
            compiled.append(function.attr["_XlaMustCompile"].b)
    compiled += [node.attr["_XlaMustCompile"].b for node in nodes]
    assert not any(compiled)
    ops = {node.op for node in nodes} - functions
    assert "MatMul" in ops
    not_portable = re.compile("xla|cudnn|pyfunc|custom|mkl|tpu", re.IGNORECASE)
    assert not [op for op in ops if not_portable.search(op)]
    # The model server has only TensorFlow's own ops.
    assert not [op for op in ops if not op_def_registry.get(op)]
    assert not [node.name for node in nodes if "GPU" in node.device]


@pytest.mark.long
def test_it_loads_without_keras(exported):
    model = exported("bilstm")
    program = """
import sys
sys.modules["keras"] = None
import tensorflow as tf
embed = tf.saved_model.load(sys.argv[1]).signatures["embed_enc1"]
print(embed(in1=tf.constant([[-1, 5, 6]], tf.int64))["embeddings"].numpy().tolist())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(model.path)],
        capture_output=True,
        text=True,
        check=True,
    )
    predictions = json.loads(done.stdout)
    np.testing.assert_allclose(
        predictions, model.expected({"in1": [[5, 6]]}), rtol=1e-6
    )


def test_the_command_writes_onnx_graphs(exported, tmp_path):
    model = exported("pooled_embedding")
    model.model.save(tmp_path / "model.keras")
    done = subprocess.run(
        [*python_m("export"), f"--model_dir={tmp_path}", "--format=onnx"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'onnx' / '1'}\n"
    predictions = load_model(tmp_path, "onnx")(
        RaggedInputs.from_rows({"in0": [[1, 2]]})
    )
    expected = model.expected({"in0": [[1, 2]]})
    np.testing.assert_allclose(predictions, expected, rtol=1e-5, atol=1e-6)
