"""The workers of a job, as TF_CONFIG tells of them."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from object2vec_tf.errors import UserError

TF_CONFIG = "TF_CONFIG"
_JOBS = ("chief", "worker")
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_LAST_PORT = 65535
# On which workers talk to one another where nothing tells of ports.
_HOST_PORT = 2222
# How long a worker waits for the others to come up, and when it says so.
START_SECONDS = 600.0
_TOLD_SECONDS = 10.0
_ANSWER_SECONDS, _PAUSE_SECONDS = 1.0, 0.2


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers, and which of them this process is.

    Attributes:
        addresses: ``host:port`` of each worker, the chief's first.
        worker: The number of this process's.
        jobs: The job that each one is of, chief or worker.
    """

    addresses: tuple[str, ...]
    worker: int
    jobs: tuple[str, ...]

    def name(self, worker: int) -> str:
        """Returns a worker's name for messages."""
        return f"worker {worker} ({self.addresses[worker]})"

    def number(self, job: str, index: int) -> int:
        """Returns the number of a task of a job."""
        return self.jobs.index(job) + index

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Waits until all workers are there, and says whom it waits for.

        TensorFlow would wait for an hour, without a word and deaf to signals.

        Args:
            seconds: How long.

        Raises:
            UserError: They are not, or this one's address cannot be used.
        """
        told, start = False, time.monotonic()
        missing = [i for i in range(len(self.addresses)) if i != self.worker]
        with self._listening():
            while missing:
                missing = [i for i in missing if not _answers(self.addresses[i])]
                waited, names = time.monotonic() - start, self._names(missing)
                if missing and waited > seconds:
                    raise UserError(
                        f"{names}: not there after {waited:.0f} seconds; start all "
                        f"workers that {TF_CONFIG} tells of, each with its own task"
                    )
                if missing and waited > _TOLD_SECONDS and not told:
                    told = True
                    print(f"waiting for {names}", file=sys.stderr, flush=True)
                if missing:
                    time.sleep(_PAUSE_SECONDS)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Answers the others, until TensorFlow does."""
        _, port = _host_and_port(self.addresses[self.worker])
        try:
            listener = socket.create_server(("", port), backlog=128)
        except OSError as error:
            raise UserError(
                f"{TF_CONFIG}: {self.name(self.worker)}: the port cannot be used: "
                f"{error.strerror}; give the worker another one"
            ) from error
        with listener:
            yield

    def _names(self, workers: Sequence[int]) -> str:
        return ", ".join(self.name(worker) for worker in workers)


def cluster_of(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Returns the workers that TF_CONFIG tells of; None where it is not set.

    Raises:
        UserError: It is set to something else.
    """
    text = environment.get(TF_CONFIG)
    if not text:
        return None
    try:
        held = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _problem(f"not JSON: {error}") from error
    if not isinstance(held, dict):
        raise _problem("not a JSON object")
    cluster = held.get("cluster") or {}
    if not isinstance(cluster, dict):
        raise _problem("cluster is not an object of jobs")
    if not cluster:
        return None
    for job in cluster:
        if job not in _JOBS:
            raise _problem(f"cluster has the job {job!r}; jobs are chief and worker")
    jobs = {job: _addresses(cluster, job) for job in _JOBS if job in cluster}
    if len(jobs.get("chief", [])) > 1:
        raise _problem("cluster has more than one chief")
    addresses = [address for job in jobs.values() for address in job]
    for address in addresses:
        if addresses.count(address) > 1:
            raise _problem(f"cluster names {address} more than once")
    return Cluster(
        tuple(addresses),
        _worker(held.get("task"), jobs),
        tuple(job for job, held in jobs.items() for _ in held),
    )


def config_of_hosts(hosts: Sequence[str], own: str) -> str:
    """Returns what TF_CONFIG is where each of several hosts has a worker.

    Args:
        hosts: Their names, in the same order on all of them; the chief's is first.
        own: That of this one.
    """
    config = {
        "cluster": {"worker": [f"{host}:{_HOST_PORT}" for host in hosts]},
        "task": {"type": "worker", "index": list(hosts).index(own)},
    }
    return json.dumps(config)


def _addresses(cluster: Mapping[str, Any], job: str) -> list[str]:
    given = cluster[job]
    if not isinstance(given, list) or not given:
        raise _problem(f"cluster.{job} is not a list of addresses")
    for i, address in enumerate(given):
        host, _, port = str(address).rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) <= _LAST_PORT:
            raise _problem(f"cluster.{job}[{i}] is {address!r}, not host:port")
    return [str(address) for address in given]


def _worker(task: Any, jobs: Mapping[str, list[str]]) -> int:
    if not isinstance(task, dict):
        raise _problem("there is no task: which worker this process is")
    job, index = task.get("type"), task.get("index")
    if not isinstance(job, str) or job not in jobs:
        raise _problem(f"task.type is {job!r}, and cluster has {', '.join(jobs)}")
    if isinstance(index, str) and index.isdecimal():
        index = int(index)
    count = len(jobs[job])
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < count:
        raise _problem(f"task.index is {index!r}, expected one in 0..{count - 1}")
    return index + (len(jobs.get("chief", [])) if job == "worker" else 0)


def _problem(what: str) -> UserError:
    return UserError(f"{TF_CONFIG}: {what}; expected such as {_EXAMPLE}")


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _answers(address: str) -> bool:
    try:
        with socket.create_connection(_host_and_port(address), _ANSWER_SECONDS):
            return True
    except OSError:
        return False
