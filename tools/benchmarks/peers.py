"""Times training in comparison to other programs for the same job.

    python -m tools.benchmarks.peers --tables=row_sparse,fbgemm,encoders,programs

The peers run in their own virtual environments, which the first run creates (some
gigabytes). FBGEMM needs one with exactly its torch; where that cannot be installed, its
table is left out. Every round runs both sides in turn, so that the ratios are valid
even if the clock speed of the machine changes. The tables are:

row_sparse: torch's EmbeddingBag with sparse gradients, with the settings of
tools.benchmarks.row_sparse.
fbgemm: FBGEMM's fused tables (TorchRec's kernels), with the same settings.
encoders: torch's convolutions and LSTM on the same bucketed batches.
programs: sentence-transformers' StaticEmbedding, gensim's Doc2Vec and fastText's
classifier, which has no network for pairs and reads both objects as one text.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from tools.benchmarks import encoders, row_sparse
from tools.benchmarks.row_sparse import (
    BATCH,
    MLP_DIM,
    NAMED_SETTINGS,
    ROUNDS,
    SETTINGS,
    STEPS,
)
from tools.benchmarks.training import compiled_model

ENVIRONMENT = flags.DEFINE_string(
    "environment", ".venv-peers", "virtual environment of the peers"
)
FBGEMM_ENVIRONMENT = flags.DEFINE_string(
    "fbgemm_environment", ".venv-fbgemm", "virtual environment of FBGEMM"
)
OPTIMIZERS = flags.DEFINE_list(
    "optimizers", ["adam", "adagrad", "rowwise_adagrad", "sgd"], "optimizers"
)
TABLES = flags.DEFINE_list(
    "tables", ["row_sparse", "fbgemm", "encoders", "programs"], "tables to measure"
)

_PROGRAMS = Path(__file__).parent / "peer_programs"
# Module name of each distribution.
_PACKAGES = {
    "torch": "torch",
    "sentence-transformers": "sentence_transformers",
    "gensim": "gensim",
    "fasttext-wheel": "fasttext",
}
_TORCH_PACKAGES = {"torch": "torch", "numpy": "numpy"}
_FBGEMM_PACKAGES = {
    "torch==2.13.0": "torch",
    "fbgemm-gpu-cpu==1.8.0": "fbgemm_gpu",
    "numpy": "numpy",
}
# The optimizers of each peer.
_TORCH_OPTIMIZERS = ("adam", "adagrad", "sgd")
_FBGEMM_OPTIMIZERS = ("adagrad", "rowwise_adagrad", "sgd")
_BUCKET_WIDTH = 8
# Only some batches of these pairs are used. With this many pairs, most buckets have
# full batches.
_BUCKETED_PAIRS = 32_768
_BUCKETED_STEPS = {"hcnn": 24, "bilstm": 8}

# Seconds before each measurement. In them, the threads of the other side, which wait
# actively for more work at first, go to sleep.
_PAUSE = 0.5

Batches = list[dict[str, Any]]


def peer_python(environment: Path, packages: Mapping[str, str] = _PACKAGES) -> Path:
    """Returns the Python of the peers' environment, which is created if missing.

    Args:
        environment: Path of the virtual environment.
        packages: The required distributions, or their requirements, and the module name
            of each.

    Raises:
        UserError: A package cannot be installed.
    """
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    for package, module in packages.items():
        check = [str(python), "-c", f"import {module}"]
        if subprocess.run(check, capture_output=True, check=False).returncode:
            install = [str(python), "-m", "pip", "install", "--quiet", package]
            if subprocess.run(install, check=False).returncode:
                raise UserError(
                    f"{environment}: cannot install {package}. See the output above."
                )
    return python


class Peer:
    """A subprocess that trains on request."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def steps(self, count: int) -> float:
        """Trains on ``count`` batches and returns the seconds."""
        assert self._process.stdin
        assert self._process.stdout
        print(count, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())


