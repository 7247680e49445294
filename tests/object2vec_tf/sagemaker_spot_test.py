"""Jobs that are stopped or killed, and continue on another machine.

A machine is a prefix: only the folder of the checkpoints is copied to the next one.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from object2vec_tf import Interrupted
from object2vec_tf.files.sealed_json import sealed_text
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.sagemaker import train
from tests.command_server import python_m
from tests.export.conftest import TIMEOUT, first_line

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": "3",
    "enc0_vocab_size": "30",
    "enc_dim": "8",
    "mlp_dim": "8",
    "mini_batch_size": "8",
    "dropout": "0.2",
    "epochs": "12",
    "early_stopping_patience": "5",
    "early_stopping_tolerance": "0.000001",
    "_tuning_objective_metric": "validation:accuracy",
}
COMMAND = [sys.executable, "-m", "object2vec_tf.sagemaker"]


def lines(count, seed):
    generator = random.Random(seed)
    for _ in range(count):
        in0, in1 = ([generator.randrange(30) for _ in range(3)] for _ in range(2))
        label = int(sum(in0) > sum(in1))
        yield json.dumps({"in0": in0, "in1": in1, "label": label}) + "\n"


def new_machine(prefix, checkpoints=None, **settings):
    """Makes the input of a job, and copies the checkpoints of another machine."""
    (prefix / "input/config").mkdir(parents=True)
    path = prefix / "input/config/hyperparameters.json"
    path.write_text(json.dumps(SETTINGS | settings))
    (prefix / "input/config/checkpointconfig.json").write_text(
        json.dumps({"LocalPath": "/opt/ml/state/here", "S3Uri": "s3://bucket/path"})
    )
    (prefix / "input/config/inputdataconfig.json").write_text(
        json.dumps({"train": {"ContentType": "application/jsonlines; charset=utf-8"}})
    )
    for seed, (channel, count) in enumerate({"train": 3000, "validation": 300}.items()):
        (prefix / "input/data" / channel).mkdir(parents=True)
        data = prefix / "input/data" / channel / "part"  # without a suffix
        data.write_text("".join(lines(count, seed)))
    if checkpoints:
        copy_files(checkpoints, prefix / "state/here")
    return prefix


def copy_files(source, destination):
    """Copies the files of a folder as S3 does: no links, modes or empty folders."""
    for path in source.rglob("*"):
        assert not path.is_symlink()
        if path.is_file():
            copy = destination / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())


def start(prefix):
    return subprocess.Popen(
        [*COMMAND, "train", f"--prefix={prefix}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def until_epoch(process, epoch):
    for line in process.stdout:
        if line.startswith(f"epoch {epoch}/"):
            return
    raise AssertionError(process.stderr.read())


def finish(process):
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    return out, err


def weights(prefix):
    model = keras.models.load_model(prefix / "model/model.keras", compile=False)
    return model.get_weights()


def assert_same_weights(a, b):
    for x, y in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(x, y)


def history(prefix):
    text = (prefix / "model/history.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def names(directory):
    return {entry.name for entry in directory.iterdir()}


STOPPED_FILES = {
    "export",
    "history.jsonl",
    "hyperparameters.json",
    "metrics.json",
    "model.keras",
}
FINISHED_FILES = STOPPED_FILES | {"report.html", "report.md"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A job that nothing interrupted."""
    prefix = new_machine(tmp_path_factory.mktemp("whole"))
    finish(start(prefix))
    return prefix


@pytest.mark.long
def test_a_stopped_job_has_a_model_and_continues_on_another_machine(whole, tmp_path):
    first = new_machine(tmp_path / "first")
    process = start(first)
    until_epoch(process, 3)
    process.send_signal(signal.SIGTERM)
    out, err = finish(process)
    assert "The same command resumes the run." in out
    assert err == ""
    assert names(first / "model") == STOPPED_FILES
    assert not (first / "output/failure").exists()
    metrics = json.loads((first / "model/metrics.json").read_text())
    assert metrics["resumable"] is True
    done = metrics["epochs_run"]
    assert 3 <= done < 12
    # The best epoch so far, as the records of the uninterrupted run say.
    records = history(whole)[:done]
    losses = [record["validation"]["cross_entropy"] for record in records]
    assert metrics["best_epoch"] == int(np.argmin(losses))
    assert metrics["validation"]["cross_entropy"] == min(losses)
    check_serving(first / "model/export/1")

    second = new_machine(tmp_path / "second", first / "state/here")
    shutil.rmtree(first)  # no path of the first machine may be needed
    out, _ = finish(start(second))
    assert "resumed after" in out
    assert names(second / "model") == FINISHED_FILES
    assert_same_weights(second, whole)
    for a, b in zip(history(second), history(whole), strict=True):
        assert (a["train"], a["validation"]) == (b["train"], b["validation"])

    # A finished job that is started again publishes the same model.
    third = new_machine(tmp_path / "third", second / "state/here")
    finish(start(third))
    assert names(third / "model") == FINISHED_FILES
    assert_same_weights(third, whole)
    serve_and_ask(third)
    shutil.rmtree(third / "model/export")  # then model.keras is served
    serve_and_ask(third, SAGEMAKER_MODEL_SERVER_WORKERS="2")


