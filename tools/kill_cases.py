"""The commands that `tools.kills` kills: their inputs, and the results to compare."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from object2vec_tf.errors import UserError

# Values of metrics.json, history.jsonl and trials.jsonl that differ between runs.
_TIMES = {"seconds", "records_per_second"}

Results = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Case:
    """A command to kill.

    Attributes:
        name: Its name.
        arguments: Returns the arguments of Python for a working directory.
        results: Returns what must be equal, from the working directory.
        prepare: Prepares a new working directory.
    """

    name: str
    arguments: Callable[[Path], list[str]]
    results: Callable[[Path], Results]
    prepare: Callable[[Path], None] = lambda directory: None


def cases(inputs: Path) -> list[Case]:
    """Returns all cases.

    Args:
        inputs: The directory that `write_inputs` filled.
    """
    model, items = inputs / "reference/export", inputs / "items.jsonl"
    run = inputs / "reference"
    data = [f"--train={inputs}/train.jsonl", f"--validation={inputs}/validation.jsonl"]
    settings = [*data, "--checkpoint_seconds=1", *_SETTINGS]

    def neighbors(verb: str, source: Path, *others: str) -> Callable[[Path], list[str]]:
        return lambda path: [
            *("-m", "object2vec_tf.neighbors", verb, f"--input={source}"),
            *(f"--index={path}/index", *others),
        ]

    def transform(source: str, output: str) -> Callable[[Path], list[str]]:
        return lambda path: [
            *("-m", "object2vec_tf.transform", f"--model={model}"),
            *(f"--input={inputs}/{source}", f"--output={path}/{output}"),
        ]

    return [
        Case(
            "fit",
            lambda path: ["-m", "object2vec_tf.fit", f"--model_dir={path}", *settings],
            run_results,
        ),
        Case(
            "tune",
            lambda path: [
                *("-m", "object2vec_tf.tune", f"--model_dir={path}", "--trials=4"),
                *("--tune=learning_rate=1e-4..1e-2,dropout", *settings, "--epochs=2"),
            ],
            study_results,
        ),
        Case("transform", transform("pairs.jsonl", "answers.jsonl"), file_results),
        Case("transform_directory", transform("shards", "answers/"), file_results),
        Case(
            "export",
            lambda path: [
                *("-m", "export", f"--model_dir={run}", f"--export_dir={path}/export"),
                f"--items={items}",
            ],
            export_results,
        ),
        Case("neighbors_build", neighbors("build", items, f"--model={model}"), _index),
        Case(
            "neighbors_add",
            neighbors("add", inputs / "new_items.jsonl"),
            _index,
            lambda path: _copy(inputs / "index", path / "index"),
        ),
        Case(
            "sagemaker_train",
            lambda path: ["-m", "object2vec_tf.sagemaker", "train", f"--prefix={path}"],
            lambda path: run_results(path / "model"),
            lambda path: _copy(inputs / "ml", path),
        ),
    ]


_SETTINGS = [
    *("--enc0_network=pooled_embedding", "--enc1_network=hcnn", "--epochs=3"),
    *("--enc0_vocab_size=500", "--enc1_vocab_size=500", "--enc_dim=16"),
    *("--enc0_max_seq_len=8", "--enc1_max_seq_len=8", "--mini_batch_size=64"),
]


def write_inputs(directory: Path) -> None:
    """Writes the data, and the model and the index that cases start from."""
    generator = random.Random(7)

    def ids() -> list[int]:
        return [generator.randrange(500) for _ in range(generator.randint(1, 8))]

    def write(name: str, count: int, **fields: Callable[[], Any]) -> None:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps({k: f() for k, f in fields.items()}) for _ in range(count))
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def pair() -> dict[str, Callable[[], Any]]:
        return {"in0": ids, "in1": ids, "label": lambda: generator.randrange(2)}

    write("train.jsonl", 8_000, **pair())
    write("validation.jsonl", 1_000, **pair())
    write("pairs.jsonl", 40_000, **pair())
    for shard in range(6):
        write(f"shards/part-{shard}.jsonl", 8_000, **pair())
    write("items.jsonl", 20_000, in1=ids)
    write("new_items.jsonl", 3_000, in1=ids)
    for channel in ("train", "validation"):
        _copy(directory / f"{channel}.jsonl", directory / f"ml/input/data/{channel}/x")
    settings = dict(setting.lstrip("-").split("=") for setting in _SETTINGS)
    (directory / "ml/input/config").mkdir()
    (directory / "ml/input/config/hyperparameters.json").write_text(
        json.dumps(settings), encoding="utf-8"
    )
    known = {case.name: case for case in cases(directory)}
    _execute(known["fit"].arguments(directory / "reference"))
    build = known["neighbors_build"].arguments(directory)
    _execute(build)


def _copy(source: Path, destination: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, destination, dirs_exist_ok=True)
    else:
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, destination)


def _execute(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, check=False, text=True
    )
    if done.returncode:
        raise UserError(f"{arguments}: ended with {done.returncode}: {done.stderr}")


def run_results(directory: Path) -> Results:
    """Returns the weights, measures and answers of a run."""
    results = {"model": weights_digest(directory / "model.keras")}
    for name in ("metrics.json", "history.jsonl"):
        lines = (directory / name).read_text(encoding="utf-8")
        texts = [lines] if name == "metrics.json" else lines.splitlines()
        results[name] = repr([_without_times(json.loads(text)) for text in texts])
    return results | _exported(directory / "export/1")


def study_results(directory: Path) -> Results:
    """Returns the trials of a study, and the results of its best run."""
    lines = (directory / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    trials = [_without_times(json.loads(line)) for line in lines]
    return {"trials": repr(trials)} | run_results(directory / "best")


def export_results(directory: Path) -> Results:
    """Returns the newest version of an exported model."""
    versions = [path for path in (directory / "export").iterdir() if path.is_dir()]
    return _exported(max(versions, key=lambda path: int(path.name)))


def file_results(directory: Path) -> Results:
    """Returns the digests of all files of answers."""
    paths = [*directory.rglob("answers*"), *directory.glob("answers/*.out")]
    return {
        f"{path.relative_to(directory)}": _digest(path.read_bytes())
        for path in paths
        if path.is_file()
    }


def _index(directory: Path) -> Results:
    return {
        name: _digest((directory / "index" / name).read_bytes())
        for name in ("index.faiss", "items.jsonl")
    }


def _exported(directory: Path) -> Results:
    """Returns the weights of an exported model, and its answers to golden requests."""
    return {
        name: _digest((directory / name).read_bytes())
        for name in (
            "variables/variables.data-00000-of-00001",
            "assets.extra/golden.jsonl",
        )
    }


def weights_digest(path: Path) -> str:
    """Returns a digest of the bits of all weights of a ``.keras`` file."""
    digest = hashlib.sha256()

    def add(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset):
            value = np.asarray(entry)
            digest.update(f"{name} {value.dtype} {value.shape}".encode())
            digest.update(value.tobytes())

    with (
        zipfile.ZipFile(path) as archive,
        archive.open("model.weights.h5") as file,
        h5py.File(file) as weights,
    ):
        weights.visititems(add)
    return digest.hexdigest()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _without_times(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_times(v) for k, v in value.items() if k not in _TIMES}
    return [_without_times(v) for v in value] if isinstance(value, list) else value