@contextlib.contextmanager
def start_peer(
    python: Path, program: str, batches: Batches, *arguments: object
) -> Iterator[Peer]:
    """Starts a peer program with the batches as its input."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "batches.npz"
        arrays: dict[str, Any] = {
            f"{part}_{i}": np.asarray(array, np.int64)
            for i, batch in enumerate(batches)
            for part, array in batch.items()
        }
        np.savez(file, **arrays)
        command = [
            str(python),
            str(_PROGRAMS / program),
            str(file),
            *map(str, arguments),
        ]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with process:
            try:
                yield Peer(process)
            finally:
                process.kill()


def print_comparison(
    name: str,
    ours: Callable[[int], object],
    other: Peer,
    steps: int,
    pairs: int,
    warmup: int = 2,
) -> None:
    """Measures both sides and prints a row with their rates and the ratio.

    Args:
        name: The first cell of the row.
        ours: Runs training steps of Object2Vec.
        other: The peer.
        steps: Training steps per round.
        pairs: Pairs in these steps.
        warmup: Training steps before the measurement, run twice.
    """
    for _ in range(2):  # traces the graph and fills caches
        ours(warmup)
        other.steps(warmup)
    rates: list[tuple[float, float]] = []
    for _ in range(ROUNDS.value):
        time.sleep(_PAUSE)
        start = time.perf_counter()
        ours(steps)
        seconds = time.perf_counter() - start
        time.sleep(_PAUSE)
        rates.append((pairs / seconds, pairs / other.steps(steps)))
    ratios = [a / b for a, b in rates]
    medians = [statistics.median(side) for side in zip(*rates, strict=True)]
    print(
        f"| {name} | {medians[0]:,.0f} | {medians[1]:,.0f} "
        f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |",
        flush=True,
    )


def _print_header(first: str) -> None:
    print(f"\n| {first} | pairs/s | peer, pairs/s | ratio |\n|---|---|---|---|")


def _batches(setting: row_sparse.Setting) -> Batches:
    return [
        {"in0": in0, "in1": in1, "label": labels}
        for in0, in1, labels in setting.batches()
    ]


def row_sparse_table() -> None:
    """Prints the comparison with torch's sparse optimizers."""
    python = peer_python(Path(ENVIRONMENT.value), _TORCH_PACKAGES)
    _print_header("torch EmbeddingBag, sparse")
    _compare_tables(python, "torch_embedding_bag.py", _TORCH_OPTIMIZERS, {"": ()})


def fbgemm_table() -> None:
    """Prints the comparison with FBGEMM's tables, if FBGEMM can be installed."""
    try:
        python = peer_python(Path(FBGEMM_ENVIRONMENT.value), _FBGEMM_PACKAGES)
    except UserError as error:
        print(f"\nNo table of FBGEMM: {error}", flush=True)
        return
    _print_header("FBGEMM, fused update")
    lookups = {", two lookups": (2,), ", one lookup": (1,)}
    _compare_tables(python, "fbgemm_tables.py", _FBGEMM_OPTIMIZERS, lookups)


def _compare_tables(
    python: Path,
    program: str,
    optimizers: Collection[str],
    variants: Mapping[str, tuple[object, ...]],
) -> None:
    """Prints a row for each setting, each of the peer's optimizers and each variant.

    Args:
        python: The Python of the peer.
        program: The peer.
        optimizers: Its optimizers.
        variants: More arguments of the peer by what they add to the name of a row.
    """
    for name in SETTINGS.value:
        setting = NAMED_SETTINGS[name]
        numbers = (setting.vocab_size, setting.dim, MLP_DIM)
        for optimizer in OPTIMIZERS.value:
            if optimizer not in optimizers:
                continue
            ours = row_sparse.object2vec_steps(setting, optimizer)
            for variant, more in variants.items():
                arguments = (*numbers, optimizer, *more)
                with start_peer(python, program, _batches(setting), *arguments) as peer:
                    print_comparison(
                        f"{name} {optimizer}{variant}",
                        ours,
                        peer,
                        STEPS.value,
                        STEPS.value * BATCH,
                    )


def encoder_table() -> None:
    """Prints the comparison with torch's encoders."""
    python = peer_python(Path(ENVIRONMENT.value), _TORCH_PACKAGES)
    _print_header("torch, bucketed")
    for network in ("hcnn", "bilstm"):
        hyperparameters = encoders.make_hyperparameters(network)
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
        ours = row_sparse.training_steps(compiled_model(hyperparameters), bucketed)
        numbers = (
            hyperparameters.enc0_vocab_size,
            hyperparameters.enc0_token_embedding_dim,
            hyperparameters.enc_dim,
            hyperparameters.mlp_dim,
        )
        count = sum(len(labels) for _, labels in bucketed)
        with start_peer(
            python, "torch_encoders.py", arrays, network, *numbers
        ) as torch:
            print_comparison(network, ours, torch, steps, count, warmup=steps)


def program_table() -> None:
    """Prints the comparison with other programs."""
    python = peer_python(Path(ENVIRONMENT.value))
    _print_header("programs")
    setting = NAMED_SETTINGS["P"]
    numbers = (setting.vocab_size, setting.dim)
    batches = _batches(setting)
    for optimizer in OPTIMIZERS.value:
        ours = row_sparse.object2vec_steps(setting, optimizer)
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
            with start_peer(python, program, batches, *numbers, *arguments) as other:
                print_comparison(
                    f"{optimizer}, {name}",
                    ours,
                    other,
                    setting.count,
                    setting.count * BATCH,
                )


def main() -> None:
    """Runs the command."""
    tables = {
        "row_sparse": row_sparse_table,
        "fbgemm": fbgemm_table,
        "encoders": encoder_table,
        "programs": program_table,
    }
    for name in TABLES.value:
        if name not in tables:
            raise UserError(
                f"--tables: expected tables from {', '.join(tables)}, got {name!r}."
            )
        tables[name]()


if __name__ == "__main__":
    runner.run(main)
