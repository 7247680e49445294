"""Runs with sharded tables in several processes, which end, resume and change."""

import json
import shutil
import signal
import time
import warnings

import numpy as np
import pytest

import object2vec_tf as o2v
from tests.object2vec_tf.distributed.strategies_test import (
    command,
    start_workers,
    wait_for,
)

pytestmark = pytest.mark.long

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 23,
    "enc0_max_seq_len": 3,
    "enc_dim": 4,
    "mlp_dim": 4,
    "epochs": 2,
    "mini_batch_size": 32,
    "token_embedding_storage_type": "row_sparse",
    "optimizer": "adam",
    "learning_rate": 0.01,
    "early_stopping_patience": 5,
}
# Writing a checkpoint of these tables takes a while.
LARGE = SETTINGS | {"enc0_vocab_size": 200_000, "enc_dim": 64}
KILL_SECONDS = 500


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(1)
    files = {}
    for name, count in {"train": 300, "validation": 50, "test": 50}.items():
        lines = [
            json.dumps({"in0": in0, "in1": in1, "label": sum(in0) % 2})
            for in0, in1 in random.integers(0, 23, (count, 2, 3)).tolist()
        ]
        files[name] = tmp_path / f"{name}.jsonl"
        files[name].write_text("\n".join(lines) + "\n")
    return files


def line(data, run, settings=SETTINGS, **changes):
    return command(settings | changes, data, run, "--table_placement=sharded")


def train(workers, *arguments, **changes):
    """Runs a job to its end; returns what its chief printed."""
    lines = [line(*arguments, **changes)] * workers
    results = wait_for(start_workers(lines))
    for code, _, err in results:
        assert code == 0, err
    return results[0][1]


def answers(run):
    model = o2v.load(run)
    ids = [[i, 22 - i] for i in range(23)]
    return [model.embed(ids), model.score({"in0": ids, "in1": ids})]


def test_workers_resume_with_the_same_weights_and_share_the_tables_again(
    data, tmp_path
):
    whole, cut, two = (tmp_path / name for name in ("whole", "cut", "two"))
    train(3, data, whole)
    train(3, data, cut, epochs=1)
    shutil.copytree(cut, two)
    assert "resumed after epoch 1" in train(3, data, cut)
    for resumed, expected in zip(answers(cut), answers(whole), strict=True):
        np.testing.assert_array_equal(resumed, expected)
    train(2, data, two)
    train(3, data, two, epochs=3)
    train(3, data, whole, epochs=3)
    for resumed, expected in zip(answers(two), answers(whole), strict=True):
        np.testing.assert_allclose(resumed, expected, rtol=1e-4, atol=1e-6)


def wait_until(processes, condition):
    """Waits for a condition while all processes are running."""
    start = time.monotonic()
    while not condition():
        if any(process.poll() is not None for process in processes):
            pytest.fail(f"a worker ended: {wait_for(processes)}")
        assert time.monotonic() - start < KILL_SECONDS
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("lost", "moment", "sent"),
    [
        (0, "writing", signal.SIGKILL),
        (1, "writing", signal.SIGKILL),
        (2, "training", signal.SIGKILL),
        (1, "training", signal.SIGTERM),
    ],
)
def test_a_job_whose_worker_ends_resumes(data, lost, moment, sent, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(3, data, whole, LARGE)
    processes = start_workers([line(data, cut, LARGE)] * 3)
    pattern = {"writing": ".epoch-0002*/*.npy", "training": "epoch-0001"}[moment]
    wait_until(processes, lambda: list(cut.glob(f"checkpoints/{pattern}")))
    processes[lost].send_signal(sent)
    results = wait_for(processes)
    for worker in {0, 1, 2} - {lost}:
        code, _, err = results[worker]
        assert code == (2 if sent == signal.SIGKILL else 0), err
        assert "Traceback" not in err
        if sent == signal.SIGKILL:
            assert err.count("error: ") == 1
            assert f"error: worker {lost} (127.0.0.1:" in err
    if moment == "writing":
        names = {path.name for path in cut.glob("checkpoints/epoch-*")}
        assert names == {"epoch-0001"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "resumed after " in train(3, data, cut, LARGE)
    for resumed, expected in zip(answers(cut), answers(whole), strict=True):
        np.testing.assert_array_equal(resumed, expected)
    assert not list(cut.glob("checkpoints/.epoch-*"))
    shutil.rmtree(tmp_path)


def test_workers_without_a_shared_directory_are_rejected(data, tmp_path):
    lines = [line(data, tmp_path / name) for name in ("one", "two")]
    for code, _, err in wait_for(start_workers(lines)):
        assert code == 2
        assert "expected a directory that all workers share" in err
