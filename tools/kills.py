"""Kills commands at random moments, and checks that the same command finishes the work.

    python -m tools.kills --kills=40 --seed=1

Each round starts a command in a new directory, ends it with SIGKILL or SIGTERM, once or
several times, and runs the same command again to its end. The results must have the
same bits as those of a command that nothing stopped, and the same files must exist. A
moment is a random time, or that at which a random number of files have appeared.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError

# Values of metrics.json, history.jsonl and trials.jsonl that differ between runs.
_TIMES = {"seconds", "records_per_second"}
_DIRECTORIES = ("run", "run[1]", "a b", "naïve")
_TIMEOUT = 600.0
_POLL_SECONDS = 0.002

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


@dataclasses.dataclass(frozen=True)
class Reference:
    """An undisturbed execution.

    Attributes:
        seconds: Its duration.
        files: The number of files that appeared, temporary ones included.
        paths: The files and directories at its end.
        results: Its results.
    """

    seconds: float
    files: int
    paths: set[str]
    results: Results


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
            lambda path: run_results(path),
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
    return {
        f"{path.relative_to(directory)}": _digest(path.read_bytes())
        for path in directory.rglob("answers*")
        if path.is_file()
    } | {
        f"{path.relative_to(directory)}": _digest(path.read_bytes())
        for path in directory.glob("answers/*.out")
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


def _start(arguments: list[str], log: Path, temporary: Path) -> subprocess.Popen[bytes]:
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": f"{temporary}", "TF_CPP_MIN_LOG_LEVEL": "2"}
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdout=file,
            stderr=file,
            env=environment,
            start_new_session=True,
        )


def _execute(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, check=False, text=True
    )
    if done.returncode:
        raise UserError(f"{arguments}: ended with {done.returncode}: {done.stderr}")


def paths_below(*directories: Path) -> set[str]:
    """Returns the files and directories below directories, hidden ones included."""
    paths = {
        _general(str(Path(parent, name).relative_to(root)))
        for root in directories
        for parent, below, files in os.walk(root)
        for name in (*below, *files)
    }
    # The kept checkpoints depend on the times at which they were written.
    return {path for path in paths if "checkpoints/epoch-" not in path}


def _general(path: str) -> str:
    """Returns a path without the parts that differ between runs."""
    name = path.rpartition("/")[2]
    if "tfevents" in name:  # has a time, and there is one for each process
        return path.replace(name, "events")
    # Names of cached channels contain digests of the paths and times of their files.
    return path.replace(name, "source") if name.endswith(".source") else path


def _seen(process: subprocess.Popen[bytes], *roots: Path) -> Iterator[int]:
    """Yields the number of files that have appeared, until the process ends."""
    seen: set[str] = set()
    while process.poll() is None:
        for root in roots:
            for parent, below, files in os.walk(root):
                seen.update(f"{parent}/{name}" for name in (*below, *files))
        yield len(seen)
        time.sleep(_POLL_SECONDS)


def run_reference(case: Case, scratch: Path) -> Reference:
    """Executes a case without a disturbance."""
    directory, temporary = _new(case, scratch, "undisturbed")
    start, count = time.monotonic(), 0
    log = scratch / "undisturbed.log"
    process = _start(case.arguments(directory), log, temporary)
    before = len(paths_below(directory, temporary))
    for seen in _seen(process, directory, temporary):
        count = seen
    if process.returncode:
        raise UserError(f"{case.name}: ended with {process.returncode}: {_tail(log)}")
    return Reference(
        time.monotonic() - start,
        count - before,
        paths_below(directory, temporary),
        case.results(directory),
    )


def _new(case: Case, scratch: Path, name: str) -> tuple[Path, Path]:
    """Returns a new working directory, and one for the system's temporary files."""
    directory, temporary = scratch / name, scratch / "tmp"
    for path in (directory, temporary):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    case.prepare(directory)
    return directory, temporary


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


