"""Estimates memory, network traffic and time of large models from measured constants.

GB are 10**9 bytes. Each docstring states the further assumptions of its formula.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

from object2vec_tf.distributed.collectives import padded_size
from object2vec_tf.errors import UserError

# Bytes of a float32.
FLOAT = 4
# The weights and Adam's two slots.
ADAM_COPIES = 3
# A step reads a row, then reads and writes the row and both slots.
ADAM_PASSES = 7
# Planned load of a replica relative to its capacity. The rest is for bursts and for the
# requests of a failed replica.
UTILIZATION = 0.7
# The part of a machine's memory that token tables and their slots may take.
TABLE_SHARE = 0.8
# Pairs in the training set of the estimates.
PAIRS = 10**9


@dataclasses.dataclass(frozen=True)
class Constants:
    """The constants that scale_probes measures.

    Attributes:
        date: Date of the measurement.
        cores: Cores of the machine.
        memory_gb: Memory of the machine.
        network_gbit: Gbit/s between machines; given, not measured.
        copy_gb_s: Bytes read and written per second when copying a large array.
        rows_gb_s: The same for random rows of 1,200 bytes.
        batch: Pairs in a training step of pooled_embedding.
        pooled_step_ms: Time of such a step: adam, row_sparse, 20 + 50 tokens.
        pooled_tokens: Tokens in the step.
        pooled_rows: Distinct token rows in the step.
        pooled_dim: Width of the rows.
        pooled_dense_mb: Weights of the MLP.
        worker_step_ms: Time of such a step of two workers with one core each, which
            exchange nothing.
        replicated_step_ms: Time of a step that they make together, each with ``batch``
            pairs and a copy of the table.
        sharded_step_ms: The same with a sharded table.
        hcnn_pairs_s: Pairs per second when training hcnn, 512 wide, 15 tokens per side.
        text_bytes: Size of a pair as JSON Lines: 10 + 27 ids.
        cache_bytes: Size of the same pair in the cache.
        order_bytes: Memory per pair for the order of an epoch.
        read_mb_s: Rate of reading text into the cache.
        shuffled_pairs_s: Pairs per second read in random order from the cache.
        checkpoint_gb_s: Rate of writing weights and slots to disk.
        export_gb_s: Rate of exporting weights as a SavedModel, with the replay of the
            warm-up requests.
        load_gb_s: Rate of loading the weights of a SavedModel.
        pooled_requests_s: Requests per second answered by a gateway on the machine,
            which also runs the clients: one pair of 50 + 50 tokens, 64 connections.
        pooled_p99_ms: 99th percentile of their latency.
        hcnn_requests_s: The same rate for hcnn.
        hcnn_p99_ms: The same percentile for hcnn.
        request_bytes: Size of such a request with its headers.
        enc_dim: Width of the embeddings that are searched and sent.
        exact_gb_s: Rate at which an exact search scans vectors, one query at a time.
        graph_items: Items in the approximate index that was measured.
        graph_query_ms: Time of a query of that index.
        graph_build_ms: Time of adding an item to that index.
        graph_bytes: Bytes per item for the links of the graph, without the vector.
    """

    date: str
    cores: int
    memory_gb: float
    network_gbit: float
    copy_gb_s: float
    rows_gb_s: float
    batch: int
    pooled_step_ms: float
    pooled_tokens: int
    pooled_rows: int
    pooled_dim: int
    pooled_dense_mb: float
    worker_step_ms: float
    replicated_step_ms: float
    sharded_step_ms: float
    hcnn_pairs_s: float
    text_bytes: float
    cache_bytes: float
    order_bytes: float
    read_mb_s: float
    shuffled_pairs_s: float
    checkpoint_gb_s: float
    export_gb_s: float
    load_gb_s: float
    pooled_requests_s: float
    pooled_p99_ms: float
    hcnn_requests_s: float
    hcnn_p99_ms: float
    request_bytes: int
    enc_dim: int
    exact_gb_s: float
    graph_items: int
    graph_query_ms: float
    graph_build_ms: float
    graph_bytes: float


def table_gb(vocab_size: int, dim: int) -> float:
    """Returns the gigabytes of the weights of a token table."""
    return vocab_size * dim * FLOAT / 1e9


def largest_vocabulary(memory_gb: float, dim: int, copies: int = ADAM_COPIES) -> int:
    """Returns the number of rows of a table that fit into memory with its slots."""
    return int(memory_gb * 1e9 / (dim * FLOAT * copies))


def step_mb(rows: int, dim: int) -> float:
    """Returns the megabytes that adam moves in a step that uses ``rows`` rows."""
    return ADAM_PASSES * FLOAT * rows * dim / 1e6


def exchange_mb(c: Constants, workers: int) -> float:
    """Returns the megabytes that a worker receives in a step.

    Every worker has the whole table. It receives the gradients of two encodings per
    pair from every other worker. Token ids and the gradient of the MLP are exchanged
    with a ring all-reduce, which sends them twice.
    """
    encodings = 2 * c.batch * c.pooled_dim * FLOAT / 1e6
    ids = workers * c.pooled_tokens * FLOAT / 1e6
    ring = 2 * (ids + c.pooled_dense_mb) * (workers - 1) / workers
    return encodings * (workers - 1) + ring


def replicated_step_ms(c: Constants, workers: int) -> float:
    """Returns the milliseconds of a step if every worker has the whole table.

    In addition to its own step, a worker encodes the pairs of each other worker,
    computes their gradients and updates their rows. That was measured for one other
    worker. The formula assumes that nothing overlaps in time: it is an upper bound.
    """
    others = (workers - 1) * max(c.replicated_step_ms - c.worker_step_ms, 0)
    return c.pooled_step_ms + others + _network_ms(c, exchange_mb(c, workers))


def sharded_mb(c: Constants, workers: int) -> float:
    """Returns the megabytes that a worker receives in a step with a sharded table.

    It gets the rows of its batch from their owners, and gradients of its own rows from
    the other workers, with an id for each. Messages are padded to one of the sizes of
    `object2vec_tf.distributed.collectives`. The gradient of the MLP is exchanged with a
    ring all-reduce.
    """
    rows = (workers - 1) * padded_size(math.ceil(c.pooled_rows / workers))
    ring = 2 * c.pooled_dense_mb * (workers - 1) / workers
    return rows * (2 * c.pooled_dim + 1) * FLOAT / 1e6 + ring


def sharded_step_ms(c: Constants, workers: int) -> float:
    """Returns the milliseconds of a step if the table is sharded over the workers.

    What a worker needs for sending and receiving was measured for two workers, and is
    in proportion to the bytes. The formula assumes that nothing overlaps in time.
    """
    sent = sharded_mb(c, workers)
    own = max(c.sharded_step_ms - c.worker_step_ms, 0) * sent / sharded_mb(c, 2)
    return c.pooled_step_ms + own + _network_ms(c, sent)


def _network_ms(c: Constants, megabytes: float) -> float:
    return megabytes / (c.network_gbit / 8)  # MB by GB/s: ms


def workers_for_table(c: Constants, vocab_size: int, dim: int) -> int:
    """Returns how many machines hold a table, sharded, with adam's slots."""
    size = ADAM_COPIES * table_gb(vocab_size, dim)
    return math.ceil(size / (TABLE_SHARE * c.memory_gb))


