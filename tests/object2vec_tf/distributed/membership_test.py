import errno
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from object2vec_tf.distributed import joining, membership
from object2vec_tf.distributed.cluster import Cluster
from object2vec_tf.distributed.listener import is_loopback
from object2vec_tf.distributed.membership import Membership
from object2vec_tf.errors import Interrupted, UserError, WorkerLost
from tests.command_server import python_c
from tests.object2vec_tf.distributed.cluster_test import free_ports


def clusters(count):
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(count))
    return [Cluster(addresses, i, ("worker",) * count) for i in range(count)]


@pytest.fixture
def join(monkeypatch):
    """Starts memberships, which end with the test."""
    monkeypatch.setattr(membership, "REPORT_SECONDS", 5)
    started = []

    def start(cluster):
        members = Membership(cluster)
        started.append(members)
        members.listen()
        return members

    yield start
    for members in started:
        members.leave()
    for thread in threading.enumerate():
        if thread.name == "failure report":
            thread.join()


def wait_in_threads(*members):
    """Waits in a thread for each, which returns the error."""
    errors = [None] * len(members)

    def wait(i):
        try:
            members[i].wait(20)
        except Exception as error:
            errors[i] = error

    threads = [
        threading.Thread(target=wait, args=(i,), daemon=True)
        for i in range(len(members))
    ]
    for thread in threads:
        thread.start()
    return threads, errors


def test_workers_wait_for_each_other_and_then_free_their_ports(join):
    own, *others = clusters(3)
    first = join(own)
    threads, errors = wait_in_threads(first)
    threads[0].join(0.3)
    assert threads[0].is_alive()
    more, more_errors = wait_in_threads(*map(join, others))
    for thread in threads + more:
        thread.join(20)
    assert errors + more_errors == [None] * 3
    assert first.wait_for_loss(0) is None
    port = int(own.addresses[0].split(":")[1])
    socket.create_server(("", port)).close()  # as TensorFlow does


def test_missing_workers_are_named(join):
    members = join(clusters(3)[1])
    with pytest.raises(
        UserError, match=r"worker 0 \(.*\), worker 2 \(.*\): not reachable"
    ):
        members.wait(0)


def test_port_in_use_is_an_error(join):
    with socket.create_server(("", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        cluster = Cluster((address, "127.0.0.1:1"), 0, ("worker", "worker"))
        with pytest.raises(UserError, match="the port cannot be used"):
            join(cluster)


def test_a_failure_ends_workers_that_wait_and_those_that_start_later(join):
    failing, waiting, late = clusters(3)
    threads, errors = wait_in_threads(join(waiting))
    failed = join(failing)
    failed.leave("epochs: expected a number\nmore lines")
    threads[0].join(20)
    assert isinstance(errors[0], WorkerLost)
    address = failing.addresses[0]
    assert f"worker 0 ({address}) failed: epochs: expected a number\n" in str(errors[0])
    threads, errors = wait_in_threads(join(late))
    threads[0].join(20)
    assert "failed: epochs: expected a number\n" in str(errors[0])


def test_a_stop_of_one_worker_stops_the_others(join):
    first, second = map(join, clusters(2))
    second.leave("stopped while reading data.", resumable=True)
    with pytest.raises(
        Interrupted, match=r"worker 1 \(.*\) was stopped: stopped while"
    ):
        first.wait(20)


def test_a_worker_that_finished_is_not_lost(join):
    first, second = map(join, clusters(2))
    threads, _ = wait_in_threads(first, second)
    for thread in threads:
        thread.join(20)
    second.leave()
    assert first.wait_for_loss(0.3) is None


KILLED = """
import json, sys, time
from object2vec_tf.distributed.cluster import Cluster
from object2vec_tf.distributed.membership import Membership
members = Membership(Cluster(tuple(json.loads(sys.argv[1])), 1, ("worker",) * 2))
members.listen()
members.wait(60)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_killed_process_is_lost_at_once(join):
    own, _ = clusters(2)
    members = join(own)
    lost = []
    members.on_loss(lost.append)
    with subprocess.Popen(
        [*python_c(KILLED), json.dumps(own.addresses)], stdout=subprocess.PIPE
    ) as process:
        members.wait(60)
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        loss = members.wait_for_loss(20)
        assert loss is not None
    assert time.monotonic() - start < 10
    assert lost == [loss]
    with pytest.raises(
        WorkerLost, match=r"worker 1 \(.*\) ended or cannot be reached;"
    ):
        members.check()


STUCK = """
import json, sys, time
from object2vec_tf.distributed import membership
from object2vec_tf.distributed.cluster import Cluster
membership.PREPARATION_SECONDS = 0.2
members = membership.Membership(
    Cluster(tuple(json.loads(sys.argv[1])), 1, ("worker",) * 2)
)
members.listen()
time.sleep(60)
"""


def test_a_worker_that_does_not_notice_a_loss_is_ended(join):
    own, _ = clusters(2)
    members = join(own)
    process = subprocess.Popen(
        [*python_c(STUCK), json.dumps(own.addresses)],
        stderr=subprocess.PIPE,
        text=True,
    )
    members.wait(60)
    members.leave("no space")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert f"error: worker 0 ({own.addresses[0]}) failed: no space\n" in err


def test_other_programs_that_connect_are_ignored(join):
    own, other = clusters(2)
    members = join(own)
    host, port = own.addresses[0].split(":")
    for sent in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b'{"worker": 1}\n', b"[]\n", b""):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(sent)
    assert members.wait_for_loss(0.3) is None
    threads, errors = wait_in_threads(members, join(other))
    for thread in threads:
        thread.join(20)
    assert errors == [None, None]


def test_a_worker_listens_on_the_address_that_it_is_given(join):
    own, _ = clusters(2)
    join(own)
    port = int(own.addresses[0].split(":")[1])
    with socket.create_server(("127.0.0.2", port)):  # free, except on 127.0.0.1
        pass


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:5", True),
        ("[::1]:5", True),
        ("localhost:5", True),
        ("10.0.0.1:5", False),
        ("host0:5", False),
    ],
)
def test_addresses_of_this_machine_alone(address, expected):
    assert is_loopback(address) is expected


def test_others_read_the_file_of_a_full_disk(monkeypatch):
    sent = []
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    leave = Membership.leave

    def recorded(members, reason=None, resumable=False):
        sent.append(reason)
        leave(members)

    monkeypatch.setattr(Membership, "leave", recorded)
    message = os.strerror(errno.ENOSPC)
    monkeypatch.setattr(joining, "_current", None)  # and restored
    with (
        pytest.raises(OSError, match=message),
        pytest.warns(match="TensorFlow"),
        joining.joined_workers("auto"),
    ):
        raise OSError(errno.ENOSPC, message, "run/model.keras")
    assert sent == [f"run/model.keras: {message}"]
