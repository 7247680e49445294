"""Times row-sparse training beside torch's, in an environment made for it.

    python -m tools.benchmarks.peers

The first run installs torch into --environment, some gigabytes. Each round runs both
sides in turn, so ratios hold although the machine's clock drifts.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from object2vec_tf import command
from object2vec_tf.errors import UserError
from tools.benchmarks import row_sparse
from tools.benchmarks.row_sparse import BATCH, MLP_DIM, ROUNDS, SETTINGS, SIZES, STEPS

ENVIRONMENT = flags.DEFINE_string(
    "environment", ".venv-peers", "the virtual environment of the peers"
)
OPTIMIZERS = flags.DEFINE_list("optimizers", ["adam", "adagrad", "sgd"], "optimizers")

_PROGRAM = Path(__file__).parent / "peer_programs" / "torch_embedding_bag.py"


def interpreter(environment: Path) -> Path:
    """Returns the Python of an environment that has torch, made where it is not."""
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    installed = [str(python), "-c", "import torch, numpy"]
    if subprocess.run(installed, capture_output=True, check=False).returncode:
        install = [str(python), "-m", "pip", "install", "--quiet", "torch", "numpy"]
        if subprocess.run(install, check=False).returncode:
            raise UserError(f"{environment}: torch cannot be installed there")
    return python


class Torch:
    """A process that trains torch's model when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def steps(self, count: int) -> float:
        """Runs some steps; returns the seconds they took."""
        assert self._process.stdin
        assert self._process.stdout
        print(count, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())


@contextlib.contextmanager
def torch_of(
    python: Path, setting: row_sparse.Setting, optimizer: str
) -> Iterator[Torch]:
    """Yields torch's side of a setting."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "batches.npz"
        arrays: dict[str, Any] = {}
        for i, (in0, in1, labels) in enumerate(setting.batches()):
            arrays[f"in0_{i}"], arrays[f"in1_{i}"] = in0, in1
            arrays[f"label_{i}"] = labels
        np.savez(file, **{k: array.astype(np.int64) for k, array in arrays.items()})
        numbers = (setting.vocab_size, setting.dim, MLP_DIM)
        line = [str(python), str(_PROGRAM), str(file), *map(str, numbers), optimizer]
        process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with process:
            try:
                yield Torch(process)
            finally:
                process.kill()


def measure(python: Path, name: str, optimizer: str) -> None:
    """Prints the row of one setting and optimizer."""
    setting = SIZES[name]
    ours = row_sparse.ours(setting, optimizer)
    pairs = STEPS.value * BATCH
    with torch_of(python, setting, optimizer) as torch:
        for _ in range(2):  # traces, and fills caches
            ours(2)
            torch.steps(2)
        rates: list[tuple[float, float]] = []
        for _ in range(ROUNDS.value):
            start = time.perf_counter()
            ours(STEPS.value)
            seconds = time.perf_counter() - start
            rates.append((pairs / seconds, pairs / torch.steps(STEPS.value)))
    ratios = [a / b for a, b in rates]
    medians = [statistics.median(side) for side in zip(*rates, strict=True)]
    print(
        f"| {name} | {optimizer} | {medians[0]:,.0f} | {medians[1]:,.0f} "
        f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |",
        flush=True,
    )


def main() -> None:
    """Runs the command."""
    python = interpreter(Path(ENVIRONMENT.value))
    print("\n| setting | optimizer | pairs/s | torch, pairs/s | times |")
    print("|---|---|---|---|---|")
    for name in SETTINGS.value:
        for optimizer in OPTIMIZERS.value:
            measure(python, name, optimizer)


if __name__ == "__main__":
    command.run(main)
