"""A soak of the gateway: good, bad and slow requests while versions are replaced.

    python -m tools.benchmarks.soak --seconds=3600

Many connections send requests of all protocols. Two versions of a model, which differ,
replace each other. Each answer is compared with the values of the version that has
given it, which Keras and numpy have computed before. Some clients send slowly, read
slowly, stop in the middle, or go away. The program prints what it counted, and the
memory of the gateway. Its exit status is 1 if an answer was wrong or was lost, or
if the gateway did not replace its version.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from subprocess import Popen

import numpy as np
from absl import flags

from export import export_saved_model
from object2vec_tf.commands import runner
from object2vec_tf.progress import INTERVAL_VARIABLE
from tools.benchmarks.gateway_process import gateway_process
from tools.benchmarks.process_memory import kilobytes
from tools.benchmarks.soak_client import Client
from tools.benchmarks.soak_requests import (
    ITEMS,
    MAX_HEADER_BYTES,
    MAX_REQUEST_BYTES,
    VERTEX,
    Request,
    bad_requests,
    build_model,
    good_requests,
    large_request,
)

SECONDS = flags.DEFINE_float("seconds", 3600.0, "duration of the soak", 1.0)
RATE = flags.DEFINE_float("rate", 150.0, "requests per second of all connections", 1.0)
CONNECTIONS = flags.DEFINE_integer("connections", 64, "concurrent connections", 1)
SWAP_SECONDS = flags.DEFINE_float(
    "swap_seconds", 60.0, "time between two versions", 1.0
)
REPORT_SECONDS = flags.DEFINE_float("report_seconds", 60.0, "time between reports", 1.0)
SLOW = flags.DEFINE_float("slow", 0.01, "fraction of slow clients", 0.0, 1.0)
BAD = flags.DEFINE_float("bad", 0.2, "fraction of bad requests", 0.0, 1.0)
SEED = flags.DEFINE_integer("seed", 1, "seed of the requests")

# Clients that are slow take 3 seconds, or more if the machine is busy.
_STALL_SECONDS = 10
_TIMEOUT = 60.0
_CLOSING = 0.05  # fraction of requests after which the client closes its connection
_FIRST_SECONDS = 600.0


class Versions:
    """The versions of the model: two models take turns.

    Args:
        root: The directory of versions that the gateway serves.
        models: The directories of both exported models.

    Attributes:
        published: The newest version.
        served: The version that the gateway serves.
    """

    def __init__(self, root: Path, models: tuple[Path, Path]) -> None:
        self._root = root
        self._models = models
        self.published = 0
        self.served = 1
        self.publish()

    def publish(self) -> None:
        """Adds the next version, and removes the one before the previous one."""
        number = self.published + 1
        staging = self._root.parent / "staging"
        shutil.copytree(self._models[number % 2], staging)
        self.published = number
        staging.rename(self._root / str(number))
        shutil.rmtree(self._root / str(number - 2), ignore_errors=True)

    def allowed(self, served_at_start: int) -> set[int]:
        """Returns which of both models may have answered a request.

        Args:
            served_at_start: The version that was served when the request was sent.
        """
        return {number % 2 for number in range(served_at_start, self.published + 1)}

    def follow(self, process: Popen[str]) -> None:
        """Reads from the gateway's output which version it serves."""
        assert process.stdout
        for line in process.stdout:
            if line.startswith("serving "):
                self.served = int(line.rsplit("/", 1)[1])


