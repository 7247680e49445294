"""Several devices and workers against a single device, each in separate processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.distributed.selection import choose_batch_layout, choose_strategy
from object2vec_tf.distributed.strategies import MirroredDevices, SingleDevice
from object2vec_tf.errors import UserError
from object2vec_tf.model.loading import load
from object2vec_tf.model.object2vec import Object2Vec
from tests.command_server import python_m
from tests.object2vec_tf.commands.signals_test import assert_same_result
from tests.object2vec_tf.distributed.cluster_test import free_ports
from tests.object2vec_tf.distributed.replicas_program import CASES, train_case

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = "tests.object2vec_tf.distributed.replicas_program"
# Each replica has random numbers of its own for dropout.
EQUAL_CASES = [case for case in CASES if case != "dropout"]
# In the static layout, also for pooled encoders.
STATIC_CASES = [case for case in EQUAL_CASES if case != "pooled_dropout"]
# Each replica encodes its own pairs, so pooled encoders have dropout of their own too.
SHARDED_CASES = STATIC_CASES


def start_workers(lines):
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


def wait_for(processes):
    """Returns exit status, stdout and stderr of each process."""
    results = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=600)
            results.append((process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
    return results


def train_by_workers(count, output, *cases, option=""):
    line = [*python_m(PROGRAM), f"multi_worker{option}", str(output), *cases]
    for status, _, err in wait_for(start_workers([line] * count)):
        assert status == 0, err
    return np.load(output)


def train_by_devices(strategy, output, *cases):
    line = [*python_m(PROGRAM), strategy, str(output), *cases]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
    return np.load(output)


def assert_equals_one_device(results, cases):
    """Metrics and all replicas' weights equal those of one device, but for rounding."""
    for case in cases:
        for name, expected in train_case(case, SingleDevice()).items():
            key = f"{case}: {name}"
            # RMSprop divides by the root of a mean square, which makes rounding larger.
            atol = 2e-5 if CASES[case].get("optimizer") == "rmsprop" else 1e-6
            actual = results[key]
            if np.ndim(actual) and np.isnan(actual).any():  # other workers' rows
                is_own = ~np.isnan(actual[:, 0])
                assert is_own[::2].all() or is_own[::3].all()
                actual, expected = actual[is_own], expected[is_own]
            np.testing.assert_allclose(
                actual, expected, rtol=2e-5, atol=atol, err_msg=key
            )
            other = key.replace("replica 0", "replica 1")
            if other in results.files:
                np.testing.assert_array_equal(results[other], results[key])


def test_two_workers_equal_one_device(tmp_path):
    assert_equals_one_device(
        train_by_workers(2, tmp_path / "two.npz", "few_negatives"), ["few_negatives"]
    )


@pytest.mark.long
def test_mirrored_devices_equal_one_device(tmp_path):
    assert_equals_one_device(
        train_by_devices("mirrored:2", tmp_path / "two.npz", "tied"), ["tied"]
    )


@pytest.mark.long
def test_sharded_tables_equal_whole_ones(tmp_path):
    cases = ["token_weights", "overflow"]
    assert_equals_one_device(
        train_by_devices("mirrored:3:sharded", tmp_path / "three.npz", *cases), cases
    )


@pytest.mark.long
def test_mirrored_devices_with_compiled_steps_equal_one_device(tmp_path):
    assert_equals_one_device(
        train_by_devices("mirrored:2:static", tmp_path / "two.npz", "small"), ["small"]
    )


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 3])
def test_workers_and_devices_equal_one_device(count, tmp_path):
    assert_equals_one_device(
        train_by_workers(count, tmp_path / "workers.npz", *EQUAL_CASES), EQUAL_CASES
    )
    assert_equals_one_device(
        train_by_devices(f"mirrored:{count}", tmp_path / "devices.npz", *EQUAL_CASES),
        EQUAL_CASES,
    )


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 3])
def test_workers_and_devices_with_sharded_tables_equal_one_device(count, tmp_path):
    assert_equals_one_device(
        train_by_workers(
            count, tmp_path / "workers.npz", *SHARDED_CASES, option=":sharded"
        ),
        SHARDED_CASES,
    )
    assert_equals_one_device(
        train_by_devices(
            f"mirrored:{count}:sharded", tmp_path / "devices.npz", *SHARDED_CASES
        ),
        SHARDED_CASES,
    )


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("case", STATIC_CASES)
def test_devices_with_compiled_steps_equal_one_device(case, count, tmp_path):
    assert_equals_one_device(
        train_by_devices(f"mirrored:{count}:static", tmp_path / "devices.npz", case),
        [case],
    )


