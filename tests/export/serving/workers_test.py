"""Several gateway processes on one port."""

import asyncio
import contextlib
import gc
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from export.serving.listening import listening, reserved, shared
from export.serving.prometheus import ServingMetrics
from export.serving.workers import _first_error
from object2vec_tf.errors import UserError
from tests.export.conftest import TIMEOUT, first_line
from tests.export.gateway_test import JSON, Gateway, half_sent, read_all, run_gateway

BODY = b'{"instances": [{"in0": [1, 2], "in1": [3]}]}'


def test_sockets_share_a_reserved_port_only():
    with reserved("127.0.0.1", 0) as address:
        port = address.getsockname()[1]
        with shared("127.0.0.1", port) as first, shared("127.0.0.1", port) as second:
            first.listen()
            second.listen()
            # A second gateway must not take a part of the connections.
            with pytest.raises(UserError, match=f"--port={port}: cannot listen there"):
                reserved("127.0.0.1", port)
            with pytest.raises(UserError, match="cannot listen there"):
                listening("127.0.0.1", port)


def test_a_stop_before_all_workers_are_ready_logs_nothing(caplog):
    async def stop():
        stopping = asyncio.Event()
        ready = [asyncio.get_running_loop().create_future() for _ in range(2)]
        ready[0].set_result(None)
        asyncio.get_running_loop().call_later(0.01, stopping.set)
        await _first_error(*ready, stopping=stopping)
        with pytest.raises(asyncio.CancelledError):
            ready[1].result()

    asyncio.run(stop())
    gc.collect()  # asyncio logs exceptions that were not retrieved
    assert not caplog.records


@pytest.mark.long
def test_metrics_of_processes_are_added_up(tmp_path):
    """In two processes: prometheus_client reads the directory when it is imported."""
    program = (
        "import sys; from export.serving.prometheus import ServingMetrics;"
        "m = ServingMetrics(sys.argv[1]); m.set_version(int(sys.argv[2]));"
        "m.count_in_progress(2); m.count_request(200, .002); m.count_rows('x', 3);"
        "sys.stdout.write(m.exposition()[0].decode()); sys.stdout.flush();"
        "sys.stdin.read()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), version],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        )
        for version in ("4", "3")
    ]
    with contextlib.ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)
            assert process.stdout.readline().startswith("# HELP")
        text = ServingMetrics(str(tmp_path)).exposition()[0].decode()
        for process in processes:
            process.communicate("")
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    assert lines['object2vec_requests_total{status="200"}'] == "2.0"
    assert lines['object2vec_rows_total{signature="x"}'] == "6.0"
    assert lines['object2vec_request_seconds_bucket{le="0.0025"}'] == "2.0"
    assert lines["object2vec_requests_under_way"] == "4.0"
    assert lines["object2vec_model_version"] == "3.0"
    assert "# HELP object2vec_rows_total Embedded objects and scored pairs" in text


def test_a_missing_model_is_one_error_before_any_worker_starts(tmp_path):
    done = run_gateway(f"--model={tmp_path / 'none'}", "--workers=2", "--port=0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path / 'none'}: no such model.")
    assert done.stderr.count("\n") == 1


class Workers(Gateway):
    """A gateway of several processes, whose output is collected."""

    def __init__(self, process, port):
        super().__init__(process, port)
        self.output = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with contextlib.suppress(ValueError):  # closed at the end of the test
            for line in self.process.stdout:
                self.output.append(line)

    @property
    def children(self):
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(path) as file:
            return [int(pid) for pid in file.read().split()]


