"""Measures the constants of scale_formulas on this machine, each in some seconds."""

from __future__ import annotations

import datetime
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from export import export_saved_model
from object2vec_tf.data.batch_plan import epoch_order
from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.search.index import NeighborIndex, build_index
from object2vec_tf.training.checkpoints import Checkpoints
from tools.benchmarks import (
    encoders,
    http_load,
    large_data,
    row_sparse,
    sharded_steps,
)
from tools.benchmarks.gateway_process import gateway
from tools.benchmarks.scale_formulas import Constants
from tools.benchmarks.training import compiled_model

_ROUNDS = 5
_ROW_FLOATS, _TABLE_ROWS, _GATHERED_ROWS = 300, 1 << 20, 1 << 15
_PAIRS = 1_000_000
_TABLE = (300_000, 300)
_ENC_DIM, _TOKENS, _CONNECTIONS = 300, 50, 64
_EXACT_ITEMS, _GRAPH_ITEMS, _QUERIES = 200_000, 50_000, 200


def measure(network_gbit: float) -> Constants:
    """Returns the constants of this machine.

    Args:
        network_gbit: Gbit/s between machines; not measured.
    """
    measured: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        "network_gbit": network_gbit,
    }
    with tempfile.TemporaryDirectory() as directory:
        for probe in (
            _memory,
            _steps,
            _workers,
            _reading,
            _files,
            _requests,
            _neighbors,
        ):
            measured |= probe(Path(directory))
    rounded: dict[str, Any] = {
        name: float(f"{value:.3g}") if isinstance(value, float) else value
        for name, value in measured.items()
    }
    return Constants(**rounded)


def _seconds(run: Callable[[], object], rounds: int = _ROUNDS) -> float:
    """Returns the minimum seconds of several calls, after a warm-up call.

    The minimum is least affected by other programs on the machine.
    """
    run()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _memory(directory: Path) -> dict[str, Any]:
    table = np.ones((_TABLE_ROWS, _ROW_FLOATS), np.float32)
    rows = np.random.default_rng(0).integers(0, len(table), _GATHERED_ROWS)
    half = len(table) // 2
    out = np.empty((_GATHERED_ROWS, _ROW_FLOATS), np.float32)

    def copy() -> None:
        table[:half] = table[half:]

    return {
        "copy_gb_s": table.nbytes / _seconds(copy) / 1e9,  # half read, half written
        "rows_gb_s": 2
        * out.nbytes
        / _seconds(lambda: np.take(table, rows, 0, out, mode="clip"))
        / 1e9,
    }


def _steps(directory: Path) -> dict[str, Any]:
    setting = row_sparse.NAMED_SETTINGS["S"]
    train = row_sparse.object2vec_steps(setting, "adam")
    train(4)
    pooled = _seconds(lambda: train(8)) / 8
    settings = encoders.make_hyperparameters("hcnn")
    pairs = 8 * settings.mini_batch_size
    epoch = encoders.object2vec_epoch(encoders.make_pairs(settings, pairs))
    epoch()
    return {
        "batch": row_sparse.BATCH,
        "pooled_step_ms": 1e3 * pooled,
        "pooled_tokens": row_sparse.BATCH * sum(setting.tokens),
        "pooled_rows": round(row_sparse.mean_distinct_tokens(setting)),
        "pooled_dim": setting.dim,
        "pooled_dense_mb": 4
        * (setting.dim * row_sparse.MLP_DIM + row_sparse.MLP_DIM**2)
        / 1e6,
        "hcnn_pairs_s": pairs / _seconds(epoch),
    }


def _workers(directory: Path) -> dict[str, Any]:
    """Measures workers with one core each, on loopback."""
    steps = sharded_steps.measure("S", 2, _ROUNDS, 8)
    return {
        "worker_step_ms": steps[sharded_steps.ALONE].step_ms,
        "replicated_step_ms": steps["replicated"].step_ms,
        "sharded_step_ms": steps["sharded"].step_ms,
    }


def _reading(directory: Path) -> dict[str, Any]:
    path = directory / "pairs.jsonl"
    large_data.write_pairs(path, _PAIRS)
    settings = Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_vocab_size=50_000,
        enc0_max_seq_len=50,
        enc_dim=64,
    )
    start = time.perf_counter()
    pairs = read_pairs(path, settings, cache_dir=directory / "cache")
    read = time.perf_counter() - start
    start, rows = time.perf_counter(), 0
    for number, _ in enumerate(pairs.dataset(512, shuffle=True, seed=1)):
        rows = 512 * (number + 1)
        if time.perf_counter() - start > 4:
            break
    shuffled = rows / (time.perf_counter() - start)
    size = path.stat().st_size
    cache = sum(f.stat().st_size for f in (directory / "cache").rglob("*.arrow"))
    return {
        "text_bytes": size / _PAIRS,
        "cache_bytes": cache / _PAIRS,
        "order_bytes": epoch_order(_PAIRS, 1, 0).nbytes / _PAIRS,
        "read_mb_s": size / read / 1e6,
        "shuffled_pairs_s": shuffled,
    }


