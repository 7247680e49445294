import json
import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from object2vec_tf.errors import DataError
from object2vec_tf.files.record_batches import (
    is_table_file,
    json_lines,
    mappings,
    open_batches,
    table_lines,
)


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (pq.write_table, True),
        (pa.feather.write_feather, True),
        (lambda table, path: path.write_text('{"in0": [1]}\n'), False),
        (lambda table, path: path.write_text(""), False),
    ],
)
def test_the_content_counts_if_a_name_has_no_suffix(write, expected, tmp_path):
    path = tmp_path / "part-0"
    write(pa.table({"label": [5, 6]}), path)
    assert is_table_file(path) == expected
    if expected:
        with open_batches(path, ["label"]) as (_, batches):
            assert [batch["label"].to_pylist() for batch in batches] == [[5, 6]]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_rows_become_lines_with_all_columns(suffix, tmp_path):
    rows = [
        {"in1": [i, 1], "title": f"é {i}", "price": Decimal("0.50"), "raw": b"x"}
        for i in range(10)
    ]
    table, path = pa.Table.from_pylist(rows), tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        pq.write_table(table, path, row_group_size=3)
    else:
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, 3)
    blocks = list(table_lines(path, rows=4))
    assert len(blocks) > 2
    lines = b"".join(blocks).splitlines()
    expected = [row | {"price": 0.5, "raw": "x"} for row in rows]
    assert [json.loads(line) for line in lines] == expected


def test_values_that_are_rare():
    rows = [{"in1": [2**70, Decimal(10**30)], "x": np.array(["a", "b"])}]
    assert json.loads(json_lines(rows)) == {"in1": [2**70, 10**30], "x": ["a", "b"]}
    far = pa.record_batch({"time": pa.array([2**60], pa.timestamp("s"))})
    with pytest.raises(DataError, match=r"^x: rows 5 to 5: have a value that"):
        mappings(far, "x", 5)


def test_wrong_offsets_in_an_arrow_file_are_an_error(tmp_path):
    """Arrow does not check them: they may be anywhere in memory."""
    path = tmp_path / "a.arrow"
    offsets = np.arange(0, 400, 4, np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(range(396)))
    table = pa.table({"in0": lists})
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)
    content = path.read_bytes()
    assert offsets.tobytes() in content
    for position, offset in ((50, 2**30), (98, -4), (99, 401)):
        wrong = offsets.copy()
        wrong[position] = offset
        path.write_bytes(content.replace(offsets.tobytes(), wrong.tobytes()))
        with (
            pytest.raises(DataError, match=r"a\.arrow: cannot be read to its end: "),
            open_batches(path, ["in0"]) as (_, batches),
        ):
            list(batches)


def test_the_checksums_of_parquet_are_verified(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"label": list(range(100))})
    pq.write_table(
        table,
        path,
        compression="none",
        use_dictionary=False,
        write_page_checksum=True,
    )
    content = path.read_bytes()
    fifty = np.int64(50).tobytes() + np.int64(51).tobytes()
    path.write_bytes(content.replace(fifty, fifty.replace(b"2", b"3")))
    assert path.read_bytes() != content
    with (
        pytest.raises(DataError, match=r"a\.parquet: cannot be read to its end: "),
        open_batches(path, None) as (_, batches),
    ):
        list(batches)


def test_a_damaged_file_is_one_line_of_error(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"label": list(range(50_000))}), path)
    content = bytearray(path.read_bytes())
    content[1_000:60_000] = bytes(59_000)
    path.write_bytes(content)
    with (
        pytest.raises(DataError) as raised,
        open_batches(path, ["label"]) as (_, batches),
    ):
        list(batches)
    message = str(raised.value)
    assert message.startswith(f"{path}: cannot be read to its end: ")
    assert message.endswith(". The file is damaged: write it again.")
    assert "\n" not in message


@pytest.mark.parametrize("name", [b"bad\xff[1].parquet", b"s3:a.parquet"])
def test_parquet_files_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    with path.open("wb") as file:
        pq.write_table(pa.table({"in0": [[1]]}), file)
    with open_batches(path, None) as (_, batches):
        assert [batch.to_pylist() for batch in batches] == [[{"in0": [1]}]]
