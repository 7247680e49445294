"""The choice of an execution strategy."""

from __future__ import annotations

import tensorflow as tf

from object2vec_tf.distributed.cluster import TF_CONFIG, read_cluster
from object2vec_tf.distributed.multi_worker import start_workers
from object2vec_tf.distributed.sharded_tables import ShardedTables
from object2vec_tf.distributed.strategies import (
    MirroredDevices,
    SingleDevice,
    Strategy,
)
from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.layers.table_placement import WHOLE_TABLES, TablePlacement

STRATEGIES = ("auto", "one", "mirrored", "multi_worker")
BATCH_LAYOUTS = ("auto", "ragged", "static")
TABLE_PLACEMENTS = ("replicated", "sharded")


def choose_strategy(
    name: str = "auto", gpus: int | None = None, device: str = "auto"
) -> Strategy:
    """Returns the execution strategy of a run.

    For several workers, call this before TensorFlow executes anything in the process.

    Args:
        name: One of `STRATEGIES`. auto is multi_worker if TF_CONFIG lists more than one
            worker, mirrored if there is more than one GPU, and one otherwise.
            multi_worker with a single worker is also resolved like auto.
        gpus: Maximum number of GPUs to use, 0 for none; None uses all of them.
        device: What `object2vec_tf.devices.select_device` has selected.

    Raises:
        UserError: The name is unknown, the strategy needs something that is missing, or
            ``device`` requires a GPU that ``gpus`` forbids.
    """
    if name not in STRATEGIES:
        raise UserError(
            f"strategy: expected one of {', '.join(STRATEGIES)}, got {name!r}."
        )
    if device == "gpu" and gpus == 0:
        raise UserError(
            "device=gpu: expected _num_gpus of 1 or more, got 0. Remove one of them."
        )
    cluster = read_cluster() if name in ("auto", "multi_worker") else None
    if name == "multi_worker" and cluster is None:
        raise UserError(
            f"strategy=multi_worker: expected {TF_CONFIG} to list the workers, but it "
            "is not set. Set it for each worker, or leave --strategy out."
        )
    if gpus is not None:
        _limit_gpus(gpus)
    if cluster is not None and len(cluster.addresses) > 1:
        return start_workers(cluster)
    available = len(tf.config.get_visible_devices("GPU"))
    if name == "mirrored" or (name != "one" and available > 1):
        return _mirrored_devices()
    return SingleDevice()


def _limit_gpus(count: int) -> None:
    visible = tf.config.get_visible_devices("GPU")[:count]
    try:
        tf.config.set_visible_devices(visible, "GPU")
    except RuntimeError as error:
        raise UserError(
            f"_num_gpus: cannot limit TensorFlow to {count} GPUs, since it already "
            "uses others in this process. Leave _num_gpus out, or start a new process."
        ) from error


def _mirrored_devices() -> MirroredDevices:
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(devices) < 2:
        raise UserError(
            f"strategy=mirrored: expected two or more devices of one kind, got one "
            f"{kind}. Leave --strategy out."
        )
    return MirroredDevices(tf.distribute.MirroredStrategy(devices))


def check_batch_layout(name: str) -> None:
    """Checks the name of a layout of batches.

    Raises:
        UserError: It is unknown.
    """
    if name not in BATCH_LAYOUTS:
        raise UserError(
            f"batch_layout: expected one of {', '.join(BATCH_LAYOUTS)}, got {name!r}."
        )


def check_table_placement(name: str) -> None:
    """Checks the name of a placement of token tables.

    Raises:
        UserError: There is no such placement.
    """
    if name not in TABLE_PLACEMENTS:
        raise UserError(
            f"table_placement: expected one of {', '.join(TABLE_PLACEMENTS)}, got "
            f"{name!r}."
        )


def choose_table_placement(
    name: str, strategy: Strategy, batch_layout: str = "ragged"
) -> TablePlacement:
    """Returns where the token tables of a run are kept.

    Args:
        name: One of `TABLE_PLACEMENTS`. A single device always has whole tables.
        strategy: The execution strategy.
        batch_layout: The layout that the user asks for.

    Raises:
        UserError: Sharded tables are asked for, and the static layout too.
    """
    check_table_placement(name)
    if name == "replicated" or strategy.replicas == 1:
        return WHOLE_TABLES
    if batch_layout == "static":
        raise UserError(
            "table_placement=sharded: expected batch_layout=ragged, got static. Leave "
            "--batch_layout out."
        )
    return ShardedTables()


def choose_batch_layout(
    name: str, strategy: Strategy, hyperparameters: Hyperparameters | None = None
) -> str:
    """Returns how the batches of a run are laid out.

    Args:
        name: One of `BATCH_LAYOUTS`. auto is static if the strategy trains on GPUs of
            this process alone, and ragged otherwise.
        strategy: The execution strategy.
        hyperparameters: The model's. Subwords and repeated_tokens=log have the ragged
            layout only.

    Returns:
        ragged or static.

    Raises:
        UserError: static is asked for, and the strategy has several workers, or the
            model has the ragged layout only.
    """
    check_batch_layout(name)
    if reason := hyperparameters and reason_for_ragged(hyperparameters):
        if name == "static":
            raise UserError(
                f"batch_layout=static: expected a model without {reason}. Leave "
                "--batch_layout out."
            )
        return "ragged"
    if name == "static" and strategy.workers > 1:
        raise UserError(
            f"batch_layout=static: expected a single worker, got {strategy.workers}. "
            "Leave --batch_layout out."
        )
    if name != "auto":
        return name
    return "static" if strategy.workers == 1 and _uses_gpus(strategy) else "ragged"


def reason_for_ragged(hyperparameters: Hyperparameters) -> str:
    """Returns what the static layout cannot have; "" if the model has nothing of it."""
    if any(map(hyperparameters.subwords, (0, 1))):
        return "encX_subword_ngrams, whose words have any number of n-grams"
    if hyperparameters.repeated_tokens == "log":
        return "repeated_tokens=log, whose counts are those of ragged objects"
    return ""


def _uses_gpus(strategy: Strategy) -> bool:
    if isinstance(strategy, MirroredDevices):
        return all("GPU" in device for device in strategy.devices)
    # With strategy=one, TensorFlow places everything on the first of several GPUs.
    return len(tf.config.get_visible_devices("GPU")) > 0
