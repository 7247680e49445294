"""Tests of object2vec_tf/bulk/ray_runner.py. Tests of a cluster start their own."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from object2vec_tf.bulk.ray_runner import SplitPredictor, predict_on_ray
from object2vec_tf.bulk.row_counts import RowCounts
from object2vec_tf.errors import UserError

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="pip install '.[distributed]'"
)
_TIMEOUT_SECONDS = 300


def task(tmp_path, text='{"in0": [1]}\n{"in0": [2]}\n', **changes):
    """The task of an actor, for a file with one split."""
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    (tmp_path / "parts").mkdir(exist_ok=True)
    return {
        "job": 3,
        "split": 7,
        "path": str(path),
        "start": 0,
        "stop": -1,
        "output": str(tmp_path / "parts/7"),
        "format": "jsonl",
        "options": "{}",
    } | changes


@pytest.fixture(scope="module")
def split_predictor(exported):
    return SplitPredictor(str(exported), "tensorflow", 1)


def test_the_output_of_a_split_is_written(split_predictor, tmp_path):
    result = split_predictor(task(tmp_path, start=13, stop=26))
    expected = {
        "job": 3,
        "split": 7,
        "rows": RowCounts(rows=1).to_json(),
        "deaths": 0,
        "error": "",
        "tokens": "{}",
    }
    assert result == expected
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["7"]
    assert len((tmp_path / "parts/7").read_text().splitlines()) == 1


def test_user_errors_are_returned_and_not_raised(split_predictor, tmp_path):
    text = '{"in0": [1]}\n\n{"in0": [40]}\n'
    error = split_predictor(task(tmp_path, text, start=13))["error"]
    assert error.startswith(f"{tmp_path}/a.jsonl:3: in0[0]: expected a token")
    error = split_predictor(task(tmp_path, output=str(tmp_path / "none/7")))["error"]
    assert error.endswith(": No such file or directory")


def test_invalid_lines_are_marked_as_the_options_say(split_predictor, tmp_path):
    text = '{"in0": [1], "id": 7}\n\n{"in0": [40], "id": 8}\n'
    options = '{"keep": ["id"], "on_error": "mark"}'
    result = split_predictor(task(tmp_path, text, start=23, options=options))
    assert result["error"] == ""
    (line,) = (tmp_path / "parts/7").read_text().splitlines()
    error = json.loads(line)["error"]
    assert json.loads(line) == {"id": 8, "error": error}
    assert error.startswith("line 3: in0[0]: expected a token id below")
    counts = RowCounts(rows=1, invalid=1, first_error=error)
    assert result["rows"] == counts.to_json()


def test_a_later_split_needs_the_inputs_of_the_first(split_predictor, tmp_path):
    text = '{"in0": [1]}\n' + "\n" * 5000 + '{"in1": [2]}\n'
    error = split_predictor(task(tmp_path, text, start=5013))["error"]
    assert "a.jsonl:5002: expected in0 as in the lines before, got in1" in error


def test_deaths_are_counted_and_limited(split_predictor, tmp_path):
    given = task(tmp_path)
    for process in range(3):
        (tmp_path / f"parts/7.host.{process}").write_text("begun")
    assert split_predictor(given)["deaths"] == 3
    assert (tmp_path / "parts/7.host.0").read_text() == ""
    (tmp_path / "parts/7.host.3").write_text("begun")
    error = split_predictor(given)["error"]
    assert "a.jsonl: 4 workers died while they worked on split 8." in error


def test_a_model_that_cannot_be_loaded_is_a_user_error(tmp_path):
    predictor = SplitPredictor(str(tmp_path / "none"), "tensorflow", 1)
    error = predictor(task(tmp_path))["error"]
    assert error.startswith(f"{tmp_path}/none: no such model")


def test_without_ray_the_error_has_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'ray\[data\]"):
        next(predict_on_ray([], "model"))


@needs_ray
def test_an_unreachable_cluster_is_a_user_error():
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(UserError, match=rf"--ray_address={address}: no cluster: .*"):
        next(predict_on_ray([], "model", address=address))


def free_port():
    """A port on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def command(*flags):
    return [sys.executable, "-m", "object2vec_tf.transform", *map(str, flags)]


