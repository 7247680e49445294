"""Renders the tables of docs/scale.md."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from object2vec_tf.errors import UserError
from tools.benchmarks.scale_formulas import (
    ADAM_COPIES,
    ADAM_PASSES,
    FLOAT,
    PAIRS,
    UTILIZATION,
    Constants,
    epoch_hours,
    exact_ms,
    exchange_mb,
    graph_gb,
    graph_hours,
    graph_ms,
    half_efficiency_workers,
    largest_vocabulary,
    queue_p99_ms,
    replicas,
    replicated_step_ms,
    sharded_is_faster_workers,
    sharded_mb,
    sharded_step_ms,
    step_mb,
    table_gb,
    workers_for_table,
)

TABLES = (
    (267_522, 300),
    (3_000_000, 64),
    (3_000_000, 300),
    (30_000_000, 300),
    (300_000_000, 300),
)
# Machines of the example of a sharded table.
_SHARDS = 8
WORKERS = (1, 2, 4, 8, 16, 32, 64)
RATES = (1_000, 10_000, 100_000)
ITEMS = (10**5, 10**6, 10**7, 10**8, 10**9)
# A slower query would delay an interactive page too much.
SLOW_QUERY_MS = 50.0


def tables(c: Constants) -> dict[str, str]:
    """Returns the tables of docs/scale.md, by name."""
    return {
        "constants": _constants(c),
        "memory": _memory(c),
        "step": _step(c),
        "epoch": _epoch(c),
        "workers": _workers(c),
        "serving": _serving(c),
        "neighbors": _neighbors(c),
        "limits": _limits(c),
    }


def update_page(page: str, c: Constants) -> str:
    """Returns a page with updated tables; each follows a line ``<!-- name -->``."""
    for name, table in tables(c).items():
        pattern = re.compile(rf"(?<=<!-- {name} -->\n\n)(?:\|.*\n)*")
        page, count = pattern.subn(table.replace("\\", r"\\"), page)
        if count != 1:
            raise UserError(f"page: expected <!-- {name} --> once, got {count} times.")
    return page


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _number(value: float) -> str:
    """Returns a number with three significant digits and without an exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(2 - math.floor(math.log10(abs(value))), 0)
    return f"{round(value, 2 - math.floor(math.log10(abs(value)))):,.{digits}f}"


def _seconds(value: float) -> str:
    if value < 120:
        return f"{_number(value)} s"
    return (
        f"{_number(value / 60)} min" if value < 7200 else f"{_number(value / 3600)} h"
    )


def _constants(c: Constants) -> str:
    rows = [
        ("cores, memory", f"{c.cores}, {_number(c.memory_gb)} GB"),
        ("network (given)", f"{_number(c.network_gbit)} Gbit/s"),
        ("copy; random rows of 1,200 bytes", f"{c.copy_gb_s}; {c.rows_gb_s} GB/s"),
        (
            f"pooled step: {c.batch} pairs, {c.pooled_rows:,} rows x {c.pooled_dim}",
            f"{c.pooled_step_ms} ms",
        ),
        (
            "step of two workers, one core each: apart; replicated; sharded",
            f"{c.worker_step_ms}; {c.replicated_step_ms}; {c.sharded_step_ms} ms",
        ),
        ("hcnn", f"{c.hcnn_pairs_s:,.0f} pairs/s"),
        ("size of a pair: text; cache", f"{c.text_bytes}; {c.cache_bytes} bytes"),
        ("reading text into the cache", f"{c.read_mb_s} MB/s"),
        ("shuffled reading from the cache", f"{c.shuffled_pairs_s:,.0f} pairs/s"),
        (
            "checkpoint; export; load",
            f"{c.checkpoint_gb_s}; {c.export_gb_s}; {c.load_gb_s} GB/s",
        ),
        (
            "gateway, pooled; hcnn",
            f"{c.pooled_requests_s:,.0f}; {c.hcnn_requests_s:,.0f} requests/s",
        ),
        ("p99 at this load, pooled; hcnn", f"{c.pooled_p99_ms}; {c.hcnn_p99_ms} ms"),
        ("exact search", f"{c.exact_gb_s} GB/s"),
        (
            f"approximate search of {c.graph_items:,} x {c.enc_dim}",
            f"{c.graph_query_ms} ms, built in {c.graph_build_ms} ms per item",
        ),
    ]
    return _markdown((f"measured {c.date}", ""), rows)


def _memory(c: Constants) -> str:
    rows = []
    for vocab_size, dim in TABLES:
        weights = table_gb(vocab_size, dim)
        trained = ADAM_COPIES * weights
        rows.append(
            (
                f"{vocab_size:,} x {dim}",
                _number(weights),
                _number(trained),
                f"{trained / c.memory_gb:.0%}",
                f"{workers_for_table(c, vocab_size, dim)}",
                _seconds(trained / c.checkpoint_gb_s),
                _seconds(weights / c.export_gb_s),
                _seconds(weights / c.load_gb_s),
            )
        )
    head = (
        "table",
        "weights, SavedModel, GB",
        "with adam's slots, checkpoint, GB",
        "share of this machine's memory",
        "machines, sharded",
        "checkpoint time",
        "export time",
        "load time",
    )
    return _markdown(head, rows)


def _step(c: Constants) -> str:
    rows = []
    for vocab_size, dim in TABLES:
        used = min(c.pooled_rows, vocab_size)
        sparse, dense = step_mb(used, dim), step_mb(vocab_size, dim)
        rows.append(
            (
                f"{vocab_size:,} x {dim}",
                _number(sparse),
                _number(sparse / c.rows_gb_s),
                _number(dense),
                _number(dense / c.copy_gb_s),
            )
        )
    head = ("table", "row_sparse: MB", "ms", "dense: MB", "ms")
    return _markdown(head, rows)


