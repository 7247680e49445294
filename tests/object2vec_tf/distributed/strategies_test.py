"""Several devices and several workers, against one; each in processes of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from object2vec_tf.distributed.strategies import SingleDevice, choose_strategy
from object2vec_tf.errors import UserError
from tests.object2vec_tf.commands.signals_test import assert_same_end
from tests.object2vec_tf.distributed.cluster_test import free_ports
from tests.object2vec_tf.distributed.replicas_program import CASES, trained

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = [sys.executable, "-m", "tests.object2vec_tf.distributed.replicas_program"]
# Dropout's random numbers are each replica's own.
ALIKE = [case for case in CASES if case != "dropout"]


def started(lines):
    """Starts a command for each worker."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(lines))]
    processes = []
    for index, line in enumerate(lines):
        task = {"type": "worker", "index": index}
        config = {"cluster": {"worker": addresses}, "task": task}
        processes.append(
            subprocess.Popen(
                line,
                cwd=ROOT,
                env=os.environ | {"TF_CONFIG": json.dumps(config)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return processes


def ended(processes):
    """What the processes end with: status, stdout and stderr of each."""
    told = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=600)
            told.append((process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
    return told


def by_workers(count, output, *cases):
    for status, _, err in ended(
        started([[*PROGRAM, "multi_worker", str(output), *cases]] * count)
    ):
        assert status == 0, err
    return np.load(output)


def by_devices(count, output, *cases):
    line = [*PROGRAM, f"mirrored:{count}", str(output), *cases]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
    return np.load(output)


def assert_as_one(told, cases):
    """Metrics and all replicas' weights are those of one device, but for rounding."""
    for case in cases:
        for name, expected in trained(case, SingleDevice()).items():
            place = f"{case}: {name}"
            # RMSprop divides by the root of a mean square, which makes rounding larger.
            atol = 2e-5 if CASES[case].get("optimizer") == "rmsprop" else 1e-6
            np.testing.assert_allclose(
                told[place], expected, rtol=2e-5, atol=atol, err_msg=place
            )
            other = place.replace("replica 0", "replica 1")
            if other in told.files:
                np.testing.assert_array_equal(told[other], told[place])


def test_two_workers_learn_what_one_does(tmp_path):
    assert_as_one(by_workers(2, tmp_path / "two.npz", "negatives"), ["negatives"])


def test_mirrored_devices_learn_what_one_does(tmp_path):
    assert_as_one(by_devices(2, tmp_path / "two.npz", "tied"), ["tied"])


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 3])
def test_workers_and_devices_learn_what_one_does(count, tmp_path):
    assert_as_one(by_workers(count, tmp_path / "workers.npz", *ALIKE), ALIKE)
    assert_as_one(by_devices(count, tmp_path / "devices.npz", *ALIKE), ALIKE)


@pytest.mark.long
def test_as_many_workers_repeat_dropout(tmp_path):
    first, second = (
        by_workers(2, tmp_path / f"{name}.npz", "dropout") for name in "ab"
    )
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])


def command(settings, ratings, run, *more):
    return [
        sys.executable,
        "-m",
        "object2vec_tf.fit",
        f"--model_dir={run}",
        *(f"--{name}={path}" for name, path in ratings.items()),
        *(f"--{name}={value}" for name, value in settings.items()),
        *more,
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    ("lost", "sent", "status"),
    [(1, signal.SIGKILL, 2), (0, signal.SIGKILL, 2), (1, signal.SIGTERM, 0)],
)
def test_a_job_of_which_a_worker_ends_goes_on_to_the_same_end(
    lost, sent, status, settings, ratings, tmp_path
):
    settings = settings | {
        "epochs": 60,
        "early_stopping_patience": 5,
        "early_stopping_tolerance": 1e-6,
        "dropout": 0.3,
        "mini_batch_size": 8,
        "token_embedding_storage_type": "row_sparse",
    }
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for code, _, err in ended(started([command(settings, ratings, whole)] * 2)):
        assert code == 0, err
    line = command(settings, ratings, cut, "--checkpoint_seconds=1")
    processes = started([line] * 2)
    for text in processes[0].stdout:
        if text.startswith("epoch 3/"):
            break
    processes[lost].send_signal(sent)
    told = ended(processes)

    code, _, err = told[1 - lost]
    assert code == status, err
    if sent == signal.SIGKILL:
        assert f"error: worker {lost} (127.0.0.1:" in err
        assert "Start all workers again with the same command" in err
        assert "Traceback" not in err
    else:
        assert told[lost][0] == 0, told[lost][2]
        assert json.loads((cut / "metrics.json").read_text())["resumable"] is True
    for code, _, err in ended(started([line] * 2)):
        assert code == 0, err
    assert_same_end(whole, cut)
    shutil.rmtree(cut)


@pytest.mark.long
def test_workers_at_work_on_different_runs_are_told(settings, ratings, tmp_path):
    run = tmp_path / "run"
    lines = [command(settings, ratings, run, f"--seed={seed}") for seed in (0, 1)]
    (status, _, err), (other_status, _, other_err) = ended(started(lines))
    assert (status, other_status) == (2, 2)
    assert "error: worker 1 (127.0.0.1:" in err
    assert "seed: 0 of worker 0 (127.0.0.1:" in other_err
    assert "give all workers the same flags" in other_err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("several", "expected one of auto, one, mirrored, multi_worker"),
        ("multi_worker", "multi_worker needs TF_CONFIG"),
        ("mirrored", "mirrored needs two devices of a kind"),
    ],
)
def test_a_strategy_that_cannot_be_is_told(name, message, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match=message):
        choose_strategy(name)


def test_one_device_or_one_worker_is_one(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert type(choose_strategy("auto")) is SingleDevice
    assert type(choose_strategy("one")) is SingleDevice
    config = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert type(choose_strategy("auto", gpus=0)) is SingleDevice
    assert type(choose_strategy("multi_worker")) is SingleDevice
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(UserError, match="TF_CONFIG"):
        choose_strategy("auto")
    assert type(choose_strategy("one")) is SingleDevice
