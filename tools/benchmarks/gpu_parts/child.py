"""The protocol of a part: a process that measures one side of one work.

A part prepares itself without the GPU, prints "ready", and waits for a line on stdin.
Then it prints one JSON object per variant that it measured.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from tools.benchmarks.gpu_parts.works import WORKS, Work, shrink

Variant = Callable[[], Mapping[str, Any]]
"""Measures one variant, and returns its results."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What a part has to measure.

    Attributes:
        work: Name of the work; "" for the card.
        is_small: Whether to use the sizes for a CPU.
        device: "gpu" or "cpu".
        seconds: How long to train each variant.
        data: File of `works.make_data`.
        batches: File of `works.peer_batches`.
        layout: How Object2Vec's batches are laid out: static or ragged.
    """

    work: str
    is_small: bool
    device: str
    seconds: float
    data: str = ""
    batches: str = ""
    layout: str = "static"

    @classmethod
    def from_arguments(cls) -> Task:
        """Returns the task in the only argument of this process."""
        return cls(**json.loads(sys.argv[1]))

    def sized_work(self) -> Work:
        """Returns the work in the sizes of the task."""
        return shrink(WORKS[self.work]) if self.is_small else WORKS[self.work]


def wait_for_go() -> None:
    """Waits until this part may use the GPU."""
    print("ready", flush=True)
    sys.stdin.readline()


def report(variants: Mapping[str, Variant]) -> None:
    """Measures all variants, and prints the results of each; a failure stops none."""
    for name, measure in variants.items():
        try:
            result = dict(measure())
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            result = {"error": f"{type(error).__name__}: {lines[0]}"[:200]}
        print(json.dumps({"variant": name, **result}), flush=True)


def timed(run: Callable[[], object]) -> float:
    """Returns the seconds that a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
