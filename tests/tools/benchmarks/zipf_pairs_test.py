import numpy as np
import pyarrow.parquet as pq
import pytest

from tools.benchmarks.zipf_pairs import write_pairs, zipf_ids


def test_ids_follow_zipfs_law():
    ids = zipf_ids(1000, 20_000, np.random.default_rng(0)).to_numpy()
    assert (ids.min(), ids.max() < 1000) == (0, True)
    # A token has the rank r with the probability log((r + 1) / r) / log(1001).
    assert np.mean(ids == 0) == pytest.approx(np.log(2) / np.log(1001), abs=0.01)
    assert np.mean(ids < 31) == pytest.approx(np.log(32) / np.log(1001), abs=0.02)


def test_pairs(tmp_path):
    path = tmp_path / "train.parquet"
    write_pairs(path, 100, 7)
    rows = pq.read_table(path).to_pylist()
    lengths = [(len(row["in0"]), len(row["in1"])) for row in rows]
    assert lengths == [(20, 50)] * 7
    assert {row["label"] for row in rows} == {0, 1}
    assert max(max(row["in1"]) for row in rows) < 100
