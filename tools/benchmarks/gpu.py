"""Times training on a GPU, beside Keras and torch on the same card and batches.

    python -m tools.benchmarks.gpu --output=gpu.json

Takes at most five minutes. Each side of each row is a process of its own with a time
limit; one that fails becomes a row with the reason. Object2Vec trains whole epochs,
whose batches are laid out while earlier ones train. The peers repeat the first batches
of the first epoch, which are in memory; their input costs them next to nothing.

The share of a step that Object2Vec waits for data is the time that it saves when it
repeats some batches, too. The limit is the least time of a step: the bytes and
operations that it needs (`tools.benchmarks.gpu_parts.roofline`) at the rates of a large
copy and of a large matrix product on the same card. Its share of the step is in
parentheses.

torch is used if --torch_python can import it. `--device=cpu --small` runs everything in
small sizes on a CPU, which says nothing about speed.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import atomic_file
from tools.benchmarks.gpu_parts import roofline, table, works
from tools.benchmarks.gpu_parts.child import Task
from tools.benchmarks.gpu_parts.processes import Part, environment_of, run_parts
from tools.benchmarks.gpu_parts.works import WORKS, Work

WORK_NAMES = flags.DEFINE_string(
    "works", "", "only works whose name contains one of these words, separated by ;"
)
PARTS = flags.DEFINE_list(
    "parts",
    ["card", "ours", "torch", "keras"],
    "what to measure, in this order; ragged is Object2Vec without XLA",
)
SECONDS = flags.DEFINE_float("seconds", 1.5, "seconds to train each variant", 0.01)
MINUTES = flags.DEFINE_float("minutes", 5, "time for everything", 0.1)
LIMIT = flags.DEFINE_float("limit", 60, "seconds for each part, compilations included")
AHEAD = flags.DEFINE_integer(
    "ahead", 2, "number of processes that get ready while another one measures", 0
)
DEVICE = flags.DEFINE_enum("device", "gpu", ["gpu", "cpu"], "where to train")
SMALL = flags.DEFINE_bool("small", False, "small sizes, to try this program")
OUTPUT = flags.DEFINE_string("output", None, "file for the results as JSON")
TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", sys.executable, "a Python that can import torch"
)

_ROOT = Path(__file__).parents[2]
_PEERS = Path(__file__).parent / "peer_programs"
_MODULES = {"card": "card", "ours": "ours", "ragged": "ours", "keras": "keras_fit"}
_SIDES = (*_MODULES, "torch")


class Files:
    """The data of the works, written when the first part needs them.

    Args:
        directory: The directory of the files.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._data: dict[Any, Path] = {}
        self._batches: dict[str, Path] = {}
        self.costs: dict[str, roofline.Cost] = {}

    def write(self, name: str, work: Work) -> tuple[Path, Path]:
        """Returns the files of a work's pairs and of its peers' batches."""
        key = (work.vocab_size, work.rows, work.tokens, work.max_seq_len)
        if key not in self._data:
            self._data[key] = self._directory / f"data{len(self._data)}.npz"
            works.save(self._data[key], works.make_data(work))
        if name not in self._batches:
            pairs = works.make_pairs(work, works.load(self._data[key]))
            arrays = works.peer_batches(pairs, work.peer_batches)
            batches = works.unpack_batches(arrays)
            sizes = roofline.batch_sizes(batches, tied=work.is_pooled)
            self.costs[name] = roofline.training_cost(work, sizes)
            self._batches[name] = self._directory / f"batches{len(self._batches)}.npz"
            works.save(self._batches[name], arrays)
        return self._data[key], self._batches[name]