@contextlib.contextmanager
def workers(*flags, count=2):
    command = [sys.executable, "-m", "export.gateway", "--port=0", *flags]
    process = subprocess.Popen(
        [*command, f"--workers={count}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    try:
        lines = []
        while not (line := first_line(process)).startswith("serving on http://"):
            lines.append(line)
            assert line, lines
        yield Workers(process, int(line.rsplit(":", 1)[1]))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_until(condition):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def counts_by_connection(served, connections):
    """Sends a request over each of several open connections; returns the bodies."""
    opened = [
        http.client.HTTPConnection("127.0.0.1", served.port, timeout=TIMEOUT)
        for _ in range(connections)
    ]
    bodies = []
    for connection in opened:
        connection.request("POST", "/invocations", BODY, JSON)
        bodies.append(connection.getresponse().read())
    for connection in opened:
        connection.close()
    return bodies


def metrics(served):
    text = served.request(None, path="/metrics", method="GET")[2].decode()
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("backend", ["local", "tf_serving"])
def test_workers_answer_alike_are_replaced_and_drain(backend, exported, request):
    model = exported("pooled_embedding")
    flags = [f"--model={model.directory}"]
    if backend == "tf_serving":
        server = request.getfixturevalue("model_server")
        flags = [f"--tf_serving={server.address}", f"--model_name={model.name}"]
    with workers(*flags) as served:
        assert len(served.children) == 2
        bodies = counts_by_connection(served, 40)
        assert len({*bodies}) == 1
        expected = model.expected({"in0": [[1, 2]], "in1": [[3]]})
        scores = json.loads(bodies[0])["predictions"][0]["scores"]
        np.testing.assert_allclose([scores], expected, rtol=1e-5)
        for _ in range(5):  # whichever process answers
            assert metrics(served)['object2vec_requests_total{status="200"}'] == "40.0"
        # A worker that dies is replaced, and its counts are kept.
        victim, other = served.children
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(served.children) == 2 and victim not in served.children)
        wait_until(lambda: metrics(served)["object2vec_requests_under_way"] == "0.0")
        assert metrics(served)['object2vec_requests_total{status="200"}'] == "40.0"
        assert other in served.children
        wait_until(lambda: served.output)
        assert re.fullmatch(
            rf"warning: worker \d \(process {victim}\) was ended by SIGKILL\. Starting "
            r"another one\.\n",
            served.output[0],
        )
        children = served.children
        # SIGTERM: each process finishes its requests.
        opened = [half_sent(served.port, BODY) for _ in range(12)]
        wait_until(lambda: metrics(served)["object2vec_requests_under_way"] == "12.0")
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        for connection in opened:
            connection.sendall(BODY[-1:])
            response = read_all(connection)
            assert b"200 OK" in response
            assert response.endswith(bodies[0])
            connection.close()
        assert served.process.wait(TIMEOUT) == 0
        assert not any(map(is_running, children))


@pytest.mark.long
def test_each_worker_loads_a_new_version(exported, tmp_path):
    first = exported("pooled_embedding").path
    shutil.copytree(first, tmp_path / "1")
    with workers(f"--model={tmp_path}", "--reload_seconds=0.1") as served:
        assert metrics(served)["object2vec_model_version"] == "1.0"
        shutil.copytree(first, tmp_path / "copy")
        (tmp_path / "copy").rename(tmp_path / "2")
        wait_until(lambda: len(served.output) == 2)
        path = tmp_path / "2"
        assert sorted(served.output) == [
            f"worker {i}: serving {path}\n" for i in (1, 2)
        ]
        assert metrics(served)["object2vec_model_version"] == "2.0"
        assert len({*counts_by_connection(served, 10)}) == 1


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_when_the_main_process_is_killed(exported):
    with workers(f"--model={exported().directory}") as served:
        children = served.children
        served.process.send_signal(signal.SIGKILL)
        served.process.wait(TIMEOUT)
        wait_until(lambda: not any(map(is_running, children)))
        with pytest.raises(ConnectionError):
            socket.create_connection(("127.0.0.1", served.port), 1).close()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_c_ends_all_workers_without_a_traceback(exported):
    with workers(f"--model={exported().directory}", count=3) as served:
        children = served.children
        assert len(children) == 3
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(TIMEOUT) == 0
        assert not any(map(is_running, children))
        assert served.output == []