def write_files(directory):
    """Writes one large and two small files of in0, with five ids per line."""
    directory.mkdir()
    lines = [json.dumps({"in0": [i % 40, i % 7, 1, 2, i % 39]}) for i in range(6000)]
    text = "".join(line + "\n" for line in lines)
    (directory / "large.jsonl").write_text(text * 70)
    (directory / "small.jsonl").write_text(text[:4000].rsplit("\n", 1)[0])
    (directory / "tiny.jsonl").write_text('{"in0": [3]}')


def kill_a_writer(parts):
    """Kills a process that is writing a split's output; its id ends the file name."""
    until = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < until:
        for path in parts.glob("*.*.*"):
            process = int(path.suffix[1:])
            if b"ray::" not in Path(f"/proc/{process}/cmdline").read_bytes():
                continue
            os.kill(process, signal.SIGSTOP)
            if path.exists():  # the split has not been finished meanwhile
                os.kill(process, signal.SIGKILL)
                return
            os.kill(process, signal.SIGCONT)
        time.sleep(0.005)
    raise TimeoutError(f"{parts}: no process writes")


@needs_ray
@pytest.mark.long
def test_another_worker_finishes_the_split_of_a_killed_one(exported, tmp_path):
    write_files(tmp_path / "in")
    flags = (f"--model={exported}", f"--input={tmp_path}/in/*.jsonl")
    out, local = tmp_path / "out", tmp_path / "local"
    over_ray = command(*flags, f"--output={out}/", "--runner=ray", "--workers=2")
    with subprocess.Popen(
        over_ray, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        kill_a_writer(out / ".large.jsonl.out.parts")
        stdout, stderr = process.communicate(timeout=_TIMEOUT_SECONDS)
    assert process.returncode == 0, stderr
    assert "Another worker finished the split." in stderr
    assert "Traceback" not in stderr
    assert stdout.splitlines()[-1] == f"{out}: 420,152 lines in 3 files"
    subprocess.run(command(*flags, f"--output={local}/"), check=True)
    names = sorted(path.name for path in out.iterdir())
    assert names == [
        ".transform.json",
        "large.jsonl.out",
        "small.jsonl.out",
        "tiny.jsonl.out",
    ]
    for name in names:
        assert (out / name).read_bytes() == (local / name).read_bytes()


@needs_ray
@pytest.mark.long
def test_a_running_cluster_is_used_and_left_running(exported, tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text('{"in0": [1]}\n{"in0": [2, 3]}\n' * 50)
    flags = (f"--model={exported}", f"--input={source}")
    subprocess.run(command(*flags, f"--output={tmp_path}/local"), check=True)
    environment = os.environ | {
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    host, port = socket.gethostbyname(socket.gethostname()), free_port()
    head = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    head += [f"--node-ip-address={host}", f"--port={port}", "--num-cpus=1"]
    with subprocess.Popen(
        [*head, "--include-dashboard=false"], stdout=subprocess.DEVNULL, env=environment
    ) as cluster:
        try:
            job = command(
                *flags,
                f"--output={tmp_path}/joined",
                "--runner=ray",
                f"--ray_address={host}:{port}",
            )
            until = time.monotonic() + _TIMEOUT_SECONDS
            while subprocess.run(job, env=environment, check=False).returncode:
                assert time.monotonic() < until
                time.sleep(1)
            assert cluster.poll() is None  # it is still running
        finally:
            cluster.terminate()
    local, joined = (tmp_path / name for name in ("local", "joined"))
    assert joined.read_bytes() == local.read_bytes()


@needs_ray
@pytest.mark.long
def test_a_bad_line_ends_the_job_and_its_files_are_removed(exported, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    write_files(source)
    with (source / "large.jsonl").open("a") as file:
        file.write('\n{"in0": [4, 40]}\n')
    job = command(
        f"--model={exported}", f"--input={source}", f"--output={out}", "--runner=ray"
    )
    done = subprocess.run(job, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        f"error: {source}/large.jsonl:420002: in0[1]: expected a token id below "
        "enc0_vocab_size=40, got 40\n",
    )
    assert not list(out.glob("*large*"))
    assert not list(out.glob(".large*"))
