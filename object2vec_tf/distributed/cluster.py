"""The worker processes of a job, as TF_CONFIG lists them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from object2vec_tf.errors import UserError

TF_CONFIG = "TF_CONFIG"
_JOBS = ("chief", "worker")
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_MAX_PORT = 65535
_PORT, _NUMBER = re.compile("[0-9]{1,5}"), re.compile("[0-9]{1,9}")
# Port of the workers when only host names are known.
_DEFAULT_PORT = 2222


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a job, and which of them this process is.

    Attributes:
        addresses: ``host:port`` of each worker, the chief first.
        worker: Index of this process.
        jobs: Job of each worker, chief or worker.
    """

    addresses: tuple[str, ...]
    worker: int
    jobs: tuple[str, ...]

    def name(self, worker: int) -> str:
        """Returns the name of a worker for messages."""
        return f"worker {worker} ({self.addresses[worker]})"

    def names(self, workers: Sequence[int]) -> str:
        """Returns the names of several workers for messages."""
        return ", ".join(self.name(worker) for worker in workers)

    def index(self, job: str, task: int) -> int:
        """Returns the index of the worker that runs a task of a job."""
        return self.jobs.index(job) + task


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Returns the workers that TF_CONFIG lists, None if it is not set.

    Raises:
        UserError: TF_CONFIG is invalid.
    """
    text = environment.get(TF_CONFIG)
    if not text:
        return None
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"not JSON: {error}") from error
    if not isinstance(config, dict):
        raise _invalid("not a JSON object")
    cluster = config.get("cluster") or {}
    if not isinstance(cluster, dict):
        raise _invalid("cluster is not an object of jobs")
    if not cluster:
        return None
    for job in cluster:
        if job not in _JOBS:
            raise _invalid(
                f"cluster has the job {job!r}, but jobs are chief and worker"
            )
    jobs = {job: _addresses(cluster, job) for job in _JOBS if job in cluster}
    if len(jobs.get("chief", [])) > 1:
        raise _invalid("cluster has more than one chief")
    addresses = [address for job in jobs.values() for address in job]
    for address in addresses:
        if addresses.count(address) > 1:
            raise _invalid(f"cluster lists {address} more than once")
    return Cluster(
        tuple(addresses),
        _worker_index(config.get("task"), jobs),
        tuple(job for job, of_job in jobs.items() for _ in of_job),
    )


def tf_config_of_hosts(hosts: Sequence[str], current: str) -> str:
    """Returns the TF_CONFIG of a host where each host runs one worker.

    Args:
        hosts: Host names, in the same order on all hosts; the first is the chief.
        current: The name of this host.
    """
    config = {
        "cluster": {"worker": [f"{host}:{_DEFAULT_PORT}" for host in hosts]},
        "task": {"type": "worker", "index": list(hosts).index(current)},
    }
    return json.dumps(config)


def _addresses(cluster: Mapping[str, Any], job: str) -> list[str]:
    addresses = cluster[job]
    if not isinstance(addresses, list) or not addresses:
        raise _invalid(f"cluster.{job} is not a list of addresses")
    for i, address in enumerate(addresses):
        host, _, port = str(address).rpartition(":")
        if not host or not _PORT.fullmatch(port) or not 0 < int(port) <= _MAX_PORT:
            raise _invalid(f"cluster.{job}[{i}] is {address!r}, not host:port")
    return [str(address) for address in addresses]


def _worker_index(task: Any, jobs: Mapping[str, list[str]]) -> int:
    if not isinstance(task, dict):
        raise _invalid("there is no task, which says which worker this process is")
    job, index = task.get("type"), task.get("index")
    if not isinstance(job, str) or job not in jobs:
        raise _invalid(f"task.type is {job!r}, but cluster has {', '.join(jobs)}")
    if isinstance(index, str) and _NUMBER.fullmatch(index):
        index = int(index)
    count = len(jobs[job])
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < count:
        raise _invalid(f"task.index is {index!r}, not an index in 0..{count - 1}")
    return index + (len(jobs.get("chief", [])) if job == "worker" else 0)


def _invalid(problem: str) -> UserError:
    return UserError(f"{TF_CONFIG}: {problem}. A valid value is {_EXAMPLE}")


def host_and_port(address: str) -> tuple[str, int]:
    """Returns the host and the port of an address, ``host:port``."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
