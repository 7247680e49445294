"""Checks, before data is read, that the token embeddings fit into memory."""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters

_MEMINFO = Path("/proc/meminfo")
# The limit of a container; cgroup v2.
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
_FLOAT_BYTES = 4
# Values that an optimizer keeps for each weight of a table.
# rowwise_adagrad keeps one for each row.
TABLE_SLOTS = {
    "adam": 2,
    "adadelta": 2,
    "adagrad": 1,
    "rmsprop": 1,
    "rowwise_adagrad": 0,
    "sgd": 0,
}


def check_memory(
    hyperparameters: Hyperparameters,
    memory: tuple[int, int] | None = None,
    share: float = 1.0,
) -> None:
    """Checks that the token embeddings fit into memory.

    Args:
        hyperparameters: The hyperparameters.
        memory: The bytes of all memory and of available memory; None reads them from
            the system.
        share: The share of the rows that this process has.

    Raises:
        UserError: The token embeddings are larger than all memory.

    Warns:
        UserWarning: They, with the optimizer's values, are larger than the memory that
            is available.
    """
    memory = memory or system_memory()
    if memory is None:
        return
    total, available = memory
    tables = {
        encoder: math.ceil(share * size)
        for encoder, size in _table_bytes(hyperparameters).items()
    }
    size = sum(tables.values())
    largest = max(tables, key=tables.__getitem__)
    parts = _rows(hyperparameters, largest)
    rows = math.ceil(share * sum(parts.values()))
    setting = max(parts, key=parts.__getitem__)
    width = hyperparameters.of_encoder(largest, "token_embedding_dim")
    is_pooled = hyperparameters.network(largest) == "pooled_embedding"
    width_name = "enc_dim" if is_pooled else f"enc{largest}_token_embedding_dim"
    if size > total:
        buckets = f"enc{largest}_subword_buckets"
        fewer = f", fewer {buckets}" if hyperparameters.subwords(largest) else ""
        raise UserError(
            f"{setting}: expected token embeddings of at most "
            f"{_gigabytes(total)} GB, the memory of this machine, got "
            f"{_gigabytes(size)} GB ({rows:,} x {width} values of {_FLOAT_BYTES} "
            f"bytes in enc{largest}). Use a smaller vocabulary{fewer} or {width_name}, "
            "or a larger machine, or more machines with --table_placement=sharded."
        )
    slots = TABLE_SLOTS[hyperparameters.optimizer]
    if size * (1 + slots) > available:
        warnings.warn(
            f"{setting}: the token embeddings and the values of the "
            f"optimizer take {_gigabytes(size * (1 + slots))} GB, and "
            f"{_gigabytes(available)} GB of memory are available",
            stacklevel=2,
        )


def fits_assembled(
    hyperparameters: Hyperparameters,
    share: float,
    memory: tuple[int, int] | None = None,
) -> bool:
    """Returns whether a process of a sharded run has the memory for whole tables.

    At the end of training, TensorFlow's allocator keeps the memory of the rows of the
    process and of their slots, and the whole tables are in memory twice for a moment.

    Args:
        hyperparameters: The hyperparameters.
        share: The share of the rows that the process trains.
        memory: As for `check_memory`, before training.
    """
    memory = memory or system_memory()
    if memory is None:
        return True
    size = sum(_table_bytes(hyperparameters).values())
    trained = share * size * (1 + TABLE_SLOTS[hyperparameters.optimizer])
    return trained + 2 * size <= memory[1]


def _table_bytes(hyperparameters: Hyperparameters) -> dict[int, int]:
    """Returns the sizes of the whole tables, by encoder."""
    is_tied = hyperparameters.tied_token_embedding_weight
    return {
        encoder: _FLOAT_BYTES
        * sum(_rows(hyperparameters, encoder).values())
        * int(hyperparameters.of_encoder(encoder, "token_embedding_dim"))
        for encoder in ((0,) if is_tied else (0, 1))
    }


def _rows(hyperparameters: Hyperparameters, encoder: int) -> dict[str, int]:
    """Returns the numbers of vectors of an encoder, of tokens and of n-grams."""
    names = [f"enc{encoder}_{name}" for name in ("vocab_size", "subword_buckets")]
    return {name: int(getattr(hyperparameters, name)) for name in names}


def system_memory() -> tuple[int, int] | None:
    """Returns the bytes of all memory and of available memory; None if unknown."""
    try:
        text = _MEMINFO.read_text()
    except OSError:
        return None
    kilobytes = {name: int(n) for name, n in re.findall(r"(\w+): +(\d+) kB", text)}
    if not {"MemTotal", "MemAvailable"} <= set(kilobytes):
        return None
    swap_total, swap_free = (kilobytes.get(f"Swap{k}", 0) for k in ("Total", "Free"))
    total = 1024 * (kilobytes["MemTotal"] + swap_total)
    available = 1024 * (kilobytes["MemAvailable"] + swap_free)
    try:
        limit = int(_CONTAINER_LIMIT.read_text())
    except (OSError, ValueError):
        limit = total
    return min(total, limit), min(available, limit)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f}"