@pytest.mark.long
def test_dropout_is_reproducible_with_the_same_number_of_workers(tmp_path):
    first, second = (
        train_by_workers(2, tmp_path / f"{name}.npz", "dropout") for name in "ab"
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
def test_job_resumes_after_a_worker_ends(
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
    for code, _, err in wait_for(
        start_workers([command(settings, ratings, whole)] * 2)
    ):
        assert code == 0, err
    line = command(settings, ratings, cut, "--checkpoint_seconds=1")
    processes = start_workers([line] * 2)
    for text in processes[0].stdout:
        if text.startswith("epoch 3/"):
            break
    processes[lost].send_signal(sent)
    results = wait_for(processes)

    code, _, err = results[1 - lost]
    assert code == status, err
    if sent == signal.SIGKILL:
        assert f"error: worker {lost} (127.0.0.1:" in err
        assert "Start all workers again with the same command" in err
        assert "Traceback" not in err
    else:
        assert results[lost][0] == 0, results[lost][2]
        assert json.loads((cut / "metrics.json").read_text())["resumable"] is True
    for code, _, err in wait_for(start_workers([line] * 2)):
        assert code == 0, err
    assert_same_result(whole, cut)
    shutil.rmtree(cut)


@pytest.mark.long
def test_two_workers_start_with_the_weights_of_a_model(settings, ratings, tmp_path):
    settings = settings | {"epochs": 2, "optimizer": "sgd"}
    earlier = Object2Vec(settings | {"enc1_vocab_size": 12}, seed=3)
    earlier.save(tmp_path / "earlier.keras")
    more = [f"--initial_model={tmp_path}/earlier.keras", "--freeze=enc0"]
    for name, workers in (("one", 1), ("two", 2)):
        line = command(settings, ratings, tmp_path / name, *more)
        for code, _, err in wait_for(start_workers([line] * workers)):
            assert code == 0, err
    one, two = (load(tmp_path / name) for name in ("one", "two"))
    np.testing.assert_array_equal(one.enc0.get_weights(), earlier.enc0.get_weights())
    np.testing.assert_array_equal(two.enc0.get_weights(), earlier.enc0.get_weights())
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.long
def test_workers_with_different_runs_report_the_differences(
    settings, ratings, tmp_path
):
    run = tmp_path / "run"
    lines = [command(settings, ratings, run, f"--seed={seed}") for seed in (0, 1)]
    (status, _, err), (other_status, _, other_err) = wait_for(start_workers(lines))
    assert (status, other_status) == (2, 2)
    assert "error: worker 1 (127.0.0.1:" in err
    assert "seed: 0 on worker 0 (127.0.0.1:" in other_err
    assert "Give all workers the same flags" in other_err


def text_files(directory):
    """Writes pairs of texts, a vocabulary, vectors and a pool; returns the flags."""
    words = [f"w{i}" for i in range(20)]
    pairs = [
        {"in0": f"w{i % 20} w{i % 7}", "in1": f"w{i % 20}", "label": i % 2}
        for i in range(60)
    ]
    more = [{"in0": f"w{i}", "in1": f"w{i + 1}", "label": i % 2} for i in range(9)]
    files = {
        "pairs.jsonl": "".join(json.dumps(pair) + "\n" for pair in pairs),
        "more.jsonl": "".join(json.dumps(pair) + "\n" for pair in more),
        "words.json": json.dumps({w: i for i, w in enumerate(["[UNK]", *words])}),
        "vectors.txt": "".join(f"{w} 1 2 3 4\n" for w in words),
        "pool.jsonl": "".join(json.dumps({"in1": w}) + "\n" for w in words),
    }
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    return [
        f"--train={directory}/pairs.jsonl",
        f"--validation={directory}/more.jsonl",
        f"--auxiliary={directory}/words.json,{directory}/vectors.txt",
        f"--retrieval_pool={directory}/pool.jsonl",
        "--enc0_network=pooled_embedding",
        "--enc0_max_seq_len=4",
        "--enc0_vocab_file=words.json",
        "--enc0_pretrained_embedding_file=vectors.txt",
        "--enc_dim=4",
        "--epochs=2",
    ]


def text_command(directory, run, *more):
    start = [sys.executable, "-m", "object2vec_tf.fit", f"--model_dir={run}"]
    return [*start, *text_files(directory), *more]


@pytest.mark.long
@pytest.mark.parametrize("tokenizer", ["whitespace", "id", "wordpiece"])
def test_two_workers_train_on_text_without_vocabulary_sizes(tokenizer, tmp_path):
    flag = f"--enc0_tokenizer={tokenizer}"
    histories = []
    for workers in (1, 2):
        run = tmp_path / f"{workers}"
        line = text_command(tmp_path, run, flag)
        for code, _, err in wait_for(start_workers([line] * workers)):
            assert code == 0, err
        lines = (run / "history.jsonl").read_bytes().splitlines()
        histories.append([json.loads(line) for line in lines])
    for one, two in zip(*histories, strict=True):
        for channel in ("train", "validation"):
            assert two[channel] == pytest.approx(one[channel], rel=1e-3)


@pytest.mark.long
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--epochs=many", "epochs: expected an integer"),  # before the run starts
        ("--nothing=1", "exit status 2"),  # a flag that cannot be parsed
        ("--retrieval_pool=missing", "retrieval_pool: missing: no such file"),
    ],
)
@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_one_worker_ends_the_other(failing, wrong, message, tmp_path):
    line = text_command(tmp_path, tmp_path / "run", "--enc0_tokenizer=whitespace")
    lines = [line, line]
    lines[failing] = [*lines[failing], wrong]
    start = time.monotonic()
    results = wait_for(start_workers(lines))
    assert time.monotonic() - start < 100
    assert [status for status, _, _ in results] == [2, 2]
    err = results[1 - failing][2]
    assert f"error: worker {failing} (127.0.0.1:" in err
    assert f" failed: {message}" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("several", "expected one of auto, one, mirrored, multi_worker"),
        ("multi_worker", "expected TF_CONFIG to list the workers"),
        ("mirrored", "expected two or more devices of one kind"),
    ],
)
def test_unavailable_strategy_is_an_error(name, message, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match=message):
        choose_strategy(name)


