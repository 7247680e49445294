"""Tests of object2vec_tf/data/table_reader.py: files, caches, text and any ids."""

import enum
import json
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import object2vec_tf as o2v
from object2vec_tf.data.pair_schema import PairSchema
from object2vec_tf.data.table_reader import plain_value

SCHEMA = PairSchema(
    vocab_sizes=(50, 50), max_lengths=(3, 3), output_layer="softmax", num_classes=3
)
ROWS = [{"in0": [i, 1], "in1": i, "label": i % 3} for i in range(40)]
WORDS = {"[UNK]": 0, "a": 1, "b": 2, "7": 3, "12345678901": 4}


def rows_of(pairs, name):
    column = pairs.columns[name].take(np.arange(len(pairs)))
    return [
        column.values[start:stop].tolist()
        for start, stop in zip(column.row_splits, column.row_splits[1:], strict=False)
    ]


def write_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=9)
    return path


def test_formats_may_be_mixed_in_a_directory(tmp_path):
    (data := tmp_path / "data").mkdir()
    write_parquet(data / "b.parquet", ROWS)
    (data / "a.jsonl").write_text("\n".join(map(json.dumps, ROWS[:3])))
    table = pa.Table.from_pylist(ROWS[5:])
    with pa.ipc.new_file(data / "c.arrow", table.schema) as writer:
        writer.write_table(table)
    for cached in (False, True):
        pairs = o2v.read_pairs(data, SCHEMA, cache_dir=tmp_path / "cache")
        assert pairs.report.cached == cached
        ids = [*range(3), *range(40), *range(5, 40)]
        assert rows_of(pairs, "in1") == [[i] for i in ids]
        assert rows_of(pairs, "in0") == [[i, 1] for i in ids]
        assert np.asarray(pairs.labels).tolist() == [i % 3 for i in ids]
        assert [path.name for path in pairs.report.files] == [
            "a.jsonl",
            "b.parquet",
            "c.arrow",
        ]


def test_a_table_is_written_to_the_cache(tmp_path):
    frame = pd.DataFrame(ROWS)
    for _ in range(2):
        pairs = o2v.read_pairs(frame, SCHEMA, cache_dir=tmp_path)
        assert not pairs.report.cached
        assert rows_of(pairs, "in0") == [[i, 1] for i in range(40)]
        assert pairs.report.fingerprint == (
            o2v.read_pairs(iter(ROWS), SCHEMA).report.fingerprint
        )
    assert len(list(tmp_path.glob("*/columns.arrow"))) == 1


def test_a_copy_of_a_parquet_file_is_found_in_the_cache(tmp_path):
    first = write_parquet(tmp_path / "a.parquet", ROWS)
    (second := tmp_path / "b.parquet").write_bytes(first.read_bytes())
    cache = tmp_path / "cache"
    assert not o2v.read_pairs(first, SCHEMA, cache_dir=cache).report.cached
    assert o2v.read_pairs(second, SCHEMA, cache_dir=cache).report.cached
    write_parquet(second, ROWS[:-1])
    assert not o2v.read_pairs(second, SCHEMA, cache_dir=cache).report.cached


def test_the_bytes_of_batches_are_reported(tmp_path):
    path, sizes = write_parquet(tmp_path / "a.parquet", ROWS), []
    o2v.read_pairs(path, SCHEMA, after_block=sizes.append)
    # int64 ids and labels, and int32 offsets of lists, of all rows.
    assert 40 * (2 + 1 + 1) * 8 <= sum(sizes) <= 40 * (2 + 1 + 1) * 8 + 5 * 100


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.feather"])
def test_damaged_files(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"no such thing" * 100)
    with pytest.raises(o2v.DataError, match=rf"{name}: cannot be read as .*Write the"):
        o2v.read_pairs(path, SCHEMA)
    path.write_bytes(b"")
    with pytest.raises(o2v.DataError, match=rf"{name}: cannot be read as "):
        o2v.read_pairs(path, SCHEMA)


