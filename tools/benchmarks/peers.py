"""Times training beside what a user would pick instead.

    python -m tools.benchmarks.peers --tables=row_sparse,encoders,programs

The peers run in an environment of their own, which the first run makes: some gigabytes.
Each round runs both sides in turn, so ratios hold although the machine's clock drifts.

row_sparse: torch's EmbeddingBag with sparse gradients, on the settings of
tools.benchmarks.row_sparse. encoders: torch's convolutions and LSTM on the batches that
ours get, bucketed. programs: sentence-transformers' StaticEmbedding, gensim's Doc2Vec,
fastText's classifier (which has no network of pairs: it reads both objects as one).
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from tools.benchmarks import encoders, row_sparse
from tools.benchmarks.row_sparse import BATCH, MLP_DIM, ROUNDS, SETTINGS, SIZES, STEPS
from tools.benchmarks.training import compiled

ENVIRONMENT = flags.DEFINE_string(
    "environment", ".venv-peers", "the virtual environment of the peers"
)
OPTIMIZERS = flags.DEFINE_list("optimizers", ["adam", "adagrad", "sgd"], "optimizers")
TABLES = flags.DEFINE_list(
    "tables", ["row_sparse", "encoders", "programs"], "what is measured"
)

_PROGRAMS = Path(__file__).parent / "peer_programs"
# Distribution and the module it brings.
_PACKAGES = {
    "torch": "torch",
    "sentence-transformers": "sentence_transformers",
    "gensim": "gensim",
    "fasttext-wheel": "fasttext",
}
_BUCKET_WIDTH = 8
# Of these, some batches; so many that most buckets have full ones.
_BUCKETED_PAIRS = 32_768
_BUCKETED_STEPS = {"hcnn": 24, "bilstm": 8}

Batches = list[dict[str, Any]]


def interpreter(environment: Path, packages: Mapping[str, str] = _PACKAGES) -> Path:
    """Returns the Python of the peers' environment, made where there is none.

    Args:
        environment: The virtual environment.
        packages: Distributions that it needs, and the module that each brings.
    """
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    for package, module in packages.items():
        held = [str(python), "-c", f"import {module}"]
        if subprocess.run(held, capture_output=True, check=False).returncode:
            install = [str(python), "-m", "pip", "install", "--quiet", package]
            if subprocess.run(install, check=False).returncode:
                raise UserError(f"{environment}: {package} cannot be installed there")
    return python


class Peer:
    """A process that trains when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def steps(self, count: int) -> float:
        """Trains on some batches; returns the seconds that took."""
        assert self._process.stdin
        assert self._process.stdout
        print(count, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())


@contextlib.contextmanager
def peer(
    python: Path, program: str, batches: Batches, *arguments: object
) -> Iterator[Peer]:
    """Yields a peer that has read the batches."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "batches.npz"
        arrays: dict[str, Any] = {
            f"{part}_{i}": np.asarray(array, np.int64)
            for i, batch in enumerate(batches)
            for part, array in batch.items()
        }
        np.savez(file, **arrays)
        line = [str(python), str(_PROGRAMS / program), str(file), *map(str, arguments)]
        process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with process:
            try:
                yield Peer(process)
            finally:
                process.kill()


def beside(
    name: str,
    ours: Callable[[int], object],
    other: Peer,
    steps: int,
    pairs: int,
    warm: int = 2,
) -> None:
    """Prints a row: both sides' rates, and their ratio round by round."""
    for _ in range(2):  # traces, and fills caches
        ours(warm)
        other.steps(warm)
    rates: list[tuple[float, float]] = []
    for _ in range(ROUNDS.value):
        start = time.perf_counter()
        ours(steps)
        seconds = time.perf_counter() - start
        rates.append((pairs / seconds, pairs / other.steps(steps)))
    ratios = [a / b for a, b in rates]
    medians = [statistics.median(side) for side in zip(*rates, strict=True)]
    print(
        f"| {name} | {medians[0]:,.0f} | {medians[1]:,.0f} "
        f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |",
        flush=True,
    )


def _head(first: str) -> None:
    print(f"\n| {first} | pairs/s | peer, pairs/s | times |\n|---|---|---|---|")


def _batches(setting: row_sparse.Setting) -> Batches:
    return [
        {"in0": in0, "in1": in1, "label": labels}
        for in0, in1, labels in setting.batches()
    ]


def row_sparse_table(python: Path) -> None:
    """Prints the rows of torch's sparse optimizers."""
    _head("torch EmbeddingBag, sparse")
    for name in SETTINGS.value:
        setting = SIZES[name]
        numbers = (setting.vocab_size, setting.dim, MLP_DIM)
        for optimizer in OPTIMIZERS.value:
            ours = row_sparse.ours(setting, optimizer)
            program = "torch_embedding_bag.py"
            with peer(python, program, _batches(setting), *numbers, optimizer) as torch:
                steps = STEPS.value
                beside(f"{name} {optimizer}", ours, torch, steps, steps * BATCH)


def encoder_table(python: Path) -> None:
    """Prints the rows of torch's encoders."""
    _head("torch, bucketed")
    for network in ("hcnn", "bilstm"):
        hyperparameters = encoders.hyperparameters_of(network)
        pairs = encoders.make_pairs(hyperparameters, _BUCKETED_PAIRS)
        dataset = pairs.dataset(shuffle=True, bucket_width=_BUCKET_WIDTH)
        steps = _BUCKETED_STEPS[network]
        bucketed = list(dataset.take(steps))
        arrays = [
            {
                **{f"{side}_ids": ids.values for side, ids in inputs.items()},
                **{f"{side}_splits": ids.row_splits for side, ids in inputs.items()},
                "label": labels,
            }
            for inputs, labels in bucketed
        ]
        ours = row_sparse.trained(compiled(hyperparameters), bucketed)
        numbers = (
            hyperparameters.enc0_vocab_size,
            hyperparameters.enc0_token_embedding_dim,
            hyperparameters.enc_dim,
            hyperparameters.mlp_dim,
        )
        count = sum(len(labels) for _, labels in bucketed)
        with peer(python, "torch_encoders.py", arrays, network, *numbers) as torch:
            beside(network, ours, torch, steps, count, warm=steps)


def program_table(python: Path) -> None:
    """Prints the rows of other programs."""
    _head("programs")
    setting = SIZES["P"]
    numbers = (setting.vocab_size, setting.dim)
    batches = _batches(setting)
    for optimizer in OPTIMIZERS.value:
        ours = row_sparse.ours(setting, optimizer)
        for program, arguments in (
            ("static_embedding.py", ["adam"]),
            ("static_embedding.py", ["sgd"]),
            ("gensim_doc2vec.py", ["dbow"]),
            ("gensim_doc2vec.py", ["dm"]),
            ("fasttext_supervised.py", []),
        ):
            if program == "static_embedding.py" and optimizer not in arguments:
                continue
            name = " ".join([program.removesuffix(".py"), *arguments])
            with peer(python, program, batches, *numbers, *arguments) as other:
                beside(
                    f"{optimizer} beside {name}",
                    ours,
                    other,
                    setting.count,
                    setting.count * BATCH,
                )


def main() -> None:
    """Runs the command."""
    python = interpreter(Path(ENVIRONMENT.value))
    tables = {
        "row_sparse": row_sparse_table,
        "encoders": encoder_table,
        "programs": program_table,
    }
    for name in TABLES.value:
        if name not in tables:
            raise UserError(f"tables: {name!r} is none of {', '.join(tables)}")
        tables[name](python)


if __name__ == "__main__":
    runner.run(main)
