"""What large models take, by constants that are measured.

GB are 10**9 bytes. What a formula supposes beside the constants, it says.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

from object2vec_tf.errors import UserError

FLOAT = 4
# Weights, and Adam's two slots beside them.
ADAM_COPIES = 3
# A step reads a row, then reads and writes it and both slots.
ADAM_PASSES = 7
# Of a replica's capacity, so that it can take a burst, or a failed neighbour's share.
UTILISATION = 0.7

PAIRS = 10**9


@dataclasses.dataclass(frozen=True)
class Constants:
    """What is measured, by scale_probes.

    Attributes:
        date: When.
        cores: Of the machine.
        memory_gb: Of the machine.
        network_gbit: Between machines: given, not measured.
        copy_gb_s: Bytes read and written by a copy of a large array.
        rows_gb_s: The same for random rows of 1,200 bytes.
        batch: Pairs in a training step of pooled_embedding.
        pooled_step_ms: Such a step: adam, row_sparse, 20 + 50 tokens.
        pooled_tokens: Tokens in it.
        pooled_rows: Distinct token rows in it.
        pooled_dim: Their width.
        pooled_dense_mb: Weights of the MLP.
        pooled_sums_ms: The encodings of such a step alone, and from their gradients
            those of the rows.
        hcnn_pairs_s: Pairs that hcnn trains a second, 512 wide, 15 tokens a side.
        text_bytes: Of a pair as JSON Lines: 10 + 27 ids.
        cache_bytes: Of the same pair in the cache.
        order_bytes: Memory of a pair's place in an epoch's order.
        read_mb_s: Text read for the first time, into the cache.
        shuffled_pairs_s: Pairs in random order out of the cache.
        checkpoint_gb_s: Weights and slots written, and on the disk.
        export_gb_s: Weights exported as a SavedModel, and replayed.
        load_gb_s: Weights of a SavedModel loaded.
        pooled_requests_s: Requests of a pair, 50 + 50 tokens, that a gateway and its
            clients answer on the machine, 64 connections.
        pooled_p99_ms: Their 99th percentile.
        hcnn_requests_s: The same of hcnn.
        hcnn_p99_ms: The same of hcnn.
        request_bytes: Of such a request, with its headers.
        enc_dim: The width of embeddings that are searched and sent.
        exact_gb_s: Vectors that an exact search scans, one query at a time.
        graph_items: Items of the approximate index that was measured.
        graph_query_ms: A query of it.
        graph_build_ms: An item put into it.
        graph_bytes: Of an item's links, beside its vector.
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
    pooled_sums_ms: float
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
    """Returns the gigabytes of a token table's weights."""
    return vocab_size * dim * FLOAT / 1e9


def largest_vocabulary(memory_gb: float, dim: int, copies: int = ADAM_COPIES) -> int:
    """Returns the rows of a table that fit into memory, with its slots."""
    return int(memory_gb * 1e9 / (dim * FLOAT * copies))


def step_mb(rows: int, dim: int) -> float:
    """Returns the megabytes that adam moves in a step that uses so many rows."""
    return ADAM_PASSES * FLOAT * rows * dim / 1e6


def exchange_mb(c: Constants, workers: int) -> float:
    """Returns the megabytes that a worker receives in a step.

    Every worker holds the whole table, and gets of all others the gradients of two
    encodings a pair; token ids and the MLP's gradient go round a ring, twice.
    """
    encodings = 2 * c.batch * c.pooled_dim * FLOAT / 1e6
    ids = workers * c.pooled_tokens * FLOAT / 1e6
    ring = 2 * (ids + c.pooled_dense_mb) * (workers - 1) / workers
    return encodings * (workers - 1) + ring


def replicated_step_ms(c: Constants, workers: int) -> float:
    """Returns a step's milliseconds when every worker holds the whole table.

    Beside the step itself it waits for the exchange, makes the gradients of all others'
    tokens, and updates their rows, as if no two had rows in common. Nothing overlaps:
    it is an upper bound.
    """
    network = exchange_mb(c, workers) / (c.network_gbit / 8)  # MB by GB/s: ms
    update = (ADAM_PASSES - 1) * FLOAT * c.pooled_rows * c.pooled_dim
    others = c.pooled_sums_ms + update / c.rows_gb_s / 1e6
    return c.pooled_step_ms + network + (workers - 1) * others


def sharded_step_ms(c: Constants, workers: int) -> float:
    """Returns a step's milliseconds when each worker holds a share of the table.

    Rows come from where they are and gradients go there: both ways most of a worker's
    rows, however many workers there are.
    """
    share = (workers - 1) / workers
    rows = 2 * share * c.pooled_rows * (c.pooled_dim * FLOAT + 8) / 1e6
    ring = 2 * share * c.pooled_dense_mb
    return c.pooled_step_ms + (rows + ring) / (c.network_gbit / 8)


def epoch_hours(c: Constants, workers: int, step_ms: float) -> float:
    """Returns the hours of an epoch of 10**9 pairs, each worker a batch a step."""
    return PAIRS / (c.batch * workers) * step_ms / 1e3 / 3600


def replicas(rate: float, capacity: float) -> int:
    """Returns how many replicas answer so many requests a second, with headroom."""
    return math.ceil(rate / (capacity * UTILISATION))


def queue_p99_ms(capacity: float, utilisation: float = UTILISATION) -> float:
    """Returns the 99th percentile of a request's time in one replica.

    As if it answered one at a time and requests came at random (M/M/1): the time is
    exponential, with the mean 1 / (capacity - rate).
    """
    return 1e3 * math.log(100) / (capacity * (1 - utilisation))


def exact_ms(c: Constants, items: int) -> float:
    """Returns the milliseconds of an exact query: every vector is read."""
    return 1e3 * table_gb(items, c.enc_dim) / c.exact_gb_s


def graph_gb(c: Constants, items: int) -> float:
    """Returns the gigabytes of an approximate index: vectors and links."""
    return items * (c.enc_dim * FLOAT + c.graph_bytes) / 1e9


def _grown(c: Constants, items: int) -> float:
    # A graph is walked in steps that grow with the logarithm of its items.
    return max(math.log(items) / math.log(c.graph_items), 1.0)


def graph_ms(c: Constants, items: int) -> float:
    """Returns the milliseconds of an approximate query, by the logarithm of items."""
    return c.graph_query_ms * _grown(c, items)


def graph_hours(c: Constants, items: int) -> float:
    """Returns the hours in which an approximate index is built, likewise."""
    return items * c.graph_build_ms * _grown(c, items) / 1e3 / 3600


def busiest_workers(c: Constants) -> int:
    """Returns from how many workers on half of a replicated step is not its own."""
    workers = 1
    while replicated_step_ms(c, workers) < 2 * c.pooled_step_ms:
        workers += 1
    return workers


def read_constants(path: Path) -> Constants:
    """Returns the constants of a file.

    Raises:
        UserError: It cannot be read, or lacks some.
    """
    try:
        return Constants(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: no constants: {error}; write them with --save"
        ) from error
