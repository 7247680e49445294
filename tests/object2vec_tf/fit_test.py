import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.devices import gpu_is_visible
from tests.command_server import python_m


def command(settings, channels, model_dir, *more):
    flags = {**settings, **channels, "model_dir": model_dir}
    return [
        *python_m("object2vec_tf.fit"),
        *(f"--{name}={value}" for name, value in flags.items()),
        *more,
    ]


def files(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_the_package_attribute_fit_stays_the_function():
    import importlib

    module = importlib.import_module("object2vec_tf.fit")
    assert callable(module.main)
    assert callable(module.cli)
    assert o2v.fit is module.fit


@pytest.mark.long
@pytest.mark.parametrize(
    ("is_warm", "layout"), [(False, "ragged"), (True, "ragged"), (False, "static")]
)
def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_run(
    is_warm, layout, settings, ratings, tmp_path
):
    settings |= {"epochs": 60, "dropout": 0.2, "early_stopping_patience": 5}
    settings |= {"early_stopping_tolerance": 1e-6, "learning_rate": 0.001}
    if is_warm:  # a finished run with an initial model is continued, and then killed
        earlier = o2v.Object2Vec(settings | {"enc0_vocab_size": 12}, seed=3)
        earlier.save(tmp_path / "earlier.keras")
        options = {"initial_model": tmp_path / "earlier.keras", "freeze": "enc1"}
        short = settings | {"epochs": 2}
        o2v.fit(short, **ratings, **options, model_dir=tmp_path / "killed")
        settings |= options
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    killed = subprocess.Popen(
        command(settings, ratings, tmp_path / "killed", f"--batch_layout={layout}"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
    )
    checkpoint = tmp_path / "killed/checkpoints/epoch-0003"
    deadline = time.monotonic() + 240
    while not checkpoint.exists():
        assert killed.poll() is None, killed.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    killed.stderr.close()
    assert (tmp_path / "killed/metrics.json").exists() == is_warm

    outputs = {}
    for name in ("killed", "uninterrupted"):
        done = subprocess.run(
            command(settings, ratings, tmp_path / name, f"--batch_layout={layout}"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        outputs[name] = done.stdout
    assert "resumed after epoch" in outputs["killed"]
    assert "resumed" not in outputs["uninterrupted"]
    a, b = (
        keras.models.load_model(tmp_path / name / "model.keras")
        for name in ("killed", "uninterrupted")
    )
    for x, y in zip(a.variables, b.variables, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())
    assert a.hyperparameters.epochs == 60
    if is_warm:
        np.testing.assert_array_equal(a.enc1.get_weights(), earlier.enc1.get_weights())
    histories = [
        [
            json.loads(line)
            for line in (tmp_path / name / "history.jsonl").read_text().splitlines()
        ]
        for name in ("killed", "uninterrupted")
    ]
    assert [r["validation"] for r in histories[0]] == [
        r["validation"] for r in histories[1]
    ]


@pytest.mark.long
def test_closing_stdout_does_not_stop_the_run(settings, ratings, tmp_path):
    process = subprocess.Popen(
        command(settings, ratings, tmp_path / "run"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), err) == (0, "")
    assert first.startswith("device: CPU (")
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["epochs_run"] == 3
    assert (tmp_path / "run/export/1/saved_model.pb").is_file()


def test_bad_data_exits_with_2_and_keeps_the_earlier_run(settings, ratings, tmp_path):
    o2v.fit(o2v.Hyperparameters(**settings), **ratings, model_dir=tmp_path / "run")
    before = files(tmp_path / "run")
    lines = ratings["train"].read_text().splitlines()
    lines[122] = '{"in0": [3], "in1": [30], "label": 2.5}'
    ratings["train"].write_text("\n".join(lines) + "\n")
    for more in ((), ("--overwrite",)):
        done = subprocess.run(
            command(settings, ratings, tmp_path / "run", *more),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr == (
            f"error: {ratings['train']}:123: in1[0]: expected an id below 30, got 30. "
            "Fix the id or raise enc1_vocab_size. "
            "--max_bad_lines=N skips up to N such lines.\n"
        )
        assert files(tmp_path / "run") == before


@pytest.mark.long
def test_runs_share_a_cache_and_its_limit_is_reported(settings, ratings, tmp_path):
    shared = f"--cache_dir={tmp_path}/shared"
    outputs = []
    for name in ("first", "second"):
        line = command(settings | {"epochs": 1}, ratings, tmp_path / name, shared)
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        outputs.append(done.stdout)
        assert not (tmp_path / name / "cache").exists()
    assert "(cached)" not in outputs[0]
    assert outputs[1].count("from 1 file (cached)\n") == 3
    done = subprocess.run(
        command(settings, ratings, tmp_path / "third", "--cache_limit=0.000001"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path}/third/cache: ")
    assert "--cache_limit=1e-06" in done.stderr
    assert done.stderr.count("\n") == 1


GOOD = '{"in0": [1], "in1": [2], "label": 3}\n'


@pytest.mark.parametrize(
    ("content", "location", "message"),
    [
        (GOOD + '{"in0": [1], "label": 3}\n', ":2", "in1 is missing."),
        (
            GOOD + '{"in0": [1], "in1": null, "label": 3}\n',
            ":2",
            "in1: expected a list of integer token ids, got null",
        ),
        (
            GOOD + '{"in0": [1.5], "in1": [2], "label": 3}\n',
            ":2",
            "in0[0]: expected an integer token id, got 1.5",
        ),
        (
            GOOD + '{"in0": [-1], "in1": [2], "label": 3}\n',
            ":2",
            "in0[0]: expected a token id of 0 or more, got -1",
        ),
        (
            GOOD + '{"in0": [20], "in1": [2], "label": 3}\n',
            ":2",
            "in0[0]: expected an id below 20, got 20",
        ),
        (
            GOOD + '{"in0": [1], "in1": [2], "label": 1e39}\n',
            ":2",
            "label: expected a finite number, got 1e+39",
        ),
        (
            GOOD + '{"in0": [9223372036854775808], "in1": [2], "label": 3}\n',
            ":2",
            "2036",
        ),
        (
            GOOD + '{"in0": [[1]], "in1": [2], "label": 3}\n',
            ":2",
            "in0[0]: expected an integer token id, got [1]",
        ),
        (GOOD + '{"in0": [1], "in1": [2', ":2", "ends in the middle of an object"),
        (f"[{GOOD}]", ":1", "JSON array"),
        ("", "", "contains no pairs"),
    ],
)
def test_bad_data_does_not_change_an_earlier_run(
    settings, ratings, tmp_path, content, location, message
):
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.keras").write_bytes(b"precious")
    before = files(run)
    bad = tmp_path / "bad.jsonl"
    bad.write_text(content)
    channels = {**ratings, "validation": bad}
    with pytest.raises(o2v.DataError) as error:
        o2v.fit(
            o2v.Hyperparameters(**settings), **channels, model_dir=run, overwrite=True
        )
    assert f"{bad}{location}: " in str(error.value)
    assert message in str(error.value)
    after = files(run)  # the parsed train channel stays in the cache
    assert {name: after[name] for name in after if "cache" not in name} == before


@pytest.mark.long
def test_a_module_that_hides_export_is_reported_before_training(
    settings, ratings, tmp_path
):
    (tmp_path / "export.py").write_text("")
    line = command(settings, ratings, tmp_path / "run")
    flags = line[line.index("object2vec_tf.fit") + 1 :]
    done = subprocess.run(
        [sys.executable, "-m", "object2vec_tf.fit", *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: a file or directory named export hides")
    assert not (tmp_path / "run").exists()


def test_a_model_dir_that_cannot_be_created_is_reported(settings, ratings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(o2v.RunDirectoryError, match="model_dir cannot be written"):
        o2v.fit(
            o2v.Hyperparameters(**settings), **ratings, model_dir=tmp_path / "file/run"
        )


@pytest.mark.skipif(gpu_is_visible(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_missing_is_reported_before_data_is_read(settings, tmp_path):
    missing = dict.fromkeys(("train", "validation", "test"), tmp_path / "missing")
    result = subprocess.run(
        command(settings, missing, tmp_path / "run", "--device=gpu"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: device=gpu: expected a GPU ")
    assert not (tmp_path / "run").exists()


@pytest.mark.long
@pytest.mark.parametrize("network", ["pooled_embedding", "hcnn", "bilstm"])
def test_deterministic_runs_work_and_have_equal_weights(
    network, settings, ratings, tmp_path
):
    """Deterministic mode rejects random ops without a seed, and some kernels."""
    more = ("--deterministic", "--negative_sampling_rate=2", "--negative_mining=hard")
    values = settings | {
        "enc0_network": network,
        "dropout": 0.1,
        "output_layer": "softmax",
        "num_classes": 6,
    }
    classes = {}
    for name, path in ratings.items():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        classes[name] = tmp_path / f"classes_{name}"
        lines = [json.dumps(r | {"label": int(r["label"]) % 6}) for r in rows]
        classes[name].write_text("\n".join(lines))
    models = []
    for layout in ("ragged", "ragged", "static", "static"):
        run = tmp_path / f"run{len(models)}"
        line = command(values, classes, run, *more, f"--batch_layout={layout}")
        subprocess.run(line, check=True, capture_output=True)
        models.append(o2v.load(run).get_weights())

    for first, second in ((0, 1), (2, 3)):
        for one, two in zip(models[first], models[second], strict=True):
            np.testing.assert_array_equal(one, two)
