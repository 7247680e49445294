"""Processes whose peak memory is watched until they end."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tools.benchmarks.process_memory import kilobytes

_SECONDS_BETWEEN_SAMPLES = 0.1


@contextmanager
def started(
    command: Sequence[str], environments: Sequence[Mapping[str, str]], output: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Starts a process for each environment, and ends those that still run.

    Args:
        command: The command of all processes.
        environments: Variables that each process has in addition.
        output: The file to which all write their stdout.
    """
    with output.open("ab") as file:
        processes = [
            subprocess.Popen(command, stdout=file, env=os.environ | environment)
            for environment in environments
        ]
    try:
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def watch_memory(
    processes: Sequence[subprocess.Popen[bytes]], reserve_gb: float
) -> list[float]:
    """Returns the peak memory of each process in GB, when all have ended.

    Raises:
        RuntimeError: The machine has less memory available than the reserve, or a
            process failed.
    """
    peaks = [0.0] * len(processes)
    while any(process.poll() is None for process in processes):
        for i, process in enumerate(processes):
            with suppress(OSError, IndexError):  # it has ended
                peaks[i] = kilobytes("VmHWM", process.pid) * 1024 / 1e9
        if _available_gb() < reserve_gb:
            raise RuntimeError(
                f"less than {reserve_gb:g} GB of memory is available; the processes "
                f"had peaks of {joined(peaks)} GB. Use fewer rows."
            )
        time.sleep(_SECONDS_BETWEEN_SAMPLES)
    codes = [process.returncode for process in processes]
    if any(codes):
        raise RuntimeError(f"exit codes of the processes: {codes}")
    return peaks


def joined(peaks: Sequence[float]) -> str:
    """Returns peaks in GB as text."""
    return ", ".join(f"{peak:.2f}" for peak in peaks)


def _available_gb() -> float:
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 / 1e9
    return float("inf")
