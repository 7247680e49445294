import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import keras
import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.commands.signals import catch_sigterm
from tests.command_server import python_m


def weights(model_dir):
    model = keras.models.load_model(model_dir / "model.keras")
    return [variable.numpy() for variable in model.variables]


def assert_same_result(run, other):
    for x, y in zip(weights(run), weights(other), strict=True):
        np.testing.assert_array_equal(x, y)
    histories = [
        [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]
        for path in (run, other)
    ]
    for x, y in zip(*histories, strict=True):
        assert x["train"] == y["train"]
        assert x.get("validation") == y.get("validation")


class Terminate(keras.callbacks.Callback):
    """Sends a SIGTERM to this process, once, in the given epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch, self.sent, self.now = epoch, False, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch and not self.sent:
            self.sent = True
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("epoch", "more"),
    [
        (0, {"weight_decay": 0.01, "optimizer": "rowwise_adagrad"}),
        pytest.param(
            2, {"token_embedding_storage_type": "row_sparse"}, marks=pytest.mark.long
        ),
    ],
)
def test_a_run_stopped_in_an_epoch_resumes_to_the_same_result(
    settings, ratings, tmp_path, epoch, more
):
    hyperparameters = o2v.Hyperparameters(
        **settings | {"dropout": 0.3, "mini_batch_size": 16} | more
    )
    uninterrupted, resumed = tmp_path / "uninterrupted", tmp_path / "resumed"
    o2v.fit(hyperparameters, **ratings, model_dir=uninterrupted)
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(o2v.Interrupted, match=f"batch 1 of epoch {epoch + 1}"):
        o2v.fit(
            hyperparameters, **ratings, model_dir=resumed, callbacks=[Terminate(epoch)]
        )

    assert signal.getsignal(signal.SIGTERM) == before
    metrics = json.loads((resumed / "metrics.json").read_text())
    assert metrics["stopped"] == "resumable"
    assert metrics["resumable"] is True
    assert metrics["epochs_run"] == epoch
    run = o2v.fit(hyperparameters, **ratings, model_dir=resumed)
    assert run.metrics["stopped"] == "all epochs done"
    assert json.loads((resumed / "metrics.json").read_text()) == run.metrics
    assert_same_result(uninterrupted, resumed)


def test_a_resumed_run_must_have_the_same_settings(settings, ratings, tmp_path):
    with pytest.raises(o2v.Interrupted):
        o2v.fit(settings, **ratings, model_dir=tmp_path, callbacks=[Terminate(1)])
    difference = "enc_dim: 8 in the directory, 16 now"
    with pytest.raises(o2v.RunDirectoryError, match=difference):
        o2v.fit(settings | {"enc_dim": 16}, **ratings, model_dir=tmp_path)


def test_a_second_sigterm_reaches_the_previous_handler():
    signals = []
    before = signal.signal(signal.SIGTERM, lambda *_: signals.append(True))
    try:
        with catch_sigterm() as request:
            assert not request.asked
            os.kill(os.getpid(), signal.SIGTERM)
            assert request.asked
            assert not signals
            os.kill(os.getpid(), signal.SIGTERM)
            assert signals
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.long
def test_a_run_stopped_while_it_reads_starts_again(settings, ratings, tmp_path):
    """The channel is a pipe, so that the signal arrives while it is read."""
    pipe, run = tmp_path / "pipe.jsonl", tmp_path / "run"
    os.mkfifo(pipe)
    content = ratings["train"].read_bytes()
    block = content * (20_000_000 // len(content))

    def feed():
        with pipe.open("wb", buffering=0) as file:
            file.write(block)
            os.kill(os.getpid(), signal.SIGTERM)
            with suppress(BrokenPipeError):
                file.write(block)

    feeder = threading.Thread(target=feed)
    feeder.start()
    with pytest.raises(o2v.Interrupted, match="stopped while reading data"):
        o2v.fit(settings, train=pipe, model_dir=run)
    feeder.join()

    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["stopped"], metrics["resumable"]) == ("resumable", True)
    assert not list((run / "cache").glob("*"))
    again = o2v.fit(settings, train=ratings["train"], model_dir=run)
    assert again.metrics["stopped"] == "all epochs done"
    assert json.loads((run / "metrics.json").read_text()) == again.metrics


PAIRS = 40_000


@pytest.fixture
def command(tmp_path):
    """Flags of a run that trains for half a minute or more, without --model_dir."""
    generator = np.random.default_rng(0)
    lines = [
        json.dumps({"in0": [int(a)], "in1": [int(b), int(a)], "label": int(a + b) % 5})
        for a, b in generator.integers(0, 50, (PAIRS, 2))
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    settings = {
        "enc0_network": "pooled_embedding", "enc0_vocab_size": 50, "epochs": 6,
        "enc0_max_seq_len": 2, "enc_dim": 128, "mlp_dim": 128, "mini_batch_size": 32,
        "num_classes": 5, "dropout": 0.2, "negative_sampling_rate": 0,
        "token_embedding_storage_type": "row_sparse",
    }  # fmt: skip
    return [
        "--checkpoint_seconds=1",
        f"--train={tmp_path}/train.jsonl",
        *(f"--{name}={value}" for name, value in settings.items()),
    ]  # fmt: skip


def test_the_command_reports_sigterm_and_exits_with_0(command, tmp_path):
    run = tmp_path / "run"
    module = python_m("object2vec_tf.fit")
    line = [*module, *command, f"--model_dir={run}", "--checkpoint_seconds=0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        first = next(text for text in process.stdout if text.startswith("epoch 1/"))
        assert "cross_entropy" in first
        process.send_signal(signal.SIGTERM)
        output = process.stdout.read()

    assert process.returncode == 0
    assert "stopped after " in output
    assert "The same command resumes the run" in output
    assert json.loads((run / "metrics.json").read_text())["resumable"] is True
    assert not (run / "export").exists()


@pytest.mark.long
def test_a_run_killed_at_20_random_moments_has_the_same_weights(command, tmp_path):
    uninterrupted, resumed = tmp_path / "uninterrupted", tmp_path / "resumed"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = time.monotonic()
    command = [sys.executable, "-m", "object2vec_tf.fit", *command]
    subprocess.run([*command, f"--model_dir={uninterrupted}"], check=True, **quiet)
    seconds = time.monotonic() - start
    moments = random.Random(0)
    line, kills, in_epochs = [*command, f"--model_dir={resumed}"], 0, 0

    while kills < 20:
        process = subprocess.Popen(line, **quiet)
        try:
            process.wait(moments.uniform(0.1, 0.5) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            in_epochs += any((resumed / "checkpoints").glob("epoch-*-batch-*"))
            if kills < 20:
                continue
            subprocess.run(line, check=True, **quiet)
        assert process.returncode in (0, -signal.SIGKILL)
        assert_same_result(uninterrupted, resumed)
        if kills < 20:  # it finished between two kills: start again
            subprocess.run(["rm", "-r", str(resumed)], check=True)
    assert in_epochs > 5