def test_a_file_without_a_column(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", [{"in0": 1, "user": 2, "label": 1}])
    with pytest.raises(
        o2v.DataError, match=r"a\.parquet: expected the column in1, got"
    ):
        o2v.read_pairs(path, SCHEMA)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Returns the settings and tokenizers of words in in0 and any ids in in1."""
    directory = tmp_path_factory.mktemp("text")
    (directory / "words.json").write_text(json.dumps(WORDS))
    settings = o2v.Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_max_seq_len=4,
        enc0_vocab_size=5,
        enc0_tokenizer="whitespace",
        enc0_vocab_file="words.json",
        enc1_network="pooled_embedding",
        enc1_max_seq_len=4,
        enc1_vocab_size=5,
        enc1_tokenizer="id",
        enc1_vocab_file="words.json",
    )
    tokenizers = o2v.read_tokenizers(settings, directory)
    return {"hyperparameters": settings, "tokenizers": tokenizers}


def test_text_and_ids_of_any_kind(text):
    texts = ["a b", "b x", "", "a"]
    rows = [[1, 2], [2, 0], [], [1]]
    lists = [["a", "b"], ["b", "b a"], [], ["a"]]
    large = pa.array([[7], [2**64 - 1], [], []], pa.list_(pa.uint64()))
    for in0, in1, ids in (
        (texts, [7, 8, 7, 12345678901], [[3], [0], [3], [4]]),
        (
            pa.array(texts).dictionary_encode(),
            [[7.0, 7.0], [], [8.0], [12345678901.0]],
            [[3, 3], [], [0], [4]],
        ),
        (lists, ["7", "a", "", "b"], [[3], [1], [], [2]]),
        (texts, [[Decimal(7)], [Decimal(-7)], [], []], [[3], [0], [], []]),
        (texts, large, [[3], [0], [], []]),
    ):
        table = pa.table({"in0": in0, "in1": in1, "label": [0, 1, 0, 1]})
        pairs = o2v.read_pairs(table, **text)
        assert rows_of(pairs, "in0") == rows
        assert rows_of(pairs, "in1") == ids
        unknown = {"in0": 1, "in1": sum(row.count(0) for row in ids)}
        assert pairs.report.unknown == unknown


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"in0": 5}, "in0: expected text: a string, or a list of strings, got 5."),
        ({"in0": None}, "in0: expected text: a string, or a list of strings, got null"),
        ({"in1": 2.5}, "in1: expected a list of ids, integers or strings, or a single"),
        ({"in1": 1e300}, "in1: expected a list of ids, integers or strings, or a sing"),
        ({"in0": "\ud800"}, "contains \\ud800 alone, which is half of a UTF-16"),
    ],
    ids=repr,
)
def test_faults_in_text(text, row, problem):
    rows = [{"in0": "a", "in1": 7, "label": 1}]
    bad = rows[0] | row
    pairs = o2v.read_pairs([*rows, bad], **text, max_bad_lines=1)
    assert pairs.report.bad_lines[0].startswith(f"list: row 2: {problem}")
    assert rows_of(pairs, "in0") == [[1]]


def test_messages_of_tables_name_the_option_of_python(text):
    good = {"in0": "a", "in1": 7, "label": 1}
    bad = good | {"in0": 5}
    with pytest.raises(o2v.DataError) as none:
        o2v.read_pairs([good, bad], **text)
    assert str(none.value).endswith(
        "With max_bad_lines=N, o2v.fit and o2v.read_pairs skip up to N such rows."
    )
    with pytest.raises(o2v.DataError, match=r"row 2 .* max_bad_lines is 1\. The"):
        o2v.read_pairs([bad, good, bad], **text, max_bad_lines=1)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["in0", "in0", "in1", "label"], "expected one column in0, got 2"),
        (["IN0", "in1", "label", "more"], "expected the column in0, got IN0, in1"),
        (["in0", "IN0", "in1", "label"], None),
    ],
)
def test_names_of_columns_of_files_occur_once_and_in_lower_case(
    tmp_path, names, message
):
    columns = [[1, 2], [3, 4], [5, 6], [0, 1]]
    table = pa.table([pa.array(column) for column in columns], names=names)
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    settings = o2v.Hyperparameters(enc0_vocab_size=9, enc0_max_seq_len=2)
    for name in ("a.parquet", "a.arrow"):
        if message:
            with pytest.raises(o2v.DataError, match=f"{name}: {message}"):
                o2v.read_pairs(tmp_path / name, settings)
        else:
            pairs = o2v.read_pairs(tmp_path / name, settings)
            assert rows_of(pairs, "in0") == [[1], [2]]
            assert rows_of(pairs, "in1") == [[5], [6]]


def test_categories_of_polars_are_text_and_ids(text):
    ids = pl.List(pl.Enum(["7", "a"]))
    frame = pl.DataFrame(
        {
            "in0": pl.Series(["b a", "x", "a"], dtype=pl.Categorical),
            "in1": pl.Series([["a"], [], ["7", "a"]], dtype=ids),
            "label": [0, 1, 0],
        }
    )
    pairs = o2v.read_pairs(frame, **text)
    assert rows_of(pairs, "in0") == [[2, 1], [0], [1]]
    assert rows_of(pairs, "in1") == [[1], [], [3, 1]]


@pytest.mark.parametrize("bad", [[], [{"in0": "a", "in1": 1.5, "label": 1}]])
def test_ids_that_orjson_writes_as_text(text, bad):
    """Every row is read in the same way, whatever the others are."""
    kinds = enum.Enum("kinds", [("A", "a")])
    rows = [
        {"in0": kinds.A, "in1": uuid.UUID(int=5), "label": 1},
        {"in0": "b", "in1": np.datetime64("2020-01-01"), "label": 1},
    ]
    pairs = o2v.read_pairs(rows + bad, **text, max_bad_lines=1)
    assert rows_of(pairs, "in0") == [[1], [2]]
    assert rows_of(pairs, "in1") == [[0], [0]]


def test_values_as_json_has_them():
    values = [1, 1.5, True, None, "a", (1,), np.float32(0.5), np.array([[1], [2]])]
    assert plain_value(values) == [1, 1.5, True, None, "a", [1], 0.5, [[1], [2]]]
    assert plain_value([Decimal("2.0"), Decimal("2.5")]) == [2, 2.5]
    assert type(plain_value(Decimal("2.0"))) is int
