"""Tests of kept fields and of invalid rows, against answers that are made by hand."""

import decimal
import gzip
import json
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from object2vec_tf.bulk.answer_options import AnswerOptions
from object2vec_tf.bulk.file_jobs import FileJob, writer_for
from object2vec_tf.bulk.job import predict_file
from object2vec_tf.bulk.output_writers import FORMATS
from object2vec_tf.bulk.predict_split import write_predictions
from object2vec_tf.bulk.row_counts import RowCounts
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.inference.file_splits import FileSplit, split_file
from object2vec_tf.inference.ragged_inputs import RaggedInputs

VALUES = [
    "17",
    "123456789012345678901234567890",
    "0.10",
    "1E400",
    r'"a\u00e9b, \"}"',
    '[1, {"x":  null}]',
    "null",
    '{"in0": [9]}',
]


def answer(loaded, in0):
    """The end of the line of a valid row, as transform writes it without flags."""
    vector = loaded(RaggedInputs.from_rows({"in0": [in0]}))[0]
    return f'"embeddings":{json.dumps([float(str(x)) for x in vector])}'.replace(
        " ", ""
    )


def transformed(loaded, path, output_format=None, **options):
    """Returns the counts and the path of the output."""
    writer = writer_for(path, output_format)
    job = FileJob(path, path.with_name("out"), writer, AnswerOptions(**options))
    return predict_file(loaded, job), job.output


def test_values_are_copied_as_they_are_written(loaded, tmp_path):
    path = tmp_path / "in.jsonl"
    lines = [
        f'{{"id" :{value} , "in0": [1, 2],"label":{i}}}'
        for i, value in enumerate(VALUES)
    ]
    lines[3] = lines[3].replace('"id"', r'"\u0069d"')
    path.write_text("\n\n".join(lines) + "\r\n")
    counts, out = transformed(loaded, path, keep=("label", "id"))
    assert counts == RowCounts(rows=8, missing={"label": 0, "id": 0})
    predicted = answer(loaded, [1, 2])
    assert out.read_text().splitlines() == [
        f'{{"label":{i},"id":{value},{predicted}}}' for i, value in enumerate(VALUES)
    ]


def test_inputs_can_be_kept_and_fields_may_be_missing(loaded, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"in0": [1,  2], "my id": 3}\n{"in0":[4]}\n')
    counts, out = transformed(loaded, path, keep=("my id", "in0", "x"))
    assert out.read_text().splitlines() == [
        f'{{"my id":3,"in0":[1,  2],{answer(loaded, [1, 2])}}}',
        f'{{"in0":[4],{answer(loaded, [4])}}}',
    ]
    with pytest.warns(UserWarning, match=r"in\.jsonl: (1 of 2.*my id|2 of 2.* x)") as w:
        counts.warn(path)
    assert len(w) == 2


BAD = {
    3: (
        '{"id": 3, "in0": [1, 40]}',
        "in0[1]: expected a token id below enc0_vocab_siz",
    ),
    4: ('{"id": 4, "in0": [4', "ends in the middle of an object ("),
    9: ('{"id": 9, "in1": [4]}', "expected in0 as in the lines before, got in1"),
    5000: ('{"id": 5000, "in0": "a word"}', "in0: expected a list of token ids"),
    6001: ('{"in0": [-7], "id":6001}', "in0[0]: expected"),
}


def write_lines_with_bad_ones(path):
    """Writes 6,001 lines, of which those of BAD are invalid, and line 7 is blank."""
    lines = [f'{{"id": {i}, "in0": [{i % 40}]}}' for i in range(1, 6002)]
    for number, (line, _) in BAD.items():
        lines[number - 1] = line
    lines[6] = "  "
    path.write_text("\n".join(lines))
    return [number for number in range(1, 6002) if number != 7]


@pytest.mark.parametrize("splits", [1, 3])
def test_an_error_takes_the_place_of_its_line(loaded, tmp_path, splits):
    path = tmp_path / "in.jsonl"
    numbers = write_lines_with_bad_ones(path)
    options = AnswerOptions(("id",), "mark")
    size = path.stat().st_size // splits + 1
    answers, counts = [], RowCounts()
    for split in split_file(path, size):
        out = tmp_path / "out"
        (*_, last) = write_predictions(loaded, split, out, FORMATS["jsonl"], options)
        counts += last
        answers += [json.loads(line) for line in out.read_text().splitlines()]
    assert counts.rows == 6000
    assert counts.invalid == 5
    assert counts.first_error.startswith("line 3: in0[1]")
    assert len(answers) == 6000
    vectors = loaded(RaggedInputs.from_rows({"in0": [[i] for i in range(40)]}))
    for number, one in zip(numbers, answers, strict=True):
        if number in BAD:
            assert one["error"].startswith(f"line {number}: ")
            assert BAD[number][1] in one["error"]
            # The line that is not JSON has no fields.
            assert one.get("id") == (None if number == 4 else number)
        else:
            assert list(one) == ["id", "embeddings"]
            assert one["id"] == number
            np.testing.assert_allclose(
                one["embeddings"], vectors[number % 40], rtol=1e-6
            )


