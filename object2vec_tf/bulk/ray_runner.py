"""Running file jobs on the workers of a Ray cluster.

Ray Data distributes the splits of the input files to a pool of actors, each of which
has loaded the model. A split whose actor died is given to another one. Neither inputs
nor predictions pass through Ray: actors read the input file and write one output file
per split, and the driver joins these files. A split may therefore have any size, memory
is bounded, and actors use the same prediction code as a single process.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging as absl_logging
from rich.console import Console
from rich.progress import TextColumn

from object2vec_tf.bulk.answer_options import AnswerOptions
from object2vec_tf.bulk.assembly import Assembly
from object2vec_tf.bulk.file_jobs import FileJob
from object2vec_tf.bulk.job import progress_bar
from object2vec_tf.bulk.output_writers import FORMATS
from object2vec_tf.bulk.predict_split import write_predictions
from object2vec_tf.bulk.row_counts import RowCounts
from object2vec_tf.errors import UserError
from object2vec_tf.extras import import_extra
from object2vec_tf.files.atomic import sync
from object2vec_tf.files.line_limit import (
    DEFAULT_MEGABYTES,
    max_line_megabytes,
    set_max_line_megabytes,
)
from object2vec_tf.inference.file_splits import BLOCK_BYTES, FileSplit
from object2vec_tf.inference.predictor import Predictor, load_model
from object2vec_tf.inference.token_counts import (
    CountsByInput,
    add_counts,
    counts_from_json,
    counts_to_json,
    subtract_counts,
    warn_of_unknown_tokens,
)
from object2vec_tf.native_logging import silence_native_stderr

# Each worker gets several splits, whose size stays within these bounds.
_SPLITS_PER_WORKER = 8
_MIN_SPLIT_BYTES, _MAX_SPLIT_BYTES = 4 * BLOCK_BYTES, 64 * BLOCK_BYTES
# The number of workers that may die with the same split, and the number that may die
# one after another while they load the model.
_MAX_DEATHS = 3
_CORES_PER_WORKER = 2
_CONNECT_TIMEOUT_SECONDS = 10
# Ray's object store contains only names and numbers.
_STORE_BYTES = 100 << 20


def predict_on_ray(
    jobs: Sequence[FileJob],
    model: str,
    runtime: str = "tensorflow",
    *,
    table: str | None = None,
    address: str = "local",
    workers: int | None = None,
    console: Console | None = None,
) -> Iterator[tuple[FileJob, RowCounts]]:
    """Runs file jobs on a Ray cluster. All paths must be valid on its machines.

    Args:
        jobs: The file jobs. Each output file is written atomically.
        model: A run, an exported model or a directory of versions.
        runtime: tensorflow or onnx.
        table: memory or mmap; None as the model has its tables.
        address: local starts a cluster on this machine, auto uses the cluster that this
            machine belongs to, HOST:PORT another one.
        workers: The number of workers, each of which loads the model. The default is
            one for two cores.
        console: Shows the progress and the death of workers; None shows nothing.

    Yields:
        Each finished job, and the counts of its rows.

    Raises:
        DataError: A line or row is wrong.
        UserError: Ray is not installed, the cluster does not exist, a worker cannot
            load the model, or all workers die.
    """
    ray = _import_ray()
    assemblies: dict[int, Assembly] = {}
    results: Iterator[dict[str, Any]] = iter(())
    with _connect(ray, address, workers):
        try:
            cores = max(int(ray.cluster_resources().get("CPU", 1)), 1)
            workers = workers or max(cores // _CORES_PER_WORKER, 1)
            size = _split_bytes(jobs, workers)
            tasks = []
            for number, job in enumerate(jobs):
                assemblies[number] = assembly = Assembly(job, size)
                tasks += list(_tasks(number, assembly))
            workers = min(workers, len(tasks))
            loading = {"model": model, "runtime": runtime, "table": table}
            results = _run_actors(ray, tasks, loading, workers, cores // workers)
            yield from _assemble(results, assemblies, len(tasks), console)
        except BaseException as error:
            for assembly in assemblies.values():
                assembly.abort(error)
            # Actors stop when their files are gone. Wait for them before Ray ends.
            for _ in results:
                pass
            raise


def _assemble(
    results: Iterator[dict[str, Any]],
    assemblies: dict[int, Assembly],
    splits: int,
    console: Console | None,
) -> Iterator[tuple[FileJob, RowCounts]]:
    """Yields finished jobs and their counts, and removes them from ``assemblies``."""
    column = TextColumn("{task.completed} of {task.total} splits")
    counts: CountsByInput = {}
    with progress_bar(column, console) as progress:
        task = progress.add_task("", total=splits)
        for result in results:
            assembly = assemblies[result["job"]]
            _check(result, assembly.job, console)
            counts = add_counts(counts, counts_from_json(result["tokens"]))
            rows = RowCounts.from_json(result["rows"])
            if assembly.add(result["split"], rows):
                del assemblies[result["job"]]
                yield assembly.job, assembly.counts
            progress.advance(task)
    warn_of_unknown_tokens(counts)


def _check(result: dict[str, Any], job: FileJob, console: Console | None) -> None:
    """Raises a UserError for a failed split; reports the death of workers."""
    if result["error"]:  # with the path as the user wrote it
        path = str(job.path)
        raise UserError(result["error"].replace(str(job.path.absolute()), path))
    if result["deaths"] and console:
        console.print(
            f"{job.path}: the worker of split {result['split'] + 1} died. "
            "Another worker finished the split.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _split_bytes(jobs: Sequence[FileJob], workers: int) -> int:
    """Returns the size of a split: a multiple of the block size, within bounds."""
    total = sum(job.path.stat().st_size for job in jobs)
    wanted = total // (workers * _SPLITS_PER_WORKER) // BLOCK_BYTES * BLOCK_BYTES
    return min(max(wanted, _MIN_SPLIT_BYTES), _MAX_SPLIT_BYTES)


def _tasks(number: int, assembly: Assembly) -> Iterator[dict[str, Any]]:
    """Yields the task of each split, which consists of names and numbers only."""
    job = assembly.job
    output_format = next(n for n, writer in FORMATS.items() if writer is job.writer)
    for i, split in enumerate(assembly.splits):
        yield {
            "job": number,
            "split": i,
            "path": str(split.path.absolute()),
            "start": split.start,
            "stop": -1 if split.stop is None else split.stop,
            "output": str(assembly.split_output(i).absolute()),
            "format": output_format,
            "options": json.dumps(job.options.to_dict()),
        }


class SplitPredictor:
    """A Ray actor, which loads a model and writes predictions, one split at a time.

    User errors are returned and not raised: Ray would repeat the task, or print its own
    traceback.

    Args:
        model: A run, an exported model or a directory of versions.
        runtime: tensorflow or onnx.
        cores: The number of cores that the model uses.
        max_line_megabytes: The maximum length of a line.
        table: memory or mmap; None as the model has its tables.
    """

    def __init__(
        self,
        model: str,
        runtime: str,
        cores: int,
        max_line_megabytes: int = DEFAULT_MEGABYTES,
        table: str | None = None,
    ) -> None:
        set_max_line_megabytes(max_line_megabytes)
        with suppress(RuntimeError):  # a model has already run in this process
            tf.config.threading.set_intra_op_parallelism_threads(cores)
        self._model: Predictor | None = None
        try:
            self._model = load_model(model, runtime, table=table)
        except UserError as error:
            self._load_error = f"{error} (on {socket.gethostname()})"

    def __call__(self, task: dict[str, Any]) -> dict[str, Any]:
        """Writes the predictions for a split.

        Args:
            task: An item of `_tasks`.

        Returns:
            The numbers of job and split, the counts of rows as JSON, the number of
            workers that died with this split, the counts of tokens as JSON, and the
            message of a user error or an empty text.
        """
        result: dict[str, Any] = {"job": task["job"], "split": task["split"]}
        result |= {"rows": RowCounts().to_json(), "deaths": 0, "tokens": "{}"}
        if self._model is None:
            return result | {"error": self._load_error}
        output = Path(task["output"])
        own = output.with_name(f"{output.name}.{socket.gethostname()}.{os.getpid()}")
        dead = [path for path in output.parent.glob(f"{output.name}.*") if path != own]
        result["deaths"] = len(dead)
        if len(dead) > _MAX_DEATHS:
            return result | {
                "error": f"{task['path']}: {len(dead)} workers died while they worked "
                f"on split {task['split'] + 1}. Look into Ray's logs. If memory ran "
                "out, give fewer --workers."
            }
        try:
            for path in dead:  # Frees the disk. The file's name is still counted.
                os.truncate(path, 0)
            stop = None if task["stop"] < 0 else task["stop"]
            split = FileSplit(Path(task["path"]), task["start"], stop)
            writer = FORMATS[task["format"]]
            before = self._model.token_counts
            options = AnswerOptions.from_dict(json.loads(task["options"]))
            for rows in write_predictions(self._model, split, own, writer, options):
                result["rows"] = rows.to_json()
                if not own.exists():
                    return result | {"error": "the job was aborted"}
            sync(own)
            own.replace(output)
            tokens = subtract_counts(self._model.token_counts, before)
            result["tokens"] = counts_to_json(tokens)
        except UserError as error:
            return result | {"error": str(error)}
        except OSError as error:  # such as a full disk or a file without permission
            name = error.filename or task["path"]
            return result | {"error": f"{name}: {error.strerror or error}"}
        return result | {"error": ""}


def _run_actors(
    ray: Any,
    tasks: Sequence[dict[str, Any]],
    loading: Mapping[str, Any],
    workers: int,
    cores: int,
) -> Iterator[dict[str, Any]]:
    """Yields the results of tasks in the order in which actors finish them.

    Args:
        ray: The package.
        tasks: The tasks.
        loading: The arguments of `SplitPredictor` that say which model it loads.
        workers: The number of actors.
        cores: The number of cores of each.
    """
    data = ray.data
    cores = max(cores, 1)
    model = loading["model"]
    # Each task is a block, and an actor gets one block at a time. This distributes the
    # last tasks evenly.
    pool = data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1)
    results = data.from_items(list(tasks), override_num_blocks=len(tasks)).map(
        SplitPredictor,
        fn_constructor_kwargs={
            **loading,
            "model": str(Path(model).absolute()),
            "cores": cores,
            "max_line_megabytes": max_line_megabytes(),
        },
        compute=pool,
        num_cpus=cores,
    )
    try:
        yield from results.iter_rows()
    except ray.exceptions.RayActorError as error:
        raise UserError(
            f"workers died while they loaded {model}: {str(error).splitlines()[0]} "
            "Look into Ray's logs. If memory ran out, give fewer --workers."
        ) from error


@contextmanager
def _connect(ray: Any, address: str, workers: int | None) -> Iterator[None]:
    """Connects to a cluster or starts one, unless this process is connected already.

    Raises:
        UserError: The cluster cannot be reached or started.
    """
    if ray.is_initialized():
        yield
        return
    is_verbose = absl_logging.get_verbosity() >= absl_logging.DEBUG
    options: dict[str, Any] = {
        "address": address,
        "log_to_driver": is_verbose,
        "logging_level": logging.INFO if is_verbose else logging.ERROR,
    }
    if address == "local":
        cores = len(os.sched_getaffinity(0))
        options |= {
            "num_cpus": max(cores, workers or 1),
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",  # not reachable from other machines
            "object_store_memory": _STORE_BYTES,
        }
    try:
        _check_reachable(address)
        with silence_native_stderr(not is_verbose):
            ray.init(**options)
    except (
        Exception
    ) as error:  # Ray raises Exception itself if a node starts too slowly
        ray.shutdown()
        advice = (
            "Start one with ray start --head, or give local. If it requires a token, "
            "as ray start does by default, set RAY_AUTH_MODE=token."
        )
        if address == "local":
            advice = "Look into Ray's logs. If the machine is busy, try again."
        raise UserError(
            f"--ray_address={address}: no cluster: {error}. {advice}"
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = is_verbose
    context.print_on_execution_start = is_verbose
    context.execution_no_progress_timeout_s = -1
    context.max_consecutive_actor_init_deaths = _MAX_DEATHS
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raises an OSError if nothing listens at the address.

    Ray itself would try to connect for minutes.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        address_pair = (host, int(port))
        socket.create_connection(address_pair, _CONNECT_TIMEOUT_SECONDS).close()


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send no usage statistics
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # start no cluster unasked
    if absl_logging.get_verbosity() < absl_logging.DEBUG:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray = import_extra("ray", "distributed", "--runner=ray")
    import_extra("ray.data", "distributed", "--runner=ray")
    if absl_logging.get_verbosity() < absl_logging.DEBUG:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray
