"""A job whose shards are answered by the workers of a Ray cluster.

Ray Data hands pieces of shards to a pool of actors, each of which has loaded the model,
and again those whose actor died. Neither objects nor answers pass through Ray: actors
read the shard and write a file, which the driver puts together. So a piece may be of
any size, the memory of all is bounded, and the request code is that of one process.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging as absl_logging
from rich.console import Console
from rich.progress import TextColumn

from object2vec_tf.bulk.assembly import Assembly
from object2vec_tf.bulk.job import progress
from object2vec_tf.bulk.output_writers import FORMATS
from object2vec_tf.bulk.predict_split import write_answers
from object2vec_tf.bulk.shards import Shard
from object2vec_tf.errors import UserError
from object2vec_tf.extras import import_extra
from object2vec_tf.files.atomic import sync
from object2vec_tf.inference.file_splits import BLOCK_BYTES, FileSplit
from object2vec_tf.inference.predictor import Predictor, load_model
from object2vec_tf.native_logging import silence_native_stderr

# Pieces are so small that each worker gets several, but within these bounds.
_PIECES_A_WORKER = 8
_LEAST_BYTES, _MOST_BYTES = 4 * BLOCK_BYTES, 64 * BLOCK_BYTES
# A piece may lose its worker so often; loading the model may, in a row.
_DEATHS = 3
_CORES_A_WORKER = 2
_KNOCK_SECONDS = 10
# Nothing but names and numbers is put into Ray's store.
_STORE_BYTES = 100 << 20


def answer_over_ray(
    shards: Sequence[Shard],
    model: str,
    runtime: str = "tensorflow",
    *,
    address: str = "local",
    workers: int | None = None,
    console: Console | None = None,
) -> Iterator[tuple[Shard, int]]:
    """Answers shards on a Ray cluster, to which all names mean the same files.

    Args:
        shards: What is answered; each file appears when all of it is written.
        model: A run, an exported model or a directory of versions.
        runtime: tensorflow or onnx.
        address: local starts a cluster on this machine, auto finds the one that it
            belongs to, HOST:PORT another.
        workers: How many load the model; by default one for two cores.
        console: Where progress and the death of workers are told; nowhere by default.

    Yields:
        A shard that is done, and its number of rows.

    Raises:
        DataError: A line or row is wrong.
        UserError: Ray is not installed, there is no such cluster, a worker cannot load
            the model, or all die.
    """
    ray = _ray()
    assemblies: dict[int, Assembly] = {}
    answers: Iterator[dict[str, Any]] = iter(())
    with _cluster(ray, address, workers):
        try:
            cores = max(int(ray.cluster_resources().get("CPU", 1)), 1)
            workers = workers or max(cores // _CORES_A_WORKER, 1)
            size = _piece_bytes(shards, workers)
            rows = []
            for number, shard in enumerate(shards):
                assemblies[number] = assembly = Assembly(shard, size)
                rows += list(_tasks(number, assembly))
            workers = min(workers, len(rows))
            answers = _answers(ray, rows, model, runtime, workers, cores // workers)
            yield from _assembled(answers, assemblies, len(rows), console)
        except BaseException as error:
            for assembly in assemblies.values():
                assembly.give_up(error)
            # Actors find their files gone and come to an end, before Ray does.
            for _ in answers:
                pass
            raise


def _assembled(
    answers: Iterator[dict[str, Any]],
    assemblies: dict[int, Assembly],
    pieces: int,
    console: Console | None,
) -> Iterator[tuple[Shard, int]]:
    """Yields shards that are done, and takes them out of the assemblies."""
    column = TextColumn("{task.completed} of {task.total} pieces")
    with progress(column, console) as shown:
        task = shown.add_task("", total=pieces)
        for row in answers:
            assembly = assemblies[row["shard"]]
            _tell(row, assembly.shard, console)
            if assembly.add(row["piece"], row["rows"]):
                del assemblies[row["shard"]]
                yield assembly.shard, assembly.rows
            shown.advance(task)


def _tell(row: dict[str, Any], shard: Shard, console: Console | None) -> None:
    if row["error"]:  # with the file as the user wrote it
        path = str(shard.path)
        raise UserError(row["error"].replace(str(shard.path.absolute()), path))
    if row["deaths"] and console:
        console.print(
            f"{shard.path}: piece {row['piece'] + 1} was answered by another worker, "
            "as its own had died",
            highlight=False,
            soft_wrap=True,
        )


def _piece_bytes(shards: Sequence[Shard], workers: int) -> int:
    held = sum(shard.path.stat().st_size for shard in shards)
    wanted = held // (workers * _PIECES_A_WORKER) // BLOCK_BYTES * BLOCK_BYTES
    return min(max(wanted, _LEAST_BYTES), _MOST_BYTES)


def _tasks(number: int, assembly: Assembly) -> Iterator[dict[str, Any]]:
    """Yields what actors are told of each piece: numbers and names alone."""
    form = next(n for n, kind in FORMATS.items() if kind is assembly.shard.answer_file)
    for i, piece in enumerate(assembly.pieces):
        yield {
            "shard": number,
            "piece": i,
            "path": str(piece.path.absolute()),
            "start": piece.start,
            "stop": -1 if piece.stop is None else piece.stop,
            "part": str(assembly.part(i).absolute()),
            "format": form,
        }


class Answerer:
    """An actor: holds a model, and answers a piece at a time.

    What a user can mend is told in the answer: an exception would be done again or come
    with Ray's traceback.

    Args:
        model: A run, an exported model or a directory of versions.
        runtime: tensorflow or onnx.
        cores: How many the model may use.
    """

    def __init__(self, model: str, runtime: str, cores: int) -> None:
        with suppress(RuntimeError):  # another model has run in this process
            tf.config.threading.set_intra_op_parallelism_threads(cores)
        self._model: Predictor | None = None
        try:
            self._model = load_model(model, runtime)
        except UserError as error:
            self._problem = f"{error} (on {socket.gethostname()})"

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Answers a piece.

        Args:
            row: What `_tasks` yields.

        Returns:
            The numbers of shard and piece, how many rows it has, how many workers died
            of it before, and what the user has to mend.
        """
        told = {"shard": row["shard"], "piece": row["piece"], "rows": 0, "deaths": 0}
        if self._model is None:
            return told | {"error": self._problem}
        part = Path(row["part"])
        own = part.with_name(f"{part.name}.{socket.gethostname()}.{os.getpid()}")
        left = [path for path in part.parent.glob(f"{part.name}.*") if path != own]
        told["deaths"] = len(left)
        if len(left) > _DEATHS:
            return told | {
                "error": f"{row['path']}: {len(left)} workers died while they answered "
                f"piece {row['piece'] + 1}; look into Ray's logs, and if it was for "
                "memory, give fewer --workers"
            }
        try:
            for path in left:  # the name still counts
                os.truncate(path, 0)
            stop = None if row["stop"] < 0 else row["stop"]
            piece = FileSplit(Path(row["path"]), row["start"], stop)
            answer_file = FORMATS[row["format"]]
            for told["rows"] in write_answers(self._model, piece, own, answer_file):
                if not own.exists():
                    return told | {"error": "the job was given up"}
            sync(own)
            own.replace(part)
        except UserError as error:
            return told | {"error": str(error)}
        except OSError as error:  # the disk is full, a file may not be read, ...
            name = error.filename or row["path"]
            return told | {"error": f"{name}: {error.strerror or error}"}
        return told | {"error": ""}