class Soak:
    """Sends requests and counts the answers.

    Args:
        port: The port of the gateway.
        versions: The versions of the model.
        good: Valid requests.
        bad: Invalid requests.
        large: A request with a large answer.
    """

    def __init__(
        self,
        port: int,
        versions: Versions,
        good: list[Request],
        bad: list[Request],
        large: Request,
    ) -> None:
        self._port = port
        self._versions = versions
        self._good = good
        self._bad = bad
        self._large = large
        self.answers: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.slow: Counter[str] = Counter()
        self.problems: Counter[str] = Counter()
        self.latencies: list[float] = []

    def add_problem(self, kind: str, detail: object) -> None:
        """Counts a problem, and prints the first ones of a kind."""
        self.problems[kind] += 1
        if self.problems[kind] <= 20:
            print(f"{time.strftime('%H:%M:%S')} {kind}: {detail}", flush=True)

    async def run_client(self, number: int, deadline: float) -> None:
        """Sends the requests of one connection."""
        generator = random.Random(SEED.value * 1000 + number)
        period = CONNECTIONS.value / RATE.value
        client = Client(self._port)
        await asyncio.sleep(generator.random() * period)
        while time.monotonic() < deadline:
            start = time.monotonic()
            if generator.random() < SLOW.value:
                await self._be_slow(generator)
            else:
                is_bad = generator.random() < BAD.value
                request = generator.choice(self._bad if is_bad else self._good)
                await self._ask(client, request)
                if request.closes or generator.random() < _CLOSING:
                    client.close()
            pause = period * (0.5 + generator.random()) - (time.monotonic() - start)
            await asyncio.sleep(max(pause, 0))
        client.close()

    async def _ask(self, client: Client, request: Request, **how: float) -> None:
        """Sends a request and checks its answer."""
        served = self._versions.served
        start = time.perf_counter()
        try:
            async with asyncio.timeout(_TIMEOUT):
                status, body = await client.send(request, **how)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            client.close()
            self.add_problem("lost", f"{request.name}: {error!r}")
            return
        self.statuses[status] += 1
        if not how:
            self.latencies.append(time.perf_counter() - start)
        if status != request.status:
            self.add_problem("wrong status", f"{request.name}: {status} {body[:300]!r}")
        elif request.read is None:
            if not json.loads(body)["error"]:
                self.add_problem("wrong error", f"{request.name}: {body[:300]!r}")
        else:
            self._check(request, body, served)
        self.answers[request.name if request.read else "errors"] += 1

    def _check(self, request: Request, body: bytes, served: int) -> None:
        assert request.read
        values = request.read(body)
        allowed = self._versions.allowed(served)
        for number, expected in enumerate(request.expected):
            if values.shape == expected.shape and np.allclose(
                values, expected, rtol=1e-4, atol=1e-5
            ):
                if number not in allowed:
                    self.add_problem("wrong version", f"{request.name}: {number}")
                return
        self.add_problem("wrong", f"{request.name}: {body[:300]!r}")

    async def _be_slow(self, generator: random.Random) -> None:
        """Is one of the slow clients."""
        kinds: dict[str, Callable[[random.Random], Awaitable[None]]] = {
            "slow to send": self._send_slowly,
            "slow to read": self._read_slowly,
            "half-sent and gone": self._send_half_and_go,
            "half-sent and silent": self._send_half_and_wait,
            "silent": self._wait,
        }
        kind = generator.choice(list(kinds))
        await kinds[kind](generator)
        self.slow[kind] += 1

    async def _send_slowly(self, generator: random.Random) -> None:
        client = Client(self._port)
        await self._ask(client, generator.choice(self._good), send_seconds=3.0)
        client.close()

    async def _read_slowly(self, generator: random.Random) -> None:
        client = Client(self._port)
        await self._ask(client, self._large, read_seconds=3.0)
        client.close()

    async def _send_half_and_go(self, generator: random.Random) -> None:
        client = Client(self._port)
        await client.write(self._half(generator))
        await asyncio.sleep(generator.random())
        client.close(abort=generator.random() < 0.5)

    async def _send_half_and_wait(self, generator: random.Random) -> None:
        client = Client(self._port)
        await client.write(self._half(generator))
        try:
            async with asyncio.timeout(_TIMEOUT):
                status, _ = await client.read_answer()
        except (OSError, EOFError, TimeoutError) as error:
            self.add_problem("lost", f"408: {error!r}")
        else:
            self.statuses[status] += 1
            if status != 408:
                self.add_problem("wrong status", f"half-sent: {status}")
        client.close()

    async def _wait(self, generator: random.Random) -> None:
        client = Client(self._port)
        await client.write(b"")
        try:
            async with asyncio.timeout(_TIMEOUT):
                if await client.read():
                    self.add_problem("wrong", "an answer to a silent client")
        except (OSError, TimeoutError) as error:
            self.add_problem("lost", f"a silent client was not disconnected: {error!r}")
        client.close()

    def _half(self, generator: random.Random) -> bytes:
        request = generator.choice(self._good)
        size = request.head_size + generator.choice([-5, 0, 5])
        return request.data[:size]