def check_serving(path):
    """Checks a SavedModel by the requests with known responses that it contains."""
    model = load_model(path)
    for line in (path / "assets.extra/golden.jsonl").read_text().splitlines():
        request = json.loads(line)
        (expected,) = request["outputs"].values()
        actual = model(RaggedInputs.from_rows(request["inputs"]))
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def serve_and_ask(prefix, **variables):
    """Serves a job's model, and asks AWS's client for scores and embeddings."""
    boto3 = pytest.importorskip("boto3")
    line = [*python_m("object2vec_tf.sagemaker"), "serve", f"--prefix={prefix}"]
    with subprocess.Popen(
        [*line, "--host=127.0.0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"SAGEMAKER_BIND_TO_PORT": "0"} | variables,
    ) as server:
        try:
            port = int(first_line(server).rsplit(":", 1)[1])
            client = boto3.client(
                "sagemaker-runtime",
                endpoint_url=f"http://127.0.0.1:{port}",
                region_name="us-east-1",
                aws_access_key_id="none",
                aws_secret_access_key="none",
            )
            check_responses(client, weights(prefix))
            server.terminate()
            assert server.wait(TIMEOUT) == 0
        finally:
            server.kill()


def ask(client, body, content_type, **headers):
    response = client.invoke_endpoint(
        EndpointName="o2v", Body=body, ContentType=content_type, **headers
    )
    return response["Body"].read().decode(), response["ContentType"]


def check_rows(answers, rows, embeddings):
    assert len(answers) == len(rows)
    for answer, row, embedding in zip(answers, rows, embeddings, strict=True):
        if "in1" in row:
            assert len(answer["scores"]) == 2
            assert sum(answer["scores"]) == pytest.approx(1, abs=1e-5)
        else:
            np.testing.assert_allclose(answer["embeddings"], embedding, rtol=1e-5)


def check_responses(client, model_weights):
    """Compares an embedding, the mean of two token vectors, with numpy."""
    table = next(w for w in model_weights if w.shape == (30, 8))
    expected = [table[[3, 7]].mean(axis=0), table[29]]
    objects = [{"in0": [3, 7]}, {"in0": [29]}]
    pairs = [{**row, "in1": [4]} for row in objects]
    for content_type in (
        "application/json",
        "Application/JSON; charset=UTF-8",
        "application/json; infer_max_seqlens=3,2",
    ):
        for rows in (objects, pairs):
            text, kind = ask(client, json.dumps({"instances": rows}), content_type)
            assert kind.startswith("application/json")
            check_rows(json.loads(text)["predictions"], rows, expected)
    for content_type in (
        "application/jsonlines",
        "application/jsonlines;charset=utf-8",
    ):
        for rows in (objects, pairs):
            body = "\n".join(map(json.dumps, rows))
            text, kind = ask(client, body, content_type)
            assert kind.startswith("application/jsonlines")
            check_rows(list(map(json.loads, text.splitlines())), rows, expected)
            text, _ = ask(client, body, content_type, Accept="application/json")
            check_rows(json.loads(text)["predictions"], rows, expected)
    with pytest.raises(client.exceptions.ClientError) as error:
        ask(client, "3,7", "text/csv")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 415


@pytest.mark.long
def test_a_job_that_is_killed_twice_continues_from_what_was_copied(whole, tmp_path):
    first = new_machine(tmp_path / "first")
    process = start(first)
    until_epoch(process, 3)
    process.kill()
    process.communicate()
    assert not (first / "model").exists()

    # The newest checkpoint was copied in part, together with a temporary file, and the
    # copy still has a checkpoint whose best model is gone.
    second = new_machine(tmp_path / "second", first / "state/here")
    folder = second / "state/here"
    newest = sorted(folder.glob("epoch-*"))[-1]
    stale = folder / "epoch-0099"
    shutil.copytree(newest, stale)
    state = json.loads((stale / "state.json").read_text())
    changed = {"history": [{"epoch": n} for n in range(99)], "best_epoch": 98}
    (stale / "state.json").write_text(sealed_text(state | changed))
    (newest / "state.json").unlink()
    (folder / ".epoch-0002.abc").mkdir()
    (folder / ".epoch-0002.abc/state.json").write_text("{")
    (folder / ".best-epoch-0003.abc.keras").write_text("PK")
    process = start(second)
    until_epoch(process, 7)
    process.kill()
    _, err = process.communicate()
    assert f"{newest.name}: checkpoint skipped: state.json is missing" in err
    assert "epoch-0099: checkpoint skipped: best-epoch-0098.keras, the model of" in err

    third = new_machine(tmp_path / "third", folder)
    out, err = finish(start(third))
    assert "resumed after" in out
    assert err == ""
    assert not list((third / "state/here").glob(".*"))
    assert names(third / "model") == FINISHED_FILES
    assert_same_weights(third, whole)


def send_sigterm(*_, **__):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.long
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("object2vec_tf.training.preparation.read_pairs", "stopped while reading data"),
        ("object2vec_tf.training.trainer.evaluate", "stopped in the evaluation of epo"),
        ("object2vec_tf.training.results.baselines", "while the best epoch was meas"),
    ],
)
def test_a_job_stopped_outside_of_training_continues(
    place, message, tmp_path, monkeypatch
):
    """The signal arrives when a function is called, in the second of two starts."""
    prefix = new_machine(tmp_path / "job", epochs="2")
    monkeypatch.setattr("object2vec_tf.training.loop.EVALUATION_BATCH", 100)
    monkeypatch.setattr("object2vec_tf.training.results.write_report", None)
    module, _, name = place.rpartition(".")
    function = getattr(sys.modules[module], name)
    calls = []

    def signaled(*args, **kwargs):
        calls.append(args)
        if name != "evaluate" or len(calls) == 2:
            send_sigterm()
        return function(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(place, signaled)
        with pytest.raises(Interrupted, match=message) as interrupted:
            train(prefix)
    if name == "read_pairs":
        assert "no model yet, since training has not started" in str(interrupted.value)
        assert names(prefix / "model") == {"metrics.json"}
    else:
        assert names(prefix / "model") == STOPPED_FILES
        assert len(history(prefix)) == (1 if name == "evaluate" else 2)
        check_serving(prefix / "model/export/1")
    monkeypatch.undo()
    train(prefix)
    assert names(prefix / "model") == FINISHED_FILES
    assert names(prefix / "model/export") == {"1"}
    whole = new_machine(tmp_path / "whole", epochs="2")
    train(whole)
    assert_same_weights(prefix, whole)


@pytest.mark.long
def test_a_stop_in_the_export_comes_too_late(tmp_path, monkeypatch):
    prefix = new_machine(tmp_path / "job", epochs="1")
    monkeypatch.setattr("export.saved_model.replay", send_sigterm)
    train(prefix)
    assert names(prefix / "model") == FINISHED_FILES
    metrics = json.loads((prefix / "model/metrics.json").read_text())
    assert metrics["stopped"] == "all epochs done"


@pytest.mark.long
def test_a_job_stopped_in_its_first_epoch_has_the_model_in_training(
    tmp_path, monkeypatch
):
    prefix = new_machine(tmp_path / "job")

    def metrics(self):
        send_sigterm()
        return {"loss": 0.0}

    with monkeypatch.context() as patch:
        patch.setattr("object2vec_tf.distributed.replicas.Replicas.metrics", metrics)
        with pytest.raises(Interrupted, match="stopped after batch 1 of epoch 1"):
            train(prefix)
    assert names(prefix / "model") == STOPPED_FILES - {"history.jsonl"}
    check_serving(prefix / "model/export/1")


@pytest.mark.long
def test_other_settings_need_another_folder_of_checkpoints(tmp_path):
    first = new_machine(tmp_path / "first", epochs="1")
    train(first)
    second = new_machine(tmp_path / "second", first / "state/here", enc_dim="4")
    process = start(second)
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 2
    assert "enc_dim: 8 in the directory, 4 now" in err
    assert "give another S3Uri to start again" in err
    assert (second / "output/failure").read_text() in err
    assert not (second / "model").exists()