def _answers(
    ray: Any,
    rows: Sequence[dict[str, Any]],
    model: str,
    runtime: str,
    workers: int,
    cores: int,
) -> Iterator[dict[str, Any]]:
    """Yields what the pool's actors return, in the order in which they do."""
    data = ray.data
    cores = max(cores, 1)
    path = str(Path(model).absolute())
    # A row is a block, and an actor has one at a time: the last are spread evenly.
    pool = data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1)
    answered = data.from_items(list(rows), override_num_blocks=len(rows)).map(
        Answerer,
        fn_constructor_args=(path, runtime, cores),
        compute=pool,
        num_cpus=cores,
    )
    try:
        yield from answered.iter_rows()
    except ray.exceptions.RayActorError as error:
        raise UserError(
            f"workers died while they loaded {model}: {str(error).splitlines()[0]} "
            "Look into Ray's logs, and if it was for memory, give fewer --workers"
        ) from error


@contextmanager
def _cluster(ray: Any, address: str, workers: int | None) -> Iterator[None]:
    """Connects to a cluster, or starts one; not where this process has done so."""
    if ray.is_initialized():
        yield
        return
    loud = absl_logging.get_verbosity() >= absl_logging.DEBUG
    options: dict[str, Any] = {
        "address": address,
        "log_to_driver": loud,
        "logging_level": logging.INFO if loud else logging.ERROR,
    }
    if address == "local":
        cores = len(os.sched_getaffinity(0))
        options |= {
            "num_cpus": max(cores, workers or 1),
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",  # nobody else is to reach it
            "object_store_memory": _STORE_BYTES,
        }
    try:
        _knock(address)
        with silence_native_stderr(not loud):
            ray.init(**options)
    except Exception as error:  # Ray raises a bare one where a node starts too slowly
        ray.shutdown()
        advice = (
            "start one with ray start --head, or give local; where it wants a token, "
            "as ray start does by default, set RAY_AUTH_MODE=token"
        )
        if address == "local":
            advice = "look into Ray's logs; on a machine that is busy, try again"
        raise UserError(
            f"--ray_address={address}: no cluster: {error}; {advice}"
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = loud
    context.print_on_execution_start = loud
    context.execution_no_progress_timeout_s = -1
    context.max_consecutive_actor_init_deaths = _DEATHS
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises an OSError where nobody listens, which Ray would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), _KNOCK_SECONDS).close()


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # reports nothing to anybody
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # starts no cluster unasked
    if absl_logging.get_verbosity() < absl_logging.DEBUG:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray = import_extra("ray", "distributed", "--runner=ray")
    import_extra("ray.data", "distributed", "--runner=ray")
    if absl_logging.get_verbosity() < absl_logging.DEBUG:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray
