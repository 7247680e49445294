"""The same pairs through every door: files of all formats, tables and mappings.

Expected pairs, counts and messages are made from the rows by hand.
"""

import decimal
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

import object2vec_tf as o2v
from object2vec_tf.data.pair_schema import PairSchema
from object2vec_tf.data.table_sources import is_table

SIZES, LIMITS = (50, 60), (3, 4)
CLASSES = PairSchema(
    vocab_sizes=SIZES, max_lengths=LIMITS, output_layer="softmax", num_classes=3
)
REAL = PairSchema(
    vocab_sizes=SIZES, max_lengths=LIMITS, output_layer="mean_squared_error"
)

Rows = list[dict[str, Any]]


def write_jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_arrow(new: Callable[..., Any], path: Path, rows: Rows) -> Path:
    table = pa.Table.from_pylist(rows)
    with new(path, table.schema) as writer:
        writer.write_table(table, 7)
    return path


def written(path: Path, write: Callable[..., None], rows: Rows, **options: Any) -> Path:
    write(pa.Table.from_pylist(rows), path, **options)
    return path


def sliced(rows: Rows) -> pa.Table:
    """Returns the rows as slices of chunks, so that no offset is 0."""
    table = pa.Table.from_pylist([*rows[:3], *rows, *rows[:2]])
    half = len(rows) // 2
    return pa.concat_tables(
        [table.slice(3, half), table.slice(3 + half, len(rows) - half)]
    )


def encoded(rows: Rows) -> pa.Table:
    table = pa.Table.from_pylist(rows)
    return table.set_column(
        table.column_names.index("label"), "label", table["label"].dictionary_encode()
    )


