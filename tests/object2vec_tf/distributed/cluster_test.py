import json
import socket

import pytest

from object2vec_tf.distributed.cluster import Cluster, read_cluster, tf_config_of_hosts
from object2vec_tf.errors import UserError


def read(config):
    text = config if isinstance(config, str) else json.dumps(config)
    return read_cluster({"TF_CONFIG": text})


def of_workers(task, **jobs):
    return {"cluster": {"worker": ["a:1", "b:2"], **jobs}, "task": task}


def test_no_cluster_without_tf_config():
    assert read_cluster({}) is None
    assert read_cluster({"TF_CONFIG": ""}) is None
    assert read({"cluster": {}}) is None


def test_workers_are_numbered_after_the_chief():
    config = of_workers({"type": "worker", "index": 1}, chief=["c:3"])
    cluster = read(config)
    assert cluster == Cluster(("c:3", "a:1", "b:2"), 2, ("chief", "worker", "worker"))
    assert cluster.name(2) == "worker 2 (b:2)"
    assert cluster.index("chief", 0) == 0
    assert cluster.index("worker", 1) == 2
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
        ({"cluster": {"worker": ["a:" + "9" * 5000]}}, "not host:port"),
        (of_workers({"type": "worker", "index": "9" * 5000}), "not an index"),
        ({"cluster": {"worker": ["a:1", "a:1"]}}, "lists a:1 more than once"),
        ({"cluster": {"chief": ["a:1", "b:1"]}}, "more than one chief"),
    ],
)
def test_malformed_tf_config_is_an_error(config, message):
    with pytest.raises(UserError, match=f"TF_CONFIG: .*{message}"):
        read(config)


def test_each_host_has_one_worker():
    cluster = read(tf_config_of_hosts(["algo-1", "algo-2"], "algo-2"))
    assert cluster == Cluster(("algo-1:2222", "algo-2:2222"), 1, ("worker", "worker"))


def free_ports(count):
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports
