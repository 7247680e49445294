"""The memory of a process, as Linux counts it."""

from __future__ import annotations

from pathlib import Path


def kilobytes(name: str, pid: int | str = "self") -> int:
    """Returns VmRSS (current) or VmHWM (peak) of a process in kilobytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split(f"{name}:")[1].split()[0])