def test_invalid_lines_are_skipped(loaded, tmp_path):
    path = tmp_path / "in.jsonl.gz"
    numbers = write_lines_with_bad_ones(path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    counts, out = transformed(loaded, path, keep=("id",), on_error="skip")
    ids = [json.loads(line)["id"] for line in out.read_text().splitlines()]
    assert ids == [number for number in numbers if number not in BAD]
    options = AnswerOptions(on_error="skip")
    assert counts.summary(options) == "5,995 lines, 5 invalid (skipped)"


def test_without_invalid_lines_the_bytes_are_the_same(loaded, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f'{{"in0": [{i % 40}, 1]}}\n' for i in range(5000)))
    _, out = transformed(loaded, path)
    expected = out.read_bytes()
    counts, _ = transformed(loaded, path, on_error="mark")
    assert out.read_bytes() == expected
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts.warn(path)  # nothing


def test_a_value_that_is_not_utf_8_is_an_error_of_its_line(loaded, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"in0": [1], "id": "a"}\n{"in0": [1], "id": "\xff"}\n')
    with pytest.raises(DataError, match=r"in\.jsonl:2: is not UTF-8: got byte"):
        transformed(loaded, path, keep=("id",))
    _, out = transformed(loaded, path, keep=("id",), on_error="mark")
    first, second = map(json.loads, out.read_text().splitlines())
    assert first["id"] == "a"
    assert list(second) == ["error"]


@pytest.mark.parametrize("keep", [(), ("id",)])
def test_objects_and_lines_correspond(loaded, tmp_path, keep):
    path = tmp_path / "in.jsonl"
    # As many objects as lines, but not one in each.
    path.write_text('{"in0":\n[1]}\n{"in0": [2]} {"in0": [3]}\n')
    _, out = transformed(loaded, path, keep=keep, on_error="mark")
    lines = out.read_text().splitlines()
    assert [list(json.loads(line)) for line in lines] == [["error"]] * 3
    with pytest.raises(DataError, match=r"in\.jsonl:1: ends in the middle of an obj"):
        transformed(loaded, path, keep=keep)


