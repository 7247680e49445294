"""Tests of object2vec_tf/files/arrow_files.py: files that are cut, also while read."""

import os

import numpy as np
import pyarrow as pa
import pytest

from object2vec_tf.errors import DataError
from object2vec_tf.files.record_batches import open_batches

ROWS = 3000
NUMBERS = pa.array(np.arange(ROWS))


@pytest.fixture(params=["file", "stream"])
def path(request, tmp_path):
    """A file of three batches with the numbers from 0, and a column of text."""
    new = pa.ipc.new_file if request.param == "file" else pa.ipc.new_stream
    schema = pa.schema({"other": pa.string(), "in0": pa.int64()})
    path = tmp_path / "pairs.arrow"
    with new(path, schema) as writer:
        for start in range(0, 3 * ROWS, ROWS):
            columns = [["text"] * ROWS, pa.compute.add(NUMBERS, start)]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    return path


def read(path, columns=("in0",)):
    with open_batches(path, columns) as (schema, batches):
        assert schema.names == ["other", "in0"]
        return pa.Table.from_batches([*batches])


def test_columns_are_read_in_order(path):
    assert read(path).column_names == ["in0"]
    assert read(path)["in0"].to_pylist() == [*range(3 * ROWS)]
    assert read(path, None).column_names == ["other", "in0"]
    assert read(path, None)["other"].unique().to_pylist() == ["text"]


def test_a_file_that_is_cut_while_it_is_read_is_an_error(path):
    """A memory-mapped file would end the process with SIGBUS."""

    def read_and_cut():
        with open_batches(path, ["in0"]) as (_, batches):
            first = next(batches)
            os.truncate(path, path.stat().st_size // 2)
            return pa.Table.from_batches([first, *batches])["in0"].to_pylist()

    with pytest.raises(DataError, match=r"pairs\.arrow: cannot be read to its end: "):
        read_and_cut()


def test_a_file_that_ends_at_any_byte_is_an_error(path):
    data = path.read_bytes()
    for size in (0, 5, 100, len(data) // 3 // 8 * 8, len(data) - 8, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(DataError, match=r"pairs\.arrow: cannot be read"):
            read(path)


def test_a_stream_without_its_last_batch_is_an_error(tmp_path):
    path = tmp_path / "pairs.arrows"
    schema = pa.schema({"other": pa.string(), "in0": pa.int64()})
    batch = pa.record_batch([["a"] * ROWS, NUMBERS], schema=schema)
    with path.open("wb") as file:
        writer = pa.ipc.new_stream(file, schema)
        writer.write_batch(batch)
        file.flush()
        complete = path.stat().st_size  # Arrow reads these bytes without an error
        writer.write_batch(batch)
        writer.close()
    assert len(read(path)) == 2 * ROWS
    os.truncate(path, complete)
    assert len(pa.ipc.open_stream(path).read_all()) == ROWS
    with pytest.raises(DataError, match=r"pairs\.arrows: .* has no end mark"):
        read(path)
