import json
import os
import sys
import time

import pytest

from tools.benchmarks.worker_processes import (
    WorkerGroup,
    free_ports,
    loopback_bytes,
    tf_configs,
)

# A process that answers with its number, ends, or never answers.
CHILD = """
import os, time
from tools.benchmarks.worker_processes import answer, requests
for request in requests():
    if request == f"end {os.environ['NUMBER']}":
        os._exit(3)
    if request == "sleep" or request.startswith("end"):
        time.sleep(600)
    if request == "work":
        while time.process_time() < 0.2:
            pass
    answer(float(os.environ["NUMBER"]), len(request))
"""


@pytest.fixture
def group():
    command = [sys.executable, "-c", CHILD]
    with WorkerGroup([command] * 2, [{"NUMBER": "0"}, {"NUMBER": "1"}]) as started:
        yield started


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_answers_of_all_or_some(group):
    assert group.round("three") == [[0, 5], [1, 5]]
    assert group.round("go", [1]) == [[1, 2]]


def test_cpu_seconds(group):
    group.round("go")
    used = group.cpu_seconds()
    assert used > 0
    group.round("work")
    assert group.cpu_seconds() >= used + 0.2


def test_a_process_that_ends_ends_the_others(group):
    group.round("go")
    with pytest.raises(RuntimeError, match=r"ended during 'end 1'.*\[0, 3\]"):
        group.round("end 1")
    assert not any(map(is_running, group.pids))


def test_a_process_without_an_answer_in_time(group):
    group.round("go")
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="no answer to 'sleep' in time"):
        group.round("sleep", seconds=0.1)
    assert time.monotonic() - start < 10
    assert not any(map(is_running, group.pids))


def test_cluster_of_jobs():
    configs = [
        json.loads(config["TF_CONFIG"]) for config in tf_configs({"ps": 1, "worker": 2})
    ]
    tasks = [tuple(config["task"].values()) for config in configs]
    assert tasks == [("ps", 0), ("worker", 0), ("worker", 1)]
    assert all(config["cluster"] == configs[0]["cluster"] for config in configs)
    addresses = [a for job in configs[0]["cluster"].values() for a in job]
    assert len(set(addresses)) == 3
    assert all(address.startswith("127.0.0.1:") for address in addresses)


def test_ports_differ():
    assert len(set(free_ports(5))) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loopback_bytes_grow():
    import socket

    before = loopback_bytes()
    server = socket.create_server(("127.0.0.1", 0))
    with socket.create_connection(server.getsockname()) as client:
        client.sendall(bytes(100_000))
    server.close()
    assert loopback_bytes() >= before + 100_000