def test_a_line_of_form_feeds_is_invalid(loaded, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('\f\n{"in0": [1]}\n\v\n{"in0": [true]}\n')
    counts, _ = transformed(loaded, path, on_error="skip")
    assert (counts.rows, counts.invalid) == (4, 3)
    with pytest.raises(DataError, match=r"in\.jsonl:1: is not JSON: "):
        transformed(loaded, path)


def test_only_invalid_lines(loaded, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("x\n" * 3)
    for on_error, lines in (("mark", 3), ("skip", 0)):
        _, out = transformed(loaded, path, on_error=on_error)
        assert len(out.read_text().splitlines()) == lines
    _, out = transformed(loaded, path, "parquet", on_error="mark")
    assert pq.read_table(out).column_names == ["error"]


def write_table(path):
    """Writes 6 rows in row groups of 2; those with the ids b and f are invalid."""
    columns = {
        "in0": [[1], [40], [2, 3], [], [5], None],
        "id": pa.array(["a", "b", None, "d", "e", "f"]).dictionary_encode(),
        "day": pa.array([0, 1, 2, 3, 4, None], pa.date32()),
        "price": pa.array([decimal.Decimal("1.10")] * 6, pa.decimal128(9, 2)),
        "raw": [b"\xff"] * 6,
        "unused": [1] * 6,
    }
    pq.write_table(pa.table(columns), path, row_group_size=2)


@pytest.mark.parametrize("splits", [1, 3])
def test_columns_are_copied_with_type_and_nulls(loaded, tmp_path, splits):
    path = tmp_path / "in.parquet"
    write_table(path)
    keep = ("price", "id", "raw", "day")
    options = AnswerOptions(keep, "mark")
    with FORMATS["parquet"](tmp_path / "out") as joined:
        for split in split_file(path, 1 if splits == 3 else 1 << 20):
            part = tmp_path / "part"
            list(write_predictions(loaded, split, part, FORMATS["parquet"], options))
            joined.append(part)
    table, source = pq.read_table(tmp_path / "out"), pq.read_table(path)
    assert table.column_names == [*keep, "embeddings", "error"]
    for name in keep:
        assert table.schema.field(name).type == source.schema.field(name).type
        assert table[name].to_pylist() == source[name].to_pylist()
    vectors = loaded(RaggedInputs.from_rows({"in0": [[1], [2, 3], [], [5]]})).tolist()
    expected = [vectors[0], None, *vectors[1:], None]
    for found, vector in zip(table["embeddings"].to_pylist(), expected, strict=True):
        assert found == (vector and pytest.approx(vector, rel=1e-6, abs=1e-9))
    errors = table["error"].to_pylist()
    assert [error is None for error in errors] == [True, False, True, True, True, False]
    assert errors[1].startswith("row 2: in0[0]: expected a token id below")


def test_columns_become_fields_of_json_lines(loaded, tmp_path):
    path = tmp_path / "in.parquet"
    write_table(path)
    _, out = transformed(
        loaded, path, "jsonl", keep=("id", "price", "day"), on_error="skip"
    )
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(one["id"], one["price"], one["day"]) for one in lines] == [
        ("a", "1.10", "1970-01-01"),
        (None, "1.10", "1970-01-03"),
        ("d", "1.10", "1970-01-04"),
        ("e", "1.10", "1970-01-05"),
    ]
    with pytest.raises(UserError, match="values that JSON has, got raw: binary"):
        transformed(loaded, path, "jsonl", keep=("raw",), on_error="skip")
    with pytest.raises(DataError, match="expected a column x, got the columns in0, id"):
        transformed(loaded, path, keep=("x",))


@pytest.mark.parametrize(
    ("output_format", "column"),
    [
        ("jsonl", pa.array([2**60], pa.timestamp("s"))),
        ("jsonl", pa.array([2**30], pa.date32())),
        ("parquet", pa.array([2**60], pa.timestamp("s"))),
        ("parquet", pa.array([pa.MonthDayNano([1, 2, 3])])),
    ],
    ids=str,
)
def test_values_that_a_format_lacks(loaded, tmp_path, output_format, column):
    path = tmp_path / "in.arrow"
    table = pa.table({"in0": [[1]], "x": column})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(UserError, match=r"^--keep: expected columns with values that "):
        transformed(loaded, path, output_format, keep=("x",))


@pytest.mark.parametrize("name", ["in0", "x"])
def test_two_columns_of_the_same_name(loaded, tmp_path, name):
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table([[[1]], [1], [[2]]], ["in0", "x", name]), path)
    with pytest.raises(DataError, match=f"expected one column {name}, got 2"):
        transformed(loaded, path, keep=("x",))


def test_kept_fields_of_json_lines_have_no_type_for_parquet(loaded, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"in0": [1], "id": 2}\n')
    with pytest.raises(UserError, match="whose fields have no type"):
        transformed(loaded, path, "parquet", keep=("id",))


def test_errors_before_the_first_valid_line_of_parquet(loaded, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('x\n{"in0": [1]}\n{"in0": [40]}\n')
    _, out = transformed(loaded, path, "parquet", on_error="mark")
    table = pq.read_table(out)
    assert table.column_names == ["embeddings", "error"]
    assert [e is None for e in table["error"].to_pylist()] == [False, True, False]
    assert [v is None for v in table["embeddings"].to_pylist()] == [True, False, True]


def test_split_with_a_start_has_the_inputs_of_the_first_valid_line(loaded, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('x\n{"in0": [1]}\n{"in1": [1]}\n')
    split = FileSplit(path, path.read_text().index('{"in1"'))
    options = AnswerOptions(on_error="mark")
    out = tmp_path / "out"
    (counts,) = write_predictions(loaded, split, out, FORMATS["jsonl"], options)
    assert counts.first_error.startswith("line 3: expected in0 as in the lines before")


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (("id", "scores"), "expected fields other than embeddings, scores, error"),
        (("error",), "got 'error'"),
        (("",), "got ''"),
        (("a", "b", "a"), "keep: expected every field once, got a,b,a"),
    ],
)
def test_names_that_cannot_be_kept(keep, message):
    with pytest.raises(UserError, match=message):
        AnswerOptions(keep)