def sharded_is_faster_workers(c: Constants, most: int = 1000) -> int | None:
    """Returns the number of workers from which on a sharded step is the faster one.

    None if it is not with ``most`` workers.
    """
    for workers in range(2, most + 1):
        if sharded_step_ms(c, workers) < replicated_step_ms(c, workers):
            return workers
    return None


def epoch_hours(c: Constants, workers: int, step_ms: float) -> float:
    """Returns the hours of an epoch of 10**9 pairs; a step has one batch per worker."""
    return PAIRS / (c.batch * workers) * step_ms / 1e3 / 3600


def replicas(rate: float, capacity: float) -> int:
    """Returns the number of replicas for ``rate`` requests per second, with headroom.

    Args:
        rate: Requests per second in total.
        capacity: Requests per second that one replica can answer.
    """
    return math.ceil(rate / (capacity * UTILIZATION))


def queue_p99_ms(capacity: float, utilization: float = UTILIZATION) -> float:
    """Returns the 99th percentile of the time of a request in one replica.

    Assumes an M/M/1 queue: requests arrive at random and are answered one at a time.
    The time is then exponentially distributed with mean 1 / (capacity - rate).
    """
    return 1e3 * math.log(100) / (capacity * (1 - utilization))


def exact_ms(c: Constants, items: int) -> float:
    """Returns the milliseconds of an exact query, which reads every vector."""
    return 1e3 * table_gb(items, c.enc_dim) / c.exact_gb_s


def graph_gb(c: Constants, items: int) -> float:
    """Returns the gigabytes of an approximate index: vectors and links."""
    return items * (c.enc_dim * FLOAT + c.graph_bytes) / 1e9


def _relative_depth(c: Constants, items: int) -> float:
    # A search visits a number of nodes that grows with the logarithm of the items.
    return max(math.log(items) / math.log(c.graph_items), 1.0)


def graph_ms(c: Constants, items: int) -> float:
    """Returns the milliseconds of an approximate query; grows with log(items)."""
    return c.graph_query_ms * _relative_depth(c, items)


def graph_hours(c: Constants, items: int) -> float:
    """Returns the hours of building an approximate index."""
    return items * c.graph_build_ms * _relative_depth(c, items) / 1e3 / 3600


def half_efficiency_workers(c: Constants) -> int:
    """Returns the number of workers at which a replicated step takes twice as long."""
    workers = 1
    while replicated_step_ms(c, workers) < 2 * c.pooled_step_ms:
        workers += 1
    return workers


def read_constants(path: Path) -> Constants:
    """Reads constants from a JSON file.

    Raises:
        UserError: It cannot be read, or constants are missing.
    """
    try:
        return Constants(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: expected the constants of scale_model: {error}. Create the file"
            " with --save."
        ) from error