def test_one_device_or_one_worker_is_single_device(monkeypatch):
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


@pytest.mark.parametrize(
    ("name", "gpus", "expected"),
    [
        ("auto", [], "ragged"),
        ("auto", ["GPU:0"], "static"),
        ("auto", ["GPU:0", "GPU:1"], "static"),  # one of them trains
        ("ragged", ["GPU:0"], "ragged"),
        ("static", [], "static"),
    ],
)
def test_layout_of_batches_on_a_single_device(name, gpus, expected, monkeypatch):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: gpus)

    assert choose_batch_layout(name, SingleDevice()) == expected


@pytest.mark.parametrize(
    ("name", "device", "workers", "expected"),
    [
        ("auto", "CPU", 1, "ragged"),
        ("auto", "GPU", 1, "static"),
        ("auto", "GPU", 2, "ragged"),
        ("ragged", "GPU", 1, "ragged"),
        ("static", "CPU", 1, "static"),
    ],
)
def test_layout_of_batches_of_several_replicas(name, device, workers, expected):
    several = MirroredDevices(tf.distribute.MirroredStrategy(["CPU:0"]))
    several.devices = [f"/device:{device}:{i}" for i in range(2)]
    several.workers = workers

    assert choose_batch_layout(name, several) == expected


def test_logarithms_of_counts_have_ragged_batches(monkeypatch):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["GPU:0"])
    hyperparameters = o2v.Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_vocab_size=9,
        enc0_max_seq_len=5,
        repeated_tokens="log",
    )

    assert choose_batch_layout("auto", SingleDevice(), hyperparameters) == "ragged"
    with pytest.raises(UserError, match="expected a model without repeated_tokens=log"):
        choose_batch_layout("static", SingleDevice(), hyperparameters)


def test_several_workers_have_ragged_batches():
    several = MirroredDevices(tf.distribute.MirroredStrategy(["CPU:0"]))
    several.workers = 2

    with pytest.raises(UserError, match="=static: expected a single worker, got 2"):
        choose_batch_layout("static", several)


def test_a_gpu_that_is_required_must_be_allowed():
    with pytest.raises(UserError, match="device=gpu: expected _num_gpus of 1 or more"):
        choose_strategy("one", gpus=0, device="gpu")