def disturb(
    case: Case, reference: Reference, scratch: Path, generator: random.Random
) -> list[str]:
    """Kills a case, runs it to its end, and returns what is wrong with its results."""
    directory, temporary = _new(case, scratch, generator.choice(_DIRECTORIES))
    log = scratch / "killed.log"
    log.unlink(missing_ok=True)
    moments = []
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        process = _start(case.arguments(directory), log, temporary)
        sent = generator.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        seconds = generator.uniform(0.1, 1.0) * reference.seconds
        files = generator.randint(1, max(reference.files, 1))
        by_files = generator.random() < 0.6
        start, count, first = time.monotonic(), 0, -1
        for count in _seen(process, directory, temporary):
            first = count if first < 0 else first
            elapsed = time.monotonic() - start
            if (by_files and count - first >= files) or elapsed > seconds * (
                3 if by_files else 1
            ):
                break
        if process.poll() is None:
            # The group, or the process alone.
            if generator.random() < 0.5:
                os.killpg(process.pid, sent)
            else:
                process.send_signal(sent)
        status = process.wait(_TIMEOUT)
        moments.append(
            f"{sent.name} after {time.monotonic() - start:.1f} s and "
            f"{count - first} files: {status}"
        )
        if status not in (0, -sent):
            return [f"{moments}: ended with {status}: {_tail(log)}"]
    print(f"  {directory.name}: {'; '.join(moments)}", flush=True)
    process = _start(case.arguments(directory), log, temporary)
    if process.wait(_TIMEOUT):
        return [f"the last run ended with {process.returncode}: {_tail(log)}"]
    problems = []
    paths = paths_below(directory, temporary)
    for path in sorted(paths - reference.paths):
        if not _is_version(case, path):
            problems.append(f"left over: {path}")
    problems += [f"missing: {path}" for path in sorted(reference.paths - paths)]
    results = case.results(directory)
    for name in sorted({*results, *reference.results}):
        if results.get(name) != reference.results.get(name):
            problems.append(
                f"{name}: expected {reference.results.get(name)}, got "
                f"{results.get(name)}"
            )
    return problems


def _is_version(case: Case, path: str) -> bool:
    """Returns whether a path is in a second version, made after a complete first one.

    The command exports once more if it is repeated after it had exported.
    """
    return case.name == "export" and path.startswith("export/") and path[7].isdigit()


def kill_all(kills: int, seed: int, only: list[str] | None, scratch: Path) -> int:
    """Kills commands, and returns the number of rounds with a problem.

    Args:
        kills: The number of rounds.
        seed: The seed of all choices.
        only: The names of the cases; None for all.
        scratch: An empty directory for temporary files.
    """
    generator = random.Random(seed)
    print(f"seed {seed}", flush=True)
    inputs = scratch / "inputs"
    inputs.mkdir()
    write_inputs(inputs)
    chosen = [case for case in cases(inputs) if not only or case.name in only]
    references: dict[str, Reference] = {}
    failed = 0
    for number in range(kills):
        case = chosen[number % len(chosen)]
        if case.name not in references:
            references[case.name] = run_reference(case, scratch)
            seconds = references[case.name].seconds
            print(f"{case.name}: {seconds:.1f} s undisturbed", flush=True)
        problems = disturb(case, references[case.name], scratch, generator)
        print(
            f"{number + 1}/{kills} {case.name}: {problems or 'identical'}", flush=True
        )
        failed += bool(problems)
        if problems:
            shutil.copy(scratch / "killed.log", scratch / f"failed-{number + 1}.log")
    return failed


def main() -> None:
    """Kills commands with the values of the flags."""
    values = flags.FLAGS
    kills, seed = values.kills, values.seed
    if seed is None:
        seed = random.randrange(10**6)
    with tempfile.TemporaryDirectory(dir=values.scratch) as scratch:
        failed = kill_all(kills, seed, values.only, Path(scratch))
        if failed:
            raise UserError(f"{failed} of {kills} rounds differ, seed {seed}.")
    print(f"{kills} rounds, all identical, seed {seed}")


def define_flags() -> None:
    """Defines the flags of the program. The commands have some of the same names."""
    flags.DEFINE_integer("kills", 40, "number of rounds", 1)
    flags.DEFINE_integer("seed", None, "seed of all choices (default: random)")
    flags.DEFINE_list("only", None, "names of the commands (default: all)")
    flags.DEFINE_string("scratch", None, "directory of temporary files")


if __name__ == "__main__":
    define_flags()
    runner.run_cli(main)
