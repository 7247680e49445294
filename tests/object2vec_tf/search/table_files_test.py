"""Parquet and Arrow files of items, queries and pairs, beside JSON Lines."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from object2vec_tf.errors import DataError
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.search.embedding_lines import read_embeddings
from object2vec_tf.search.evaluation_data import read_evaluation_data
from object2vec_tf.search.index import NeighborIndex, build_index


def write(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=4)
    return path


def test_pairs_of_an_evaluation(small_run, tmp_path):
    pairs = [
        {"in0": [i], "in1": 2 * i % 30, "label": float(i % 3), "x": "y"}
        for i in range(20)
    ]
    items = [{"in1": [i, i]} for i in range(5)]
    known = [{"in0": [1], "in1": [2]}]
    model = load_model(small_run)
    with pytest.warns(UserWarning, match="1 true pairs are also excluded"):
        data = read_evaluation_data(
            model,
            [write(tmp_path / "pairs.parquet", pairs)],
            [write(tmp_path / "items.parquet", items)],
            [write(tmp_path / "known.parquet", known)],
        )
    positive = [i for i in range(20) if i % 3 and i != 1]
    assert data.queries.columns["in0"].values.tolist() == positive
    found = data.items.columns["in1"]
    objects = [found.rows(i, i + 1).values.tolist() for i in range(len(found))]
    assert objects[:5] == [[i, i] for i in range(5)]
    assert objects[5:] == [[2 * i % 30] for i in range(15)]
    assert data.relevant.items.tolist() == [5 + i % 15 for i in positive]
    bad = write(
        tmp_path / "bad.parquet", [*pairs, {"in0": [1], "in1": 30, "label": 1.0}]
    )
    with pytest.raises(DataError, match=r"bad\.parquet: row 21: in1: .*30, got 30"):
        read_evaluation_data(model, [bad], None, None)


def test_an_index_has_the_columns_of_items(small_run, tmp_path):
    items = [{"in1": [i], "title": f"item {i}"} for i in range(6)]
    path = write(tmp_path / "items.parquet", items)
    build_index(path, tmp_path / "index", model=small_run)
    queries = write(tmp_path / "queries.parquet", [{"in0": [3]}])
    (answer,) = NeighborIndex(tmp_path / "index").query(queries, 6)
    assert answer["query"] == {"in0": [3]}
    found = [neighbor["item"] for neighbor in answer["neighbors"]]
    assert sorted(found, key=lambda item: item["in1"]) == items


def test_embeddings_in_a_table(tmp_path):
    rows = [{"embeddings": [float(i), 0.5]} for i in range(3)]
    (block,) = read_embeddings(write(tmp_path / "a.parquet", rows))
    assert block.tolist() == [[0, 0.5], [1, 0.5], [2, 0.5]]
    with pytest.raises(DataError, match="embeddings: expected a list of finite"):
        list(read_embeddings(write(tmp_path / "b.parquet", [{"embeddings": None}])))
