"""Tests of remote paths on S3: an HTTP server of moto on loopback, read with s3fs."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import keras
import numpy as np
import pytest

import object2vec_tf as o2v

pytestmark = pytest.mark.long
TIMEOUT = 300  # seconds
# Settings of a run that takes some seconds, and that early stopping does not end.
LONG = {"epochs": 20, "mini_batch_size": 4, "learning_rate": 1e-4}


@pytest.fixture(scope="module")
def server():
    """The URL of an S3 server."""
    for package in ("s3fs", "flask"):
        pytest.importorskip(package)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(server, tmp_path):
    """A client of an empty bucket, and what a command needs to reach it."""
    boto3 = pytest.importorskip("boto3")
    environment = os.environ | {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "OBJECT2VEC_TF_STAGING": str(tmp_path / "staging"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    client = boto3.client(
        "s3",
        endpoint_url=server,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket="bucket")
    yield types.SimpleNamespace(
        client=client, environment=environment, staging=tmp_path / "staging"
    )
    delete_bucket(client)


def delete_bucket(client):
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="bucket"):
        for item in page.get("Contents", []):
            client.delete_object(Bucket="bucket", Key=item["Key"])
    client.delete_bucket(Bucket="bucket")


def names(s3, prefix=""):
    pages = s3.client.get_paginator("list_objects_v2").paginate(
        Bucket="bucket", Prefix=prefix
    )
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def read(s3, key):
    return s3.client.get_object(Bucket="bucket", Key=key)["Body"].read()


def put(s3, key, text):
    s3.client.put_object(Bucket="bucket", Key=key, Body=text.encode())


def start(s3, tmp_path, module, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=s3.environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(s3, tmp_path, module, *arguments, status=0):
    """Returns the output of a command, which must write no local file."""
    process = start(s3, tmp_path, module, *arguments)
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == status, out + err
    assert not (tmp_path / "s3:").exists()
    return out if status == 0 else err


def fit_flags(settings, rows):
    return [f"--{name}={value}" for name, value in (settings | rows).items()]


@pytest.fixture
def data(s3, ratings):
    """The channels in the bucket, the training channel in two files."""
    pairs = ratings["train"].read_text().splitlines(keepends=True)
    for number in range(2):
        put(s3, f"train/part-{number}.jsonl", "".join(pairs[number::2]))
    put(s3, "train/_SUCCESS", "")
    put(s3, "validation.jsonl", ratings["validation"].read_text())
    put(s3, "items.jsonl", "".join(f'{{"in1": [{i}]}}\n' for i in range(30)))
    put(s3, "names.txt", "".join(f"item {i}\n" for i in range(30)))
    return s3


def weights(model):
    return [np.asarray(weight) for weight in model.weights]


def local_weights(tmp_path, ratings, settings):
    """The weights of a local run with the same data in the same order."""
    pairs = ratings["train"].read_text().splitlines(keepends=True)
    train = tmp_path / "local.jsonl"
    train.write_text("".join(pairs[0::2] + pairs[1::2]))
    result = o2v.fit(
        settings,
        train=train,
        validation=ratings["validation"],
        model_dir=tmp_path / "local_run",
        verbose=False,
    )
    return weights(keras.models.load_model(result.model_dir / "model.keras"))


def remote_weights(s3, tmp_path):
    path = tmp_path / "downloaded.keras"
    path.write_bytes(read(s3, "run/model.keras"))
    return weights(keras.models.load_model(path))


CHANNELS = ("--train=s3://bucket/train", "--validation=s3://bucket/validation.jsonl")
RUN = "--model_dir=s3://bucket/run"


@pytest.mark.parametrize("staging_is_lost", [False, True])
def test_a_killed_run_resumes_to_the_same_weights(
    data, tmp_path, ratings, settings, staging_is_lost
):
    flags = fit_flags(settings, LONG)
    process = start(data, tmp_path, "object2vec_tf.fit", *CHANNELS, RUN, *flags)
    deadline = time.monotonic() + TIMEOUT
    third = "run/checkpoints/epoch-0003"
    while max(names(data, "run/checkpoints/epoch-"), default="") < third:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert "run/metrics.json" not in names(data)
    if staging_is_lost:
        shutil.rmtree(data.staging)
    output = run(data, tmp_path, "object2vec_tf.fit", *CHANNELS, RUN, *flags)
    assert "resumed after epoch" in output
    assert "s3://bucket/run" in output
    assert str(data.staging) not in output
    metrics = json.loads(read(data, "run/metrics.json"))
    assert metrics["epochs_run"] == 20
    assert len(read(data, "run/history.jsonl").splitlines()) == 20
    expected = local_weights(tmp_path, ratings, settings | LONG)
    for ours, theirs in zip(remote_weights(data, tmp_path), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_sigterm_uploads_a_checkpoint(data, tmp_path, settings):
    flags = fit_flags(settings, LONG)
    process = start(data, tmp_path, "object2vec_tf.fit", *CHANNELS, RUN, *flags)
    deadline = time.monotonic() + TIMEOUT
    while not names(data, "run/checkpoints/epoch-"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    assert "The same command resumes the run" in out
    metrics = json.loads(read(data, "run/metrics.json"))
    assert metrics["resumable"]
    states = [n for n in names(data, "run/checkpoints/") if n.endswith("state.json")]
    newest = json.loads(read(data, max(states)))
    assert len(newest["history"]) == metrics["epochs_run"]


def test_every_command_takes_remote_paths(data, tmp_path, settings):
    flags = fit_flags(settings, {"epochs": 2})
    put(data, "hyperparameters.json", json.dumps({"mini_batch_size": "16"}))
    run(
        *(data, tmp_path, "object2vec_tf.fit", *CHANNELS, RUN, *flags),
        *("--items=s3://bucket/items.jsonl", "--labels=s3://bucket/names.txt"),
        *("--retrieval_pool=s3://bucket/items.jsonl",),
        *("--hyperparameters=s3://bucket/hyperparameters.json",),
        *("--test=s3://bucket/valid*.jsonl", "--export_dir=s3://bucket/exports"),
    )
    metrics = json.loads(read(data, "run/metrics.json"))
    assert metrics["rows"] == {"train": 300, "validation": 70, "test": 70}
    assert "hits@10" in metrics["validation"]
    assert b"item 7" in read(data, "run/report.html")
    assert "exports/1/saved_model.pb" in names(data)
    output = run(
        *(data, tmp_path, "export", RUN, "--export_dir=s3://bucket/exports"),
        *("--items=s3://bucket/items.jsonl", "--labels=s3://bucket/names.txt"),
    )
    assert output.splitlines()[-1] == "s3://bucket/exports/2"
    assert "exports/2/saved_model.pb" in names(data)

    model = "--model=s3://bucket/exports"
    transform = (data, tmp_path, "object2vec_tf.transform", model)
    run(*transform, "--input=s3://bucket/validation.jsonl")
    scores = read(data, "validation.jsonl.out").splitlines()
    assert len(scores) == 70
    directory = ("--input=s3://bucket/train", "--output=s3://bucket/answers/")
    assert "2 files" in run(*transform, *directory)
    assert "2 already complete" in run(*transform, *directory)
    answers = [read(data, f"answers/part-{i}.jsonl.out").splitlines() for i in (0, 1)]
    assert [len(rows) for rows in answers] == [150, 150]

    neighbors = (data, tmp_path, "object2vec_tf.neighbors")
    index = "--index=s3://bucket/index"
    items = "--input=s3://bucket/items.jsonl"
    names_flag = "--labels=s3://bucket/names.txt"
    output = run(*neighbors, "build", model, items, index, names_flag)
    assert output == "s3://bucket/index: 30 items\n"
    put(data, "new.jsonl", '{"in1": [3]}\n')
    put(data, "new.txt", "again\n")
    new = ("--input=s3://bucket/new.jsonl", "--labels=s3://bucket/new.txt")
    assert "1 skipped" in run(*neighbors, "add", index, *new)
    put(data, "queries.jsonl", '{"in1": [3]}\n')
    query = ("query", index, "--input=s3://bucket/queries.jsonl", "--k=1")
    (found,) = run(*neighbors, *query).splitlines()
    assert json.loads(found)["neighbors"][0]["label"] == "item 3"
    run(*neighbors, *query, "--output=s3://bucket/found.jsonl")
    assert read(data, "found.jsonl").decode().splitlines() == [found]

    warm = ("--initial_model=s3://bucket/run", "--model_dir=s3://bucket/warm")
    run(data, tmp_path, "object2vec_tf.fit", *CHANNELS, *warm, *flags)
    initial = json.loads(read(data, "warm/metrics.json"))["initial_model"]
    assert initial["path"] == "s3://bucket/run"
    assert initial["enc0_rows"] == {"taken": 20, "new": 0}


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "endpoint"),
    ],
)
def test_services_that_cannot_be_used_are_user_errors(
    data, tmp_path, settings, break_it, reason
):
    data.environment |= break_it | {"AWS_EC2_METADATA_DISABLED": "true"}
    data.environment |= {"AWS_MAX_ATTEMPTS": "1", "HOME": str(tmp_path)}
    flags = fit_flags(settings, {"epochs": 1})
    error = run(data, tmp_path, "object2vec_tf.fit", *CHANNELS, RUN, *flags, status=2)
    assert len(error.splitlines()) == 1
    assert error.startswith("error: ")
    assert reason in error


def test_a_missing_bucket_is_a_user_error(data, tmp_path, settings, ratings):
    flags = fit_flags(settings, {"epochs": 1, "train": ratings["train"]})
    error = run(
        *(data, tmp_path, "object2vec_tf.fit", "--model_dir=s3://nosuch/run", *flags),
        status=2,
    )
    assert error.startswith("error: s3://nosuch/run: cannot be ")
    assert len(error.splitlines()) == 1


def test_a_bucket_that_disappears_loses_no_run(data, tmp_path, settings, ratings):
    flags = fit_flags(
        settings,
        LONG | {"train": ratings["train"]},
    )
    process = start(data, tmp_path, "object2vec_tf.fit", RUN, *flags)
    deadline = time.monotonic() + TIMEOUT
    while not names(data, "run/checkpoints/epoch-"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    while True:
        try:
            delete_bucket(data.client)
            break
        except data.client.exceptions.ClientError:
            assert time.monotonic() < deadline
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 2, out + err
    assert "No file is lost: they are in" in err.splitlines()[-1]
    home = err.partition("No file is lost: they are in ")[2].partition(",")[0]
    assert (Path(home) / "run/metrics.json").exists()
    data.client.create_bucket(Bucket="bucket")
    output = run(data, tmp_path, "object2vec_tf.fit", RUN, *flags)
    assert "this run is finished" in output
    assert json.loads(read(data, "run/metrics.json"))["epochs_run"] == 20
