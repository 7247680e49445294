"""Tests of object2vec_tf/bulk/output_writers.py: content, joined files, row groups."""

import os
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from object2vec_tf.bulk.answer_rows import AnswerRows
from object2vec_tf.bulk.output_writers import FORMATS, JsonLinesWriter, ParquetWriter
from object2vec_tf.bulk.row_counts import RowCounts
from object2vec_tf.inference.ragged_inputs import RaggedInputs

PREDICTIONS = np.arange(12, dtype=np.float32).reshape(4, 3) / 8


def rows_of(count):
    pairs = RaggedInputs.from_rows({"in0": [[1]] * count, "in1": [[1]] * count})
    return AnswerRows(RowCounts(rows=count), pairs)


def write(writer, blocks):
    with writer as file:
        for block in blocks:
            file.write(writer.encode(rows_of(len(block)), block))


def content(path, output_format):
    if output_format == "jsonl":
        return path.read_text()
    return pq.read_table(path).to_pydict()


def test_json_lines(tmp_path):
    write(JsonLinesWriter(tmp_path / "out"), [PREDICTIONS[:1], PREDICTIONS[1:2]])
    expected = '{"scores":[0.0,0.125,0.25]}\n{"scores":[0.375,0.5,0.625]}\n'
    assert (tmp_path / "out").read_text() == expected


def test_parquet(tmp_path):
    writer = ParquetWriter(tmp_path / "out", row_group_bytes=40)
    write(writer, [PREDICTIONS[:1], PREDICTIONS[1:3], PREDICTIONS[3:]])
    table = pq.read_table(tmp_path / "out")
    assert table.schema.names == ["scores"]
    assert table.schema.field("scores").type.value_type == pa.float32()
    assert table.column("scores").to_pylist() == PREDICTIONS.tolist()
    assert pq.ParquetFile(tmp_path / "out").num_row_groups == 2


@pytest.mark.parametrize("output_format", FORMATS)
def test_appended_files_equal_one_file(output_format, tmp_path):
    writer = FORMATS[output_format]
    blocks = [PREDICTIONS[:1], None, PREDICTIONS[1:]]
    paths = [tmp_path / str(i) for i in range(3)]
    for path, block in zip(paths, blocks, strict=True):
        write(writer(path), [] if block is None else [block])
    with writer(tmp_path / "joined") as file:
        for path in paths:
            file.append(path)
    write(writer(tmp_path / "whole"), [PREDICTIONS])
    joined = content(tmp_path / "joined", output_format)
    assert joined == content(tmp_path / "whole", output_format)


def test_a_file_without_predictions_is_a_table_without_columns(tmp_path):
    with ParquetWriter(tmp_path / "out"):
        pass
    assert pq.read_table(tmp_path / "out").shape == (0, 0)


@pytest.mark.parametrize("name", [b"bad\xff[1]", b"s3:a", b"fifo"])
@pytest.mark.parametrize("output_format", FORMATS)
def test_outputs_have_any_name_and_may_be_fifos(
    output_format, name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path, received = Path(os.fsdecode(name)), []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
    if name == b"fifo":
        os.mkfifo(path)
        reader.start()
    write(FORMATS[output_format](path), [PREDICTIONS])
    if name != b"fifo":
        reader.start()
    reader.join(10)
    (tmp_path / "plain").write_bytes(received[0])
    write(FORMATS[output_format](tmp_path / "expected"), [PREDICTIONS])
    expected = content(tmp_path / "expected", output_format)
    assert content(tmp_path / "plain", output_format) == expected
