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


def weights(model_dir):
    model = keras.models.load_model(model_dir / "model.keras")
    return [variable.numpy() for variable in model.variables]


def assert_same_end(run, other):
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
        (0, {"weight_decay": 0.01, "optimizer": "adagrad"}),
        (2, {"token_embedding_storage_type": "row_sparse"}),
    ],
)
def test_a_run_stopped_in_an_epoch_goes_on_to_the_same_end(
    settings, ratings, tmp_path, epoch, more
):
    hyperparameters = o2v.Hyperparameters(
        **settings | {"dropout": 0.3, "mini_batch_size": 16} | more
    )
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    o2v.fit(hyperparameters, **ratings, model_dir=whole)
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(o2v.Interrupted, match=f"batch 1 of epoch {epoch + 1}"):
        o2v.fit(hyperparameters, **ratings, model_dir=cut, callbacks=[Terminate(epoch)])

    assert signal.getsignal(signal.SIGTERM) == before
    told = json.loads((cut / "metrics.json").read_text())
    assert told["stopped"] == "resumable"
    assert told["resumable"] is True
    assert told["epochs_run"] == epoch
    run = o2v.fit(hyperparameters, **ratings, model_dir=cut)
    assert run.metrics["stopped"] == "all epochs done"
    assert json.loads((cut / "metrics.json").read_text()) == run.metrics
    assert_same_end(whole, cut)


def test_what_goes_on_is_still_the_same_run(settings, ratings, tmp_path):
    with pytest.raises(o2v.Interrupted):
        o2v.fit(settings, **ratings, model_dir=tmp_path, callbacks=[Terminate(1)])
    difference = "enc_dim: 8 in the directory, 16 now"
    with pytest.raises(o2v.RunDirectoryError, match=difference):
        o2v.fit(settings | {"enc_dim": 16}, **ratings, model_dir=tmp_path)


def test_a_second_sigterm_is_obeyed():
    obeyed = []
    before = signal.signal(signal.SIGTERM, lambda *_: obeyed.append(True))
    try:
        with catch_sigterm() as noted:
            assert not noted.asked
            os.kill(os.getpid(), signal.SIGTERM)
            assert noted.asked
            assert not obeyed
            os.kill(os.getpid(), signal.SIGTERM)
            assert obeyed
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_run_stopped_while_it_reads_starts_again(settings, ratings, tmp_path):
    """The channel is a pipe, so that the signal comes while it is read, surely."""
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

    feeding = threading.Thread(target=feed)
    feeding.start()
    with pytest.raises(o2v.Interrupted, match="stopped while reading data"):
        o2v.fit(settings, train=pipe, model_dir=run)
    feeding.join()

    told = json.loads((run / "metrics.json").read_text())
    assert (told["stopped"], told["resumable"]) == ("resumable", True)
    assert not list((run / "cache").glob("*"))
    again = o2v.fit(settings, train=ratings["train"], model_dir=run)
    assert again.metrics["stopped"] == "all epochs done"
    assert json.loads((run / "metrics.json").read_text()) == again.metrics


PAIRS = 40_000


@pytest.fixture
def command(tmp_path):
    """The command of a run of half a minute or more; it lacks --model_dir."""
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
        sys.executable, "-m", "object2vec_tf.fit", "--checkpoint_seconds=1",
        f"--train={tmp_path}/train.jsonl",
        *(f"--{name}={value}" for name, value in settings.items()),
    ]  # fmt: skip


def test_the_command_stopped_by_sigterm_exits_with_0_and_says_so(command, tmp_path):
    run = tmp_path / "run"
    line = [*command, f"--model_dir={run}", "--checkpoint_seconds=0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        first = next(text for text in process.stdout if text.startswith("epoch 1/"))
        assert "cross_entropy" in first
        process.send_signal(signal.SIGTERM)
        told = process.stdout.read()

    assert process.returncode == 0
    assert "stopped after " in told
    assert "The same command resumes the run" in told
    assert json.loads((run / "metrics.json").read_text())["resumable"] is True
    assert not (run / "export").exists()


@pytest.mark.long
def test_a_run_killed_at_20_random_moments_ends_with_the_same_weights(
    command, tmp_path
):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = time.monotonic()
    subprocess.run([*command, f"--model_dir={whole}"], check=True, **quiet)
    seconds = time.monotonic() - start
    moments = random.Random(0)
    line, kills, in_epochs = [*command, f"--model_dir={cut}"], 0, 0

    while kills < 20:
        process = subprocess.Popen(line, **quiet)
        try:
            process.wait(moments.uniform(0.1, 0.5) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            in_epochs += any((cut / "checkpoints").glob("epoch-*-batch-*"))
            if kills < 20:
                continue
            subprocess.run(line, check=True, **quiet)
        assert process.returncode in (0, -signal.SIGKILL)
        assert_same_end(whole, cut)
        if kills < 20:  # it came to its end between two kills: once more
            subprocess.run(["rm", "-r", str(cut)], check=True)
    assert in_epochs > 5