def _epoch(c: Constants) -> str:
    read = PAIRS * c.text_bytes / (c.read_mb_s * 1e6)
    hcnn = PAIRS / c.hcnn_pairs_s
    pooled = epoch_hours(c, 1, c.pooled_step_ms) * 3600
    return _markdown(
        ("a billion pairs, one machine", ""),
        [
            ("text", f"{_number(PAIRS * c.text_bytes / 1e9)} GB"),
            ("cache on disk", f"{_number(PAIRS * c.cache_bytes / 1e9)} GB"),
            (
                "memory for the order of an epoch",
                f"{_number(PAIRS * c.order_bytes / 1e9)} GB",
            ),
            ("reading text into the cache", _seconds(read)),
            ("shuffling alone", _seconds(PAIRS / c.shuffled_pairs_s)),
            ("one epoch, pooled", _seconds(pooled)),
            ("one epoch, hcnn", _seconds(hcnn)),
        ],
    )


def _workers(c: Constants) -> str:
    rows = []
    for workers in WORKERS:
        replicated = replicated_step_ms(c, workers)
        sharded = sharded_step_ms(c, workers)
        rows.append(
            (
                f"{workers}",
                _number(exchange_mb(c, workers)),
                _number(replicated),
                _seconds(3600 * epoch_hours(c, workers, replicated)),
                _number(sharded_mb(c, workers)),
                _number(sharded),
                _seconds(3600 * epoch_hours(c, workers, sharded)),
            )
        )
    head = (
        "workers",
        "replicated table: MB received per step",
        "step, ms",
        "epoch",
        "sharded table: MB received per step",
        "step, ms",
        "epoch",
    )
    return _markdown(head, rows)


def _serving(c: Constants) -> str:
    rows = []
    for network, capacity, p99 in (
        ("pooled", c.pooled_requests_s, c.pooled_p99_ms),
        ("hcnn", c.hcnn_requests_s, c.hcnn_p99_ms),
    ):
        for rate in RATES:
            count = replicas(rate, capacity)
            rows.append(
                (
                    network,
                    f"{rate:,}",
                    f"{count:,}",
                    _number(queue_p99_ms(capacity, rate / count / capacity)),
                    _number(p99),
                    _number(rate * c.request_bytes * 8 / 1e9),
                    _number(count * table_gb(3_000_000, 300)),
                )
            )
    head = (
        "encoder",
        "requests/s",
        "replicas",
        "p99 of the queue model, ms",
        "p99 measured at full load, ms",
        "Gbit/s in",
        "GB of all replicas, 3,000,000 x 300",
    )
    return _markdown(head, rows)


def _neighbors(c: Constants) -> str:
    rows = [
        (
            f"{items:,}",
            _number(table_gb(items, c.enc_dim)),
            _number(exact_ms(c, items)),
            _number(graph_gb(c, items)),
            _number(graph_ms(c, items)),
            _seconds(3600 * graph_hours(c, items)),
        )
        for items in ITEMS
    ]
    head = (
        f"items, {c.enc_dim} dimensions",
        "exact: GB",
        "ms",
        "approximate: GB",
        "ms",
        "build time",
    )
    return _markdown(head, rows)


def _limits(c: Constants) -> str:
    graph_items = int(c.memory_gb * 1e9 / (c.enc_dim * FLOAT + c.graph_bytes))
    exact_items = int(SLOW_QUERY_MS * c.exact_gb_s * 1e6 / (c.enc_dim * FLOAT))
    moved = c.pooled_step_ms * c.copy_gb_s * 1e6
    dense_rows = moved / (ADAM_PASSES * FLOAT * c.pooled_dim)
    rows = [
        (
            "table trained with adam, 300 wide, in one machine's memory",
            f"{_number(largest_vocabulary(c.memory_gb, 300))} rows",
        ),
        (
            f"the same table, sharded over {_SHARDS} such machines",
            f"{_number(largest_vocabulary(_SHARDS * c.memory_gb, 300))} rows",
        ),
        (
            "the same table, served",
            f"{_number(largest_vocabulary(c.memory_gb, 300, 1))} rows",
        ),
        (
            "dense token tables: updates take as long as a row_sparse step",
            f"{_number(dense_rows)} rows x {c.pooled_dim}",
        ),
        (
            "order of an epoch, in half of the memory",
            f"{_number(c.memory_gb * 1e9 / 2 / c.order_bytes)} pairs",
        ),
        (
            "replicated table: half of a step is exchange and others' updates",
            f"{half_efficiency_workers(c)} workers",
        ),
        (
            "replicated table: a sharded one is faster",
            f"{sharded_is_faster_workers(c) or 'no number of'} workers",
        ),
        (
            "one gateway with headroom, pooled; hcnn",
            f"{_number(UTILIZATION * c.pooled_requests_s)}; "
            f"{_number(UTILIZATION * c.hcnn_requests_s)} requests/s",
        ),
        (
            f"requests over a network of {_number(c.network_gbit)} Gbit/s",
            f"{_number(c.network_gbit * 1e9 / 8 / c.request_bytes)} requests/s",
        ),
        (
            f"exact search within {SLOW_QUERY_MS:.0f} ms, one query at a time",
            f"{_number(exact_items)} items",
        ),
        (
            "approximate search in one machine's memory",
            f"{_number(graph_items)} items",
        ),
    ]
    return _markdown(("design", "limit"), rows)
