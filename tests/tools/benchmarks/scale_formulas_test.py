"""Tests of tools/benchmarks/scale_formulas.py; expected values calculated by hand."""

import dataclasses
import math

import pytest

from object2vec_tf.errors import UserError
from tools.benchmarks import scale_formulas as scale

# 100 rows of 250 floats are 100,000 bytes. A network of 8 Gbit/s moves 1 MB in 1 ms.
ROUND = scale.Constants(
    date="2026-01-01",
    cores=1,
    memory_gb=12,
    network_gbit=8,
    copy_gb_s=10,
    rows_gb_s=1,
    batch=1000,
    pooled_step_ms=10,
    pooled_tokens=500,
    pooled_rows=100,
    pooled_dim=250,
    pooled_dense_mb=2,
    worker_step_ms=20,
    replicated_step_ms=21,
    sharded_step_ms=22,
    hcnn_pairs_s=100,
    text_bytes=200,
    cache_bytes=100,
    order_bytes=4,
    read_mb_s=100,
    shuffled_pairs_s=1000,
    checkpoint_gb_s=1,
    export_gb_s=1,
    load_gb_s=1,
    pooled_requests_s=1000,
    pooled_p99_ms=10,
    hcnn_requests_s=100,
    hcnn_p99_ms=100,
    request_bytes=1000,
    enc_dim=250,
    exact_gb_s=10,
    graph_items=1000,
    graph_query_ms=1,
    graph_build_ms=3.6,
    graph_bytes=200,
)


def test_tables():
    assert scale.table_gb(3_000_000, 300) == pytest.approx(3.6)
    # 12e9 / (3 * 300 * 4) rows with two slots fit into 12 GB.
    assert scale.largest_vocabulary(12, 300) == 3_333_333
    assert scale.largest_vocabulary(12, 300, 1) == 10_000_000
    # 7 * 4 bytes * 1,000 * 250
    assert scale.step_mb(1000, 250) == pytest.approx(7)


def test_one_worker_exchanges_nothing():
    assert scale.exchange_mb(ROUND, 1) == 0
    assert scale.replicated_step_ms(ROUND, 1) == 10
    assert scale.sharded_step_ms(ROUND, 1) == 10


def test_workers():
    # 2 * 1,000 encodings of 1,000 bytes from each of 3 other workers: 6 MB. The ring
    # sends 3/4 of 2 MB and of 4 * 500 ids of 4 bytes twice: 2 * 2.008 * 3/4.
    assert scale.exchange_mb(ROUND, 4) == pytest.approx(6 + 3.012)
    # 9.012 MB at 1 MB per ms, and 1 ms for each of 3 other workers.
    assert scale.replicated_step_ms(ROUND, 4) == pytest.approx(10 + 9.012 + 3)
    # Three workers add 4 + 2 * 2.006 * 2/3 + 2 = 8.6747 ms to 10 ms. Four add 12.012.
    assert scale.replicated_step_ms(ROUND, 3) == pytest.approx(18.6747, abs=1e-4)
    assert scale.half_efficiency_workers(ROUND) == 4


def test_sharded_table():
    # 25 rows for each of 3 others, padded to 27, with an id: 3 * 27 * 501 * 4 bytes.
    assert scale.sharded_mb(ROUND, 4) == pytest.approx(3 + 0.162324)
    # 50 rows, padded to 54.
    assert scale.sharded_mb(ROUND, 2) == pytest.approx(2 + 0.108216)
    # Two workers need 2 ms for the exchange, and four workers 1.5 times as much.
    assert scale.sharded_step_ms(ROUND, 4) == pytest.approx(10 + 3 + 3.162324)
    # A replicated step of two workers takes 2 + 2.004 + 1 ms more than a worker's own.
    assert scale.replicated_step_ms(ROUND, 2) == pytest.approx(15.004)
    assert scale.sharded_step_ms(ROUND, 2) == pytest.approx(14.108216)
    assert scale.sharded_is_faster_workers(ROUND) == 2
    slower = dataclasses.replace(ROUND, sharded_step_ms=24)
    # 34 rows, padded to 39: 2 * 39 * 501 * 4 bytes and 2.6667 MB. 4 ms for 2.108 MB.
    assert scale.sharded_step_ms(slower, 3) == pytest.approx(18.17913, abs=1e-4)
    assert scale.sharded_is_faster_workers(slower) == 3
    slower = dataclasses.replace(ROUND, sharded_step_ms=1000)
    assert scale.sharded_is_faster_workers(slower, 5) is None
    # 10.8 GB, of which a machine has 0.8 * 12 GB.
    assert scale.workers_for_table(ROUND, 3_000_000, 300) == 2


def test_epoch():
    # 10**9 / 2,000 steps of 7.2 ms are 3,600 s.
    assert scale.epoch_hours(ROUND, 2, 7.2) == pytest.approx(1)


def test_serving():
    assert scale.replicas(700, 1000) == 1
    assert scale.replicas(701, 1000) == 2
    assert scale.replicas(100_000, 1000) == 143
    # The free capacity is 500 per second: the mean is 2 ms, the p99 ln 100 times that.
    assert scale.queue_p99_ms(1000, 0.5) == pytest.approx(2 * math.log(100))


def test_search():
    assert scale.exact_ms(ROUND, 10**6) == pytest.approx(100)
    assert scale.graph_gb(ROUND, 10**6) == pytest.approx(1.2)
    # The logarithm of a million is twice that of a thousand.
    assert scale.graph_ms(ROUND, 10**6) == pytest.approx(2)
    assert scale.graph_ms(ROUND, 10) == 1
    assert scale.graph_hours(ROUND, 10**6) == pytest.approx(2)


def test_error_for_missing_constants(tmp_path):
    path = tmp_path / "constants.json"
    path.write_text('{"cores": 2}')
    with pytest.raises(
        UserError, match=r"constants.json: expected the constants .*missing"
    ):
        scale.read_constants(path)
    assert dataclasses.asdict(ROUND)["cores"] == 1
