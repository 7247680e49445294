"""Tests of tools/benchmarks/ratings.py without scikit-surprise."""

import json

from tests.tools.benchmarks.flag_values import flag_values
from tools.benchmarks import ratings


def test_models_without_a_seed_have_one_value(tmp_path, monkeypatch):
    calls = []

    def metrics(python, files, seed):
        calls.append(seed)
        return {"biases": {"accuracy": 0.5}, "SVD": {"accuracy": 0.5 + seed / 10}}

    monkeypatch.setattr(ratings, "peer_metrics", metrics)
    with flag_values(
        runs=str(tmp_path), results=str(tmp_path), data=str(tmp_path), peer_seeds=2
    ):
        ratings.measure(tmp_path / "python", "ua")
        ratings.measure(tmp_path / "python", "ua")  # from what is kept
    assert calls == [0, 1]
    record = json.loads((tmp_path / "ratings_ua.json").read_text(encoding="utf-8"))
    assert [(row["name"], row["values"]["accuracy"]) for row in record["rows"]] == [
        ("biases", [0.5]),
        ("SVD", [0.5, 0.6]),
    ]
    assert record["command"] == "python -m tools.benchmarks.ratings --splits=ua"
