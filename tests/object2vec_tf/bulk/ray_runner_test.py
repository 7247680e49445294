"""Tests of object2vec_tf/bulk/over_ray.py; those of a cluster start their own."""

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

from object2vec_tf.bulk.ray_runner import Answerer, answer_over_ray
from object2vec_tf.errors import UserError

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="pip install '.[distributed]'"
)
_PATIENCE = 300


def task(tmp_path, text='{"in0": [1]}\n{"in0": [2]}\n', **changes):
    """What an actor is told of a file of one piece."""
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    (tmp_path / "parts").mkdir(exist_ok=True)
    return {
        "shard": 3,
        "piece": 7,
        "path": str(path),
        "start": 0,
        "stop": -1,
        "part": str(tmp_path / "parts/7"),
        "format": "jsonl",
    } | changes


@pytest.fixture(scope="module")
def answerer(exported):
    return Answerer(str(exported), "tensorflow", 1)


def test_a_piece_becomes_a_part(answerer, tmp_path):
    told = answerer(task(tmp_path, start=13, stop=26))
    expected = {"shard": 3, "piece": 7, "rows": 1, "deaths": 0, "error": ""}
    assert told == expected
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["7"]
    assert len((tmp_path / "parts/7").read_text().splitlines()) == 1


def test_what_is_wrong_is_told_and_not_raised(answerer, tmp_path):
    told = answerer(task(tmp_path, '{"in0": [1]}\n\n{"in0": [40]}\n', start=13))
    assert told["error"].startswith(f"{tmp_path}/a.jsonl:3: in0[0]: expected a token")
    told = answerer(task(tmp_path, part=str(tmp_path / "none/7")))
    assert told["error"].endswith(": No such file or directory")


def test_a_later_piece_knows_the_inputs_of_the_first(answerer, tmp_path):
    text = '{"in0": [1]}\n' + "\n" * 5000 + '{"in1": [2]}\n'
    told = answerer(task(tmp_path, text, start=5013))
    assert "a.jsonl:5002: has in1, where the lines before have in0" in told["error"]


def test_deaths_are_counted_and_bounded(answerer, tmp_path):
    given = task(tmp_path)
    for process in range(3):
        (tmp_path / f"parts/7.host.{process}").write_text("begun")
    assert answerer(given)["deaths"] == 3
    assert (tmp_path / "parts/7.host.0").read_text() == ""
    (tmp_path / "parts/7.host.3").write_text("begun")
    assert "a.jsonl: 4 workers died while they answered" in answerer(given)["error"]


def test_a_model_that_cannot_be_loaded_is_told(tmp_path):
    told = Answerer(str(tmp_path / "none"), "tensorflow", 1)(task(tmp_path))
    assert told["error"].startswith(f"{tmp_path}/none: no such model")


def test_ray_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install '.*\[distributed\]'"):
        next(answer_over_ray([], "model"))


@needs_ray
def test_a_cluster_that_is_not_there_is_told():
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(UserError, match=rf"--ray_address={address}: no cluster: .*"):
        next(answer_over_ray([], "model", address=address))


def free_port():
    """A port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def command(*flags):
    return [sys.executable, "-m", "object2vec_tf.transform", *map(str, flags)]


def write_shards(directory):
    """Writes a large and two small files of in0, five ids each."""
    directory.mkdir()
    lines = [json.dumps({"in0": [i % 40, i % 7, 1, 2, i % 39]}) for i in range(6000)]
    text = "".join(line + "\n" for line in lines)
    (directory / "large.jsonl").write_text(text * 70)
    (directory / "small.jsonl").write_text(text[:4000].rsplit("\n", 1)[0])
    (directory / "tiny.jsonl").write_text('{"in0": [3]}')


def kill_who_writes(parts):
    """Kills a process that is writing a part: its name has the process at its end."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        for path in parts.glob("*.*.*"):
            process = int(path.suffix[1:])
            if b"ray::" not in Path(f"/proc/{process}/cmdline").read_bytes():
                continue
            os.kill(process, signal.SIGSTOP)
            if path.exists():  # it has not come to an end meanwhile
                os.kill(process, signal.SIGKILL)
                return
            os.kill(process, signal.SIGCONT)
        time.sleep(0.005)
    raise TimeoutError(f"{parts}: nobody writes")


@needs_ray
@pytest.mark.long
def test_two_workers_of_which_one_is_killed(exported, tmp_path):
    write_shards(tmp_path / "in")
    flags = (f"--model={exported}", f"--input={tmp_path}/in/*.jsonl")
    out, local = tmp_path / "out", tmp_path / "local"
    over_ray = command(*flags, f"--output={out}/", "--runner=ray", "--workers=2")
    with subprocess.Popen(
        over_ray, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        kill_who_writes(out / ".large.jsonl.out.parts")
        stdout, stderr = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 0, stderr
    assert "was answered by another worker" in stderr
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
def test_a_cluster_that_runs_is_joined(exported, tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text('{"in0": [1]}\n{"in0": [2, 3]}\n' * 50)
    flags = (f"--model={exported}", f"--input={source}")
    subprocess.run(command(*flags, f"--output={tmp_path}/local"), check=True)
    ours = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    host, port = socket.gethostbyname(socket.gethostname()), free_port()
    head = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    head += [f"--node-ip-address={host}", f"--port={port}", "--num-cpus=1"]
    with subprocess.Popen(
        [*head, "--include-dashboard=false"], stdout=subprocess.DEVNULL, env=ours
    ) as cluster:
        try:
            job = command(
                *flags,
                f"--output={tmp_path}/joined",
                "--runner=ray",
                f"--ray_address={host}:{port}",
            )
            until = time.monotonic() + _PATIENCE
            while subprocess.run(job, env=ours, check=False).returncode:
                assert time.monotonic() < until
                time.sleep(1)
            assert cluster.poll() is None  # it is left as it was
        finally:
            cluster.terminate()
    local, joined = (tmp_path / name for name in ("local", "joined"))
    assert joined.read_bytes() == local.read_bytes()


@needs_ray
@pytest.mark.long
def test_a_bad_line_ends_the_job_and_what_is_done_stays(exported, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    write_shards(source)
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