def _files(directory: Path) -> dict[str, Any]:
    rows, dim = _TABLE
    model = compiled_model(
        Hyperparameters(
            enc0_network="pooled_embedding",
            enc0_vocab_size=rows,
            enc0_max_seq_len=50,
            enc_dim=dim,
            tied_token_embedding_weight=True,
            token_embedding_storage_type="row_sparse",
            comparator_list="hadamard",
        )
    )
    weights = 4 * rows * dim / 1e9
    checkpoints = Checkpoints(directory / "checkpoints", model)
    checkpoints.directory.mkdir()
    saved = _seconds(lambda: checkpoints.save(1, {}), 1)
    start = time.perf_counter()
    exported = export_saved_model(model, directory / "model")
    export = time.perf_counter() - start
    loaded = _seconds(lambda: load_model(exported), 1)
    return {
        "checkpoint_gb_s": 3 * weights / saved,
        "export_gb_s": weights / export,
        "load_gb_s": weights / loaded,
    }


def _requests(directory: Path) -> dict[str, Any]:
    measured: dict[str, Any] = {}
    generator = np.random.default_rng(0)
    for network in ("pooled_embedding", "hcnn"):
        model = Object2Vec(
            Hyperparameters(
                enc0_network=network,
                enc0_max_seq_len=_TOKENS,
                enc0_vocab_size=20_000,
                enc_dim=_ENC_DIM,
                enc0_token_embedding_dim=300,
            )
        )
        path = directory / network
        export_saved_model(model, path)
        bodies = [
            json.dumps(
                {
                    "instances": [
                        {
                            side: generator.integers(0, 20_000, _TOKENS).tolist()
                            for side in ("in0", "in1")
                        }
                    ]
                }
            ).encode()
            for _ in range(200)
        ]
        requests = [http_load.request(body) for body in bodies]
        with gateway(path) as port:
            http_load.run("127.0.0.1", port, requests, _CONNECTIONS, 1)
            loads = [
                http_load.run("127.0.0.1", port, requests, _CONNECTIONS, 2)
                for _ in range(_ROUNDS)
            ]
        load = max(loads, key=lambda load: load.requests_per_second)
        name = network.split("_")[0]
        measured[f"{name}_requests_s"] = load.requests_per_second
        measured[f"{name}_p99_ms"] = 1e3 * float(np.percentile(load.latencies, 99))
        measured["request_bytes"] = round(statistics.mean(map(len, requests)))
    return measured | {"enc_dim": _ENC_DIM}


def _neighbors(directory: Path) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    queries = generator.normal(size=(_QUERIES, _ENC_DIM)).astype(np.float32)
    exact = faiss.IndexFlatIP(_ENC_DIM)
    exact.add(generator.normal(size=(_EXACT_ITEMS, _ENC_DIM)).astype(np.float32))

    def query_exact() -> None:
        for query in queries[:20]:
            exact.search(query[None], 10)

    scanned = 4 * _EXACT_ITEMS * _ENC_DIM * 20 / 1e9
    items = generator.normal(size=(_GRAPH_ITEMS, _ENC_DIM)).astype(np.float32)
    source = directory / "items.jsonl"
    with source.open("w") as file:
        for row in items.round(3).tolist():
            file.write(json.dumps({"embeddings": row}) + "\n")
    start = time.perf_counter()
    build_index(source, directory / "index", search="approximate")
    build = time.perf_counter() - start
    index = NeighborIndex(directory / "index")

    def query_graph() -> None:
        for query in queries:
            index.nearest(query[None], 10)

    size = (directory / "index" / "index.faiss").stat().st_size
    return {
        "exact_gb_s": scanned / _seconds(query_exact),
        "graph_items": _GRAPH_ITEMS,
        "graph_query_ms": 1e3 * _seconds(query_graph) / _QUERIES,
        "graph_build_ms": 1e3 * build / _GRAPH_ITEMS,
        "graph_bytes": size / _GRAPH_ITEMS - 4 * _ENC_DIM,
    }
