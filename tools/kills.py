"""Kills commands at random moments, and checks that the same command finishes the work.

    python -m tools.kills --kills=40 --seed=1

Each round starts a command in a new directory, ends it with SIGKILL or SIGTERM, once or
several times, and runs the same command again to its end. The results must have the
same bits as those of a command that nothing stopped, and the same files must exist. A
moment is a random time, or that at which a random number of files have appeared.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from tools.kill_cases import Case, Results, cases, write_inputs

_DIRECTORIES = ("run", "run[1]", "a b", "naïve")
_TIMEOUT = 600.0
_POLL_SECONDS = 0.002


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