class Capsule:
    """An object that has only Arrow's C interface."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def with_arrays(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(
        [row | {"in0": np.array(row["in0"], np.float32)} for row in rows],
        index=range(100, 100 + len(rows)),
    )


# The name of each door, the name of its table in messages, and the source.
DOORS: dict[str, tuple[str, Callable[[Path, Rows], Any]]] = {
    "JSON Lines": ("", lambda d, rows: write_jsonl(d / "a.jsonl", rows)),
    "Parquet": (
        "",
        lambda d, rows: written(
            d / "a.parquet", pq.write_table, rows, row_group_size=11
        ),
    ),
    "Feather": (
        "",
        lambda d, rows: written(d / "a.feather", feather.write_feather, rows),
    ),
    "Arrow file": (
        "",
        lambda d, rows: write_arrow(pa.ipc.new_file, d / "a.arrow", rows),
    ),
    "Arrow stream": (
        "",
        lambda d, rows: write_arrow(pa.ipc.new_stream, d / "b.arrow", rows),
    ),
    "Table": ("Table", lambda _, rows: sliced(rows)),
    "dictionaries": ("Table", lambda _, rows: encoded(rows)),
    "RecordBatch": (
        "RecordBatch",
        lambda _, rows: pa.Table.from_pylist(rows).to_batches()[0],
    ),
    "RecordBatchReader": (
        "RecordBatchReader",
        lambda _, rows: pa.Table.from_pylist(rows).to_reader(9),
    ),
    "capsule": ("Capsule", lambda _, rows: Capsule(pa.Table.from_pylist(rows))),
    "pandas": ("DataFrame", lambda _, rows: pd.DataFrame(rows)),
    "numpy in pandas": ("DataFrame", lambda _, rows: with_arrays(rows)),
    "polars": ("DataFrame", lambda _, rows: pl.DataFrame(rows, strict=False)),
    "list": ("list", lambda _, rows: rows),
    "generator": ("generator", lambda _, rows: (row for row in rows)),
}


def make_rows(generator: random.Random, *, weighted: bool, real: bool) -> Rows:
    """Returns random valid rows. in1 are single ids in some cases, floats in others."""
    kind = generator.choice([int, float])
    is_single = generator.random() < 0.3
    rows = []
    for _ in range(40):
        in0 = [generator.randrange(50) for _ in range(generator.randrange(6))]
        in1 = [kind(generator.randrange(60)) for _ in range(generator.randrange(7))]
        row: dict[str, Any] = {
            "note": "x",
            "in0": in0,
            "in1": kind(generator.randrange(60)) if is_single else in1,
            "label": generator.gauss(0, 9) if real else kind(generator.randrange(3)),
        }
        if weighted:
            row["weight"] = generator.choice([0.5, 1, 2])
        rows.append(row)
    return rows


def content(pairs: o2v.Pairs) -> dict[str, Any]:
    numbers = np.arange(len(pairs))
    columns = {}
    for name, column in pairs.columns.items():
        taken = column.take(numbers)
        assert taken.values.dtype == np.int32
        values, ends = taken.values.tolist(), taken.row_splits.tolist()
        columns[name] = [values[a:b] for a, b in itertools.pairwise(ends)]
    return columns | {
        "labels": np.asarray(pairs.labels).tolist(),
        "weights": pairs.weights
        if pairs.weights is None
        else np.asarray(pairs.weights).tolist(),
        "truncated": pairs.report.truncated,
        "empty": pairs.report.empty,
    }


def expected(rows: Rows, *, real: bool) -> dict[str, Any]:
    sides: dict[str, Any] = {}
    truncated, empty = {}, {}
    for name, limit in zip(("in0", "in1"), LIMITS, strict=True):
        lists = [
            row[name] if isinstance(row[name], list) else [row[name]] for row in rows
        ]
        sides[name] = [[int(i) for i in ids[:limit]] for ids in lists]
        truncated[name] = sum(len(ids) > limit for ids in lists)
        empty[name] = sum(not ids for ids in lists)
    labels = [float(np.float32(r["label"])) if real else int(r["label"]) for r in rows]
    weights = [row["weight"] for row in rows] if "weight" in rows[0] else None
    return sides | {
        "labels": labels,
        "weights": weights,
        "truncated": truncated,
        "empty": empty,
    }


@pytest.mark.parametrize("seed", range(4))
def test_every_door_reads_the_same_pairs(tmp_path: Path, seed: int):
    generator = random.Random(seed)
    weighted, real = bool(seed % 2), bool(seed // 2 % 2)
    rows = make_rows(generator, weighted=weighted, real=real)
    fingerprints = set()
    for door, (table, make) in DOORS.items():
        pairs = o2v.read_pairs(make(tmp_path, rows), REAL if real else CLASSES)
        assert content(pairs) == expected(rows, real=real), door
        assert pairs.report.table == table
        fingerprints |= {pairs.report.fingerprint} if table else set()
    # A table has the same digest in every library, however it is divided.
    assert len(fingerprints) == 1


NUMBER = "expected an integer token id, got "
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"in1": [1, 2, 60]}, "in1[2]: expected an id below 60, got 60. Fix the id"),
    ({"in0": [0, -1]}, "in0[1]: expected a token id of 0 or more, got -1."),
    ({"in0": [1, 2.5]}, f"in0[1]: {NUMBER}2.5."),
    ({"in0": [1, None]}, f"in0[1]: {NUMBER}null."),
    ({"in0": None}, "in0: expected a list of integer token ids, got null."),
    ({"label": 3}, "label: expected an integer class in [0, num_classes=3), got 3."),
    ({"label": 1.5}, "label: expected an integer class in [0, num_classes=3), got 1.5"),
    ({"weight": -0.5}, "weight: expected a number in 0..1e+06, got -0.5. It is how"),
    (
        {"label": float("nan")},
        "label: expected an integer class in [0, num_classes=3), got NaN.",
    ),
]


@pytest.mark.parametrize(("fault", "problem"), FAULTS)
def test_every_door_explains_a_fault_in_the_same_way(
    tmp_path: Path, fault: dict[str, Any], problem: str
):
    rows: Rows = [
        {"in0": [i, 1], "in1": [2], "label": 1, "weight": 1.0} for i in range(20)
    ]
    rows[16] |= fault
    left = rows[:16] + rows[17:]
    for door, (table, make) in DOORS.items():
        if door == "numpy in pandas" and (None in fault.values() or "in0" in fault):
            continue  # numpy's float32 have no null
        source = make(tmp_path, rows)
        place = f"{table or source}: row 17: "
        if door == "JSON Lines":
            place = f"{source}:17: "
        pairs = o2v.read_pairs(source, CLASSES, max_bad_lines=1)
        assert content(pairs) == expected(left, real=False), door
        assert pairs.report.bad_lines[0].startswith(place + problem), door


def test_types_of_columns():
    lists = [[3, 4], [5, 6]]
    columns = [
        *(
            pa.array(lists, pa.list_(kind))
            for kind in (
                pa.uint8(),
                pa.int16(),
                pa.uint64(),
                pa.float16(),
                pa.float64(),
            )
        ),
        pa.array(lists, pa.large_list(pa.int32())),
        pa.array(lists, pa.list_(pa.int32(), 2)),
        pa.array(lists, pa.list_view(pa.int32())),
        pa.array(lists, pa.list_(pa.decimal128(9, 2))),
        pa.ListArray.from_arrays([0, 2, 4], pa.array([3, 4, 5, 6]).dictionary_encode()),
        pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(lists)),
        pa.chunked_array([lists[:1], lists[1:]]),
        pa.ListArray.from_arrays(
            [0, 2, 4], pa.compute.run_end_encode(pa.array([3, 4, 5, 6]))
        ),
    ]
    for column in columns:
        table = pa.table({"in0": column, "in1": [1.0, 2.0], "label": [0, 1]})
        result = content(o2v.read_pairs(table, CLASSES))
        assert result["in0"] == lists, column.type
        assert result["in1"] == [[1], [2]]
    halves = pa.array([3, 4, 5, 6], pa.float16()).dictionary_encode()
    pairs_of_halves = pa.ListViewArray.from_arrays([2, 0], [2, 2], halves)
    table = pa.table({"in0": pairs_of_halves, "in1": [1, 2], "label": [0, 1]})
    assert content(o2v.read_pairs(table, CLASSES))["in0"] == lists[::-1]
    nulls = pa.array([[], []], pa.list_(pa.null()))
    table = pa.table({"in0": nulls, "in1": [1, 2], "label": [0, 1]})
    assert content(o2v.read_pairs(table, CLASSES))["in0"] == [[], []]


def bool8(values: list[int]) -> pa.Array:
    storage = pa.array(values, pa.int8())
    return pa.ExtensionArray.from_storage(pa.bool8(), storage)


def not_utf8() -> pa.Array:
    offsets = pa.py_buffer(np.array([0, 1], np.int32))
    return pa.StringArray.from_buffers(1, offsets, pa.py_buffer(b"\xff"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"in0": [[1]]}, "dict: expected files, a table, Pairs or an iterable of "),
        (5, "int: expected files, a table, Pairs or an iterable of mappings such as"),
        ([], "train: no file given."),
        (iter([]), "train: list_iterator: contains no pairs. Expected rows such as"),
        ([[1, 2]], "list: row 1: expected a row such as {"),
        (pd.DataFrame({"in0": [1]}), "DataFrame: expected columns in1 and label, got"),
        (pl.LazyFrame({"in0": [1]}), "LazyFrame: expected files, a table, Pairs or an"),
        (
            pd.DataFrame([[1, 1, 2, 0]], columns=["in0", "in0", "in1", "label"]),
            "DataFrame: expected one column in0, got 2.",
        ),
        (
            pa.table({"in0": [True], "in1": [1], "label": [1]}),
            "Table: row 1: in0: expected a list of integer token ids, got true.",
        ),
        (
            pa.table({"in0": [b"a"], "in1": [1], "label": [1]}),
            "Table: row 1: in0: expected a list of integer token ids, got \"b'a'\"",
        ),
        (
            [{"in0": [1], "in1": [1], "label": True}],
            "list: row 1: label: expected an integer class in [0, num_classes=3), got",
        ),
        ([{"in0": [1], "label": 1}], "list: row 1: in1 is missing."),
        (
            pa.table({"in0": [1], "in1": bool8([1]), "label": [1]}),
            "Table: row 1: in1: expected a list of integer token ids, got true.",
        ),
        (
            pa.table({"in0": not_utf8(), "in1": [1], "label": [1]}),
            "Table: rows 1 to 1: contain text that is not UTF-8: invalid start byte.",
        ),
        (
            pl.DataFrame(
                {"in0": pl.Series([1], dtype=pl.Int128), "in1": 1, "label": 1}
            ),
            "DataFrame: cannot be read as an Arrow table: ",
        ),
        (
            pd.DataFrame({"in0": [1], "in1": [1], "label": [1]}).groupby("in0"),
            "DataFrameGroupBy: row 1: expected a row such as {",
        ),
        (
            [{"in0": decimal.Decimal("sNaN"), "in1": 1, "label": 1}],
            "list: row 1: in0: expected a list of integer token ids, got NaN.",
        ),
        (
            [{"in0": ["\ud800"], "in1": [1], "label": 1}],
            'list: row 1: in0[0]: expected an integer token id, got "\\ud800".',
        ),
    ],
)
def test_sources_that_are_no_pairs(source: Any, message: str):
    with pytest.raises(o2v.DataError) as raised:
        o2v.read_pairs(source, CLASSES)
    assert str(raised.value).startswith(message)


def test_a_lazy_frame_must_be_collected():
    with pytest.raises(o2v.DataError, match=r"LazyFrame\. Call its collect\(\)\.$"):
        o2v.read_pairs(pl.LazyFrame({"in0": [1]}), CLASSES)


def test_values_of_mixed_types_in_a_column_of_pandas():
    frame = pd.DataFrame(
        {
            "in0": [[1], 2, np.array([3.0]), (4, 5)],
            "in1": [np.int64(1), 2.0, [], [3]],
            "label": [0, 1, 2, 0],
        }
    )
    result = content(o2v.read_pairs(frame, CLASSES))
    assert result["in0"] == [[1], [2], [3], [4, 5]]
    assert result["in1"] == [[1], [2], [], [3]]


def test_large_integers_in_an_object_column():
    ids = [1, 2**63, -1]
    frame = pd.DataFrame({"in0": pd.Series(ids, dtype=object), "in1": 1, "label": 1})
    pairs = o2v.read_pairs(frame, CLASSES, max_bad_lines=2)
    assert content(pairs)["in0"] == [[1]]


def test_rows_that_are_nearly_mappings():
    row = {"in0": 3, "in1": 4, "label": 1}
    for bad in ([], [row | {"label": 1.5}]):
        rows = [pd.Series(row), row, *bad]
        assert len(o2v.read_pairs(rows, CLASSES, max_bad_lines=1)) == 2


def test_a_channel_other_than_train_is_named():
    with pytest.raises(o2v.DataError, match=r"^test: list: row 1: label is missing"):
        o2v.read_pairs([{"in0": 1, "in1": 1}], CLASSES, channel="test")


def test_tables_are_recognized():
    rows = [{"in0": 1}]
    tables = [rows, tuple(rows), pd.DataFrame(rows), pl.DataFrame(rows)]
    assert all(map(is_table, [*tables, pa.Table.from_pylist(rows)]))
    others = ["a", ["a"], [], [[1]], np.zeros(3), {"in0": [1]}, iter(rows), None]
    assert not any(map(is_table, others))


@pytest.mark.long
def test_datasets_of_hugging_face():
    datasets = pytest.importorskip("datasets")
    rows = make_rows(random.Random(1), weighted=True, real=False)
    dataset = datasets.Dataset.from_list(rows)
    assert is_table(dataset)
    order = [5, 3, 3, 30]
    for source, read in (
        (dataset, rows),
        (dataset.select(order), [rows[i] for i in order]),
        (dataset.with_format("numpy"), rows),
        (dataset.to_iterable_dataset(), rows),
    ):
        pairs = o2v.read_pairs(source, CLASSES)
        assert content(pairs) == expected(read, real=False)
    with pytest.raises(
        o2v.DataError, match=r"Give one of them, such as dataset\['a'\]"
    ):
        o2v.read_pairs(datasets.DatasetDict({"a": dataset}), CLASSES)
    with pytest.raises(
        o2v.DataError, match=r"^Dataset: expected the column label, got"
    ):
        o2v.read_pairs(dataset.remove_columns("label"), CLASSES)


PERIODS = pd.period_range("2020-01", periods=2, freq="M")
INTERVALS = pa.array([pa.MonthDayNano([1, 2, 3])] * 2)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(PERIODS),
        INTERVALS,
        pa.ListArray.from_arrays([0, 1, 2], INTERVALS),
        pa.DictionaryArray.from_arrays([0, 0], INTERVALS),
    ],
    ids=lambda array: f"{array.type}",
)
@pytest.mark.parametrize("name", ["in0", "label", "weight"])
def test_periods_and_intervals_are_no_numbers(column, name, tmp_path):
    columns = {"in0": [[1], [2]], "in1": [3, 4], "label": [0, 1], "weight": [1, 1]}
    table = pa.table(columns | {name: column})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    for source in (table, tmp_path / "a.arrow"):
        with pytest.raises(o2v.DataError, match=f": column {name}: expected "):
            o2v.read_pairs(source, CLASSES, max_bad_lines=9)


def test_periods_and_intervals_of_other_tables():
    frame = pd.DataFrame({"in0": PERIODS, "in1": [3, 4], "label": [0, 1]})
    with pytest.raises(o2v.DataError, match=r"DataFrame: column in0: .* got .*period"):
        o2v.read_pairs(frame, CLASSES)
    frame["in0"] = pd.Series(INTERVALS.to_pylist(), dtype=pd.ArrowDtype(INTERVALS.type))
    with pytest.raises(o2v.DataError, match=r"DataFrame: column in0: .*interval"):
        o2v.read_pairs(frame, CLASSES)
    row = {"in0": INTERVALS[0].as_py(), "in1": 3, "label": 0}
    with pytest.raises(o2v.DataError, match=r"list: row 1: in0: .*MonthDayNano"):
        o2v.read_pairs([row], CLASSES)
