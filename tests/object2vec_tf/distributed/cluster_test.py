import json
import socket
import threading

import pytest

from object2vec_tf.distributed.cluster import Cluster, cluster_of, config_of_hosts
from object2vec_tf.errors import UserError


def read(config):
    text = config if isinstance(config, str) else json.dumps(config)
    return cluster_of({"TF_CONFIG": text})


def of_workers(task, **jobs):
    return {"cluster": {"worker": ["a:1", "b:2"], **jobs}, "task": task}


def test_without_tf_config_or_cluster_there_is_none():
    assert cluster_of({}) is None
    assert cluster_of({"TF_CONFIG": ""}) is None
    assert read({"cluster": {}}) is None


def test_workers_are_numbered_behind_the_chief():
    config = of_workers({"type": "worker", "index": 1}, chief=["c:3"])
    cluster = read(config)
    assert cluster == Cluster(("c:3", "a:1", "b:2"), 2, ("chief", "worker", "worker"))
    assert cluster.name(2) == "worker 2 (b:2)"
    assert cluster.number("chief", 0) == 0
    assert cluster.number("worker", 1) == 2
    assert read(of_workers({"type": "worker", "index": "1"})).worker == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "not JSON"),
        ([1], "not a JSON object"),
        ({"cluster": [1]}, "cluster is not an object"),
        (of_workers({"type": "ps", "index": 0}, ps=["d:4"]), "the job 'ps'"),
        (of_workers(None), "there is no task"),
        (of_workers({"type": "chief", "index": 0}), "task.type is 'chief'"),
        (of_workers({"type": "worker", "index": 2}), "task.index is 2, .* 0..1"),
        (of_workers({"type": "worker", "index": True}), "task.index is True"),
        (of_workers({"type": "worker"}), "task.index is None"),
        ({"cluster": {"worker": []}}, "cluster.worker is not a list"),
        ({"cluster": {"worker": ["a:1", "b"]}}, r"cluster.worker\[1\] is 'b', not h"),
        ({"cluster": {"worker": ["a:0"]}}, r"worker\[0\] is 'a:0', not host:port"),
        ({"cluster": {"worker": ["a:70000"]}}, "not host:port"),
        ({"cluster": {"worker": ["a:1", "a:1"]}}, "names a:1 more than once"),
        ({"cluster": {"chief": ["a:1", "b:1"]}}, "more than one chief"),
    ],
)
def test_a_malformed_tf_config_is_told(config, message):
    with pytest.raises(UserError, match=f"TF_CONFIG: .*{message}"):
        read(config)


def test_hosts_have_a_worker_each():
    cluster = read(config_of_hosts(["algo-1", "algo-2"], "algo-2"))
    assert cluster == Cluster(("algo-1:2222", "algo-2:2222"), 1, ("worker", "worker"))


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def test_workers_wait_for_one_another():
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(2))
    clusters = [Cluster(addresses, i, ("worker", "worker")) for i in (0, 1)]
    ended = []

    def wait(cluster):
        cluster.wait(30)
        ended.append(cluster.worker)

    first = threading.Thread(target=wait, args=(clusters[0],))
    first.start()
    first.join(0.3)
    assert ended == []
    with socket.create_server(("127.0.0.1", int(addresses[1].split(":")[1]))):
        first.join(30)
    assert ended == [0]


def test_who_does_not_come_is_named():
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(3))
    cluster = Cluster(addresses, 1, ("worker",) * 3)
    with pytest.raises(UserError, match=r"worker 0 \(.*\), worker 2 \(.*\): not there"):
        cluster.wait(0)


def test_a_port_in_use_is_told():
    with socket.create_server(("", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        cluster = Cluster((address, "127.0.0.1:1"), 0, ("worker", "worker"))
        with pytest.raises(UserError, match="the port cannot be used"):
            cluster.wait(0)