class Process:
    """The gateway's memory and CPU time."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def megabytes(self) -> float:
        """Returns the resident memory in MB."""
        return kilobytes("VmRSS", self._pid) / 1024

    def cpu_seconds(self) -> float:
        """Returns the CPU time."""
        text = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii")
        fields = text.rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def files(self) -> int:
        """Returns the number of open files."""
        return sum(1 for _ in Path(f"/proc/{self._pid}/fd").iterdir())


async def _report(
    soak: Soak, versions: Versions, process: Process, start: float
) -> list[tuple[float, float]]:
    """Prints lines until it is canceled; returns seconds and memory in MB."""
    memory: list[tuple[float, float]] = []
    try:
        while True:
            memory.append((time.monotonic() - start, process.megabytes()))
            answers = sum(soak.answers.values())
            p99 = np.percentile(soak.latencies or [0], 99) * 1e3
            soak.latencies.clear()
            cpu = process.cpu_seconds()
            print(
                f"{time.strftime('%H:%M:%S')} {memory[-1][0]:5.0f} s: {answers:,} "
                f"answers, {sum(soak.slow.values())} slow clients, "
                f"version {versions.served}, p99 {p99:.0f} ms, {memory[-1][1]:.0f} MB, "
                f"{process.files()} files, {cpu:.0f} s of CPU, "
                f"problems: {dict(soak.problems)}",
                flush=True,
            )
            await asyncio.sleep(REPORT_SECONDS.value)
    except asyncio.CancelledError:
        memory.append((time.monotonic() - start, process.megabytes()))
        return memory


async def _swap(versions: Versions) -> None:
    while True:
        await asyncio.sleep(SWAP_SECONDS.value)
        await asyncio.to_thread(versions.publish)


async def _run(soak: Soak, versions: Versions, process: Process) -> None:
    start = time.monotonic()
    report = asyncio.create_task(_report(soak, versions, process, start))
    swap = asyncio.create_task(_swap(versions))
    async with asyncio.TaskGroup() as group:
        for number in range(CONNECTIONS.value):
            group.create_task(soak.run_client(number, start + SECONDS.value))
    for task in (swap, report):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await swap  # raises what has ended it
    if versions.served < versions.published - 1:
        soak.add_problem("not replaced", f"version {versions.served}")
    _print_summary(soak, versions, await report)


def _print_summary(
    soak: Soak, versions: Versions, memory: list[tuple[float, float]]
) -> None:
    """Prints the counts, and the memory at the start, after ten minutes, at the end."""
    for title, counts in (
        ("answers by kind", soak.answers),
        ("answers by status", soak.statuses),
        ("slow clients", soak.slow),
    ):
        print(f"{title}: {sum(counts.values()):,}")
        for name, count in sorted(counts.items(), key=str):
            print(f"  {name}: {count:,}")
    print(f"versions served: {versions.served}")
    problems = soak.problems
    wrong = sum(count for name, count in problems.items() if name.startswith("wrong"))
    print(f"wrong: {wrong}, lost: {problems['lost']}")
    seconds, megabytes = np.array(memory).T
    later = seconds >= min(_FIRST_SECONDS, seconds[-1] / 2)
    slope = np.polyfit(seconds[later], megabytes[later], 1)[0] * 3600
    print(
        f"memory in MB: {megabytes[0]:.0f} at the start, "
        f"{megabytes[later][0]:.0f} after {seconds[later][0]:.0f} s, "
        f"{megabytes[-1]:.0f} after {seconds[-1]:.0f} s; maximum "
        f"{megabytes.max():.0f}; {slope:+.1f} per hour after the second figure",
        flush=True,
    )


def main() -> None:
    """Runs the command."""
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        (base / "m").mkdir()
        models = [build_model(seed) for seed in (1, 2)]
        items = base / "items.jsonl"
        items.write_text("".join(f'{{"in1": [{i}]}}\n' for i in range(ITEMS)), "utf-8")
        first, second = (
            export_saved_model(model, base / f"export{i}", items=items)
            for i, model in enumerate(models)
        )
        good, bad, large = good_requests(models), bad_requests(), large_request(models)
        print(f"{len(good)} good and {len(bad)} bad requests, seed {SEED.value}")
        versions = Versions(base / "m", (first, second))
        os.environ["AIP_PREDICT_ROUTE"] = VERTEX
        os.environ[INTERVAL_VARIABLE] = "0"
        more = [
            f"--max_request_bytes={MAX_REQUEST_BYTES}",
            f"--max_header_bytes={MAX_HEADER_BYTES}",
            f"--stall_timeout_seconds={_STALL_SECONDS}",
            f"--header_timeout_seconds={_STALL_SECONDS}",
        ]
        with gateway_process(base / "m", more) as (process, port):
            thread = threading.Thread(
                target=versions.follow, args=[process], daemon=True
            )
            thread.start()
            soak = Soak(port, versions, good, bad, large)
            asyncio.run(_run(soak, versions, Process(process.pid)))
    if soak.problems:
        sys.exit(1)


if __name__ == "__main__":
    runner.run(main)
