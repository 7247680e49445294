"""Tests of the form of results/*.json."""

import json

import pytest

from object2vec_tf.errors import UserError
from tests.tools.benchmarks.flag_values import flag_values
from tools.benchmarks.result_files import (
    Row,
    read,
    without_seeds,
    write_recipe,
    write_rows,
)

ENVIRONMENT = {"versions": {"keras": "3.15.1"}, "processor": "One core"}


@pytest.fixture(autouse=True)
def results(tmp_path):
    with flag_values(results=str(tmp_path)):
        yield tmp_path


def test_models_without_seeds_have_one_value():
    values = {"accuracy": [0.5, 0.5], "mean_squared_error": [0.9, 0.9]}
    assert without_seeds(values) == {"accuracy": [0.5], "mean_squared_error": [0.9]}
    seeded = {"accuracy": [0.5, 0.5], "mean_squared_error": [0.9, 0.8]}
    assert without_seeds(seeded) == seeded


def test_file_of_a_recipe(results):
    runs = [
        (
            {
                "epochs_run": 9,
                "best_epoch": 8 - seed,
                "train": {"loss": 0.5},
                "test": {"mean_squared_error": 0.123456789 + seed},
            },
            {
                "wall_seconds": 20.5,
                "cpu_seconds": 30.5,
                "date": f"2026-11-2{seed}",
                "settings_digest": "ab",
                "data": {"data/train.jsonl": "cd"},
                **ENVIRONMENT,
            },
        )
        for seed in (0, 1)
    ]
    write_recipe("movielens_rating", [0, 1], runs)
    path = results / "movielens_rating.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["rows"] == [
        {"name": "train", "values": {"loss": [0.5, 0.5]}},
        {"name": "test", "values": {"mean_squared_error": [0.123457, 1.12346]}},
    ]
    assert record["seeds"] == [0, 1]
    assert record["cpu_seconds"] == [30.5, 30.5]
    assert record["best_epoch"] == [8, 7]
    assert record["date"] == "2026-11-21"
    assert record["command"].endswith("--recipes=movielens_rating --seeds=2")
    assert '"loss": [0.5, 0.5]' in path.read_text(encoding="utf-8")


def test_rows_of_a_program_replace_those_with_the_same_name(results):
    write_rows("pair", "python pair.py", [Row("A", {"x": [1.0]}), Row("B", {"x": [2]})])
    write_rows("pair", "python pair.py", [Row("B", {"x": [3.0]})], keep_others=True)
    rows = read(results / "pair.json")["rows"]
    assert [(row["name"], row["values"]["x"]) for row in rows] == [
        ("A", [1.0]),
        ("B", [3.0]),
    ]
    write_rows("pair", "python pair.py", [Row("B", {"x": [4.0]})])
    assert len(read(results / "pair.json")["rows"]) == 1


def test_file_with_the_same_results_keeps_its_date(results):
    path = results / "same.json"
    write_rows("same", "python same.py", [Row("A", {"x": [1.0]})])
    record = {**read(path), "date": "2020-01-01"}
    path.write_text(json.dumps(record), encoding="utf-8")
    write_rows("same", "python same.py", [Row("A", {"x": [1.0]})])
    assert read(path)["date"] == "2020-01-01"
    write_rows("same", "python same.py", [Row("A", {"x": [1.5]})])
    assert read(path)["date"] != "2020-01-01"


def test_row_of_our_model_has_the_digest_of_its_settings(results):
    write_rows("ours", "python ours.py", [Row("us", {"x": [1.0]}, "movielens_rating")])
    (row,) = read(results / "ours.json")["rows"]
    assert row["recipe"] == "movielens_rating"
    assert len(row["settings_digest"]) == 16


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{"name": "A"}]}'])
def test_damaged_file_is_an_error(tmp_path, text):
    path = tmp_path / "damaged.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="expected a file of results"):
        read(path)
