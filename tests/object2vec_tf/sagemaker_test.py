"""Tests of the sagemaker command on a directory laid out like a job's."""

import gzip
import io
import json
import os
import subprocess
import urllib.request
import zipfile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from tests.command_server import python_m
from tests.export.conftest import TIMEOUT, first_line

SETTINGS = {
    "_kvstore": "device",
    "_num_gpus": "auto",
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": "1",
    "enc0_vocab_size": "10",
    "enc_dim": "4",
    "epochs": "1",
    "mlp_dim": "4",
}

MODEL_FILES = {
    "export",
    "history.jsonl",
    "hyperparameters.json",
    "metrics.json",
    "model.keras",
    "report.html",
    "report.md",
}


@pytest.fixture
def prefix(tmp_path):
    (tmp_path / "input/config").mkdir(parents=True)
    (tmp_path / "input/data/train").mkdir(parents=True)
    settings = tmp_path / "input/config/hyperparameters.json"
    settings.write_text(json.dumps(SETTINGS))
    pairs = tmp_path / "input/data/train/part-0.jsonl"
    pairs.write_text('{"in0": [1], "in1": [2], "label": 1}\n' * 40)
    return tmp_path


def names(directory):
    return {entry.name for entry in directory.iterdir()}


def train(prefix):
    return subprocess.run(
        [
            *python_m("object2vec_tf.sagemaker"),
            "train",
            f"--prefix={prefix}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def serving(prefix, port):
    return subprocess.Popen(
        [
            *python_m("object2vec_tf.sagemaker"),
            "serve",
            f"--prefix={prefix}",
            "--host=127.0.0.1",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"SAGEMAKER_BIND_TO_PORT": port},
    )


def test_the_model_of_a_job_is_served(prefix):
    # The content of files without a suffix decides how they are read.
    line = b'{"in0": [1], "in1": [2], "label": 1}\n'
    (prefix / "input/data/train/part-1").write_bytes(gzip.compress(line * 5))
    table = pa.table({"in0": [[1]] * 3, "in1": [[2]] * 3, "label": [1] * 3})
    pq.write_table(table, prefix / "input/data/train/part-2")
    done = train(prefix)
    assert (done.returncode, done.stderr) == (0, "")
    assert "#quality_metric: host=algo-1, epoch=0, train cross_entropy <loss>=" in (
        done.stdout
    )
    # Not the path of the run directory, which is deleted.
    assert f"exported to {prefix}/model/export/1\n" in done.stdout
    assert f"report: {prefix}/model/report.html\n" in done.stdout
    assert names(prefix / "model") == MODEL_FILES
    assert names(prefix / "model/export") == {"1"}
    assert (prefix / "model/export/1/saved_model.pb").is_file()
    metrics = json.loads((prefix / "model/metrics.json").read_text())
    assert metrics["rows"] == {"train": 40 + 5 + 3}
    assert metrics["stopped"] == "all epochs done"
    with zipfile.ZipFile(prefix / "model/model.keras") as file:
        weights = h5py.File(io.BytesIO(file.read("model.weights.h5")))
    assert "optimizer" not in weights
    assert names(prefix / "checkpoints") == {
        *("lock", "run.json", "epoch-0001", "best-epoch-0000.keras")
    }
    assert not any(path.is_symlink() for path in (prefix / "checkpoints").rglob("*"))
    assert names(prefix) == {"cache", "checkpoints", "input", "model", "run"}
    assert names(prefix / "run") == set()
    with serving(prefix, "0") as server:
        try:
            port = first_line(server).rsplit(":", 1)[1]
            root = f"http://127.0.0.1:{int(port)}"
            assert urllib.request.urlopen(f"{root}/ping").status == 200
            request = urllib.request.Request(
                f"{root}/invocations",
                b'{"in0": [1], "in1": [2]}\n{"in0": [9], "in1": []}',
                {"Content-Type": "application/jsonlines"},
            )
            lines = urllib.request.urlopen(request).read().splitlines()
            server.terminate()
            assert server.wait(TIMEOUT) == 0
            assert server.stdout.read() == ""
        finally:
            server.kill()
    rows = RaggedInputs.from_rows({"in0": [[1], [9]], "in1": [[2], []]})
    expected = load_model(prefix / "model")(rows)
    scores = [json.loads(line)["scores"] for line in lines]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_an_invalid_port_is_reported(prefix):
    with serving(prefix, "http") as server:
        assert server.wait(TIMEOUT) == 2
        assert server.stderr.read().startswith("error: SAGEMAKER_BIND_TO_PORT: exp")


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("input/data/train/part-0.jsonl", '{"in0": [1]}\n', "part-0.jsonl:1: label"),
        ("input/config/hyperparameters.json", "{}", "enc0_vocab_size"),
        (
            "input/config/inputdataconfig.json",
            '{"train": {"TrainingInputMode": "Pipe"}}',
            "expected input mode File, got Pipe",
        ),
        (
            "input/config/inputdataconfig.json",
            '{"dev": {}}',
            "channel dev: expected one",
        ),
        (
            "input/config/resourceconfig.json",
            '{"hosts": ["a", "b"], "current_host": "c"}',
            "current_host: expected one of hosts, ['a', 'b'], got 'c'",
        ),
        ("input/config/resourceconfig.json", "[1]", "expected a JSON object as SageM"),
        ("input/config/resourceconfig.json", '{"hosts": 5}', "hosts: expected a list"),
    ],
)
def test_a_failure_is_written_to_the_file_that_sagemaker_reads(
    prefix, path, text, message
):
    (prefix / path).write_text(text)
    done = train(prefix)
    assert done.returncode == 2
    reason = (prefix / "output/failure").read_text()
    assert message in reason
    assert done.stderr == f"error: {reason}\n"