def _command(side: str, name: str, files: Files) -> Sequence[str]:
    """Returns the command of a part; writes its data first."""
    task = Task(name, SMALL.value, DEVICE.value, SECONDS.value)
    if side != "card":
        work = task.sized_work()
        data, batches = files.write(name, work)
        layout = "ragged" if side == "ragged" else "static"
        task = dataclasses.replace(
            task, data=str(data), batches=str(batches), layout=layout
        )
    if side != "torch":
        module = f"tools.benchmarks.gpu_parts.{_MODULES[side]}"
        return [sys.executable, "-m", module, json.dumps(dataclasses.asdict(task))]
    program = "torch_embedding_bag" if work.is_pooled else "torch_encoders"
    numbers: tuple[Any, ...] = (work.network, work.vocab_size, work.token_dim)
    numbers = (*numbers, work.enc_dim, work.mlp[0])
    if work.is_pooled:
        numbers = (work.vocab_size, work.token_dim, work.mlp[0], "adam")
    device = "cuda" if DEVICE.value == "gpu" else "cpu"
    program_file = str(_PEERS / f"{program}.py")
    arguments = [batches, *numbers, device, SECONDS.value]
    return [TORCH_PYTHON.value, program_file, *map(str, arguments)]


def selected_works() -> Mapping[str, Work]:
    """Returns the works that the flag selects."""
    words = [word.strip() for word in WORK_NAMES.value.split(";")]
    found = {n: w for n, w in WORKS.items() if any(word in n for word in words)}
    if not found:
        raise UserError(
            f"--works: expected a part of one of {'; '.join(WORKS)}, got "
            f"{WORK_NAMES.value!r}."
        )
    return found


def make_parts(files: Files) -> Iterator[Part]:
    """Yields the parts in order: the card, then all sides of each work."""
    for part in PARTS.value:
        if part not in _SIDES:
            raise UserError(
                f"--parts: expected parts from {', '.join(_SIDES)}, got {part!r}."
            )
    environment = environment_of(DEVICE.value, PYTHONPATH=_python_path())
    without_path = {k: v for k, v in environment.items() if k != "PYTHONPATH"}
    for name in ("", *selected_works()):
        for side in PARTS.value:
            if (side == "card") == (name == ""):
                yield Part(
                    name or "card",
                    side,
                    functools.partial(_command, side, name, files),
                    without_path if side == "torch" else environment,
                )


def _python_path() -> str:
    import os

    return os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))


def describe_machine() -> str:
    """Returns the names of the GPUs, or of the device if there are none."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, check=True)
        return found.stdout.strip().replace("\n", "; ")
    except (OSError, subprocess.CalledProcessError):
        return DEVICE.value


def main() -> None:
    """Runs the command."""
    if DEVICE.value == "gpu" and not tf.config.get_visible_devices("GPU"):
        raise UserError(
            "--device=gpu: expected a GPU that TensorFlow can use, got none. Give "
            "--device=cpu --small to try the program on a CPU."
        )
    deadline = time.monotonic() + 60 * MINUTES.value
    results: dict[str, list[table.Result]] = {}
    machine, card = describe_machine(), table.Card(0.0, {})
    with tempfile.TemporaryDirectory() as directory:
        files = Files(Path(directory))
        parts = list(make_parts(files))
        last = {part.work: part for part in parts}
        first = next((part.work for part in parts if part.work != "card"), "")
        print(f"{machine}; {'small sizes' if SMALL.value else 'full sizes'}")
        for part, found in run_parts(
            parts, deadline=deadline, limit=LIMIT.value, ahead=AHEAD.value
        ):
            results.setdefault(part.work, []).extend(found)
            if part.work == "card":
                card = table.Card.of(found)
                print(*(r["error"] for r in found if "error" in r), card, sep="\n")
            elif part is last[part.work]:
                rows = results[part.work]
                if part.work == first:
                    print(f"\n{table.HEADER}")
                table.complete(rows, files.costs.get(part.work), card)
                print(*(table.row(part.work, r) for r in rows), sep="\n", flush=True)
            if OUTPUT.value:
                content = {"machine": machine, "works": results}
                with atomic_file(Path(OUTPUT.value)) as file:
                    file.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    runner.run(main)
