"""Tests of object2vec_tf/tables/parquet_writer.py."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from object2vec_tf.files.digests import verify_digests
from object2vec_tf.tables.parquet_layout import GROUP_ROWS, TABLE_DIGESTS
from object2vec_tf.tables.parquet_writer import part_files, write_parquet_table
from object2vec_tf.tables.table_reader import ArrayReader

ROWS = 2 * GROUP_ROWS + 7


class _Counted(ArrayReader):
    """A table that records how many rows are read at a time."""

    def __init__(self, array):
        super().__init__(array)
        self.counts = []

    def read(self, start, stop):
        self.counts.append(stop - start)
        return super().read(start, stop)


def test_files_have_ids_words_and_vectors_in_the_order_of_ids(tmp_path):
    table = np.random.default_rng(0).normal(size=[ROWS, 3]).astype(np.float32)
    words = ["a", None, "c"]
    write_parquet_table(ArrayReader(table), tmp_path, words)
    read = pq.read_table(part_files(tmp_path))
    assert read.schema.names == ["id", "token", "values"]
    assert read.schema.field("values").type == pa.list_(
        pa.field("element", pa.float32(), nullable=False), 3
    )
    assert read["id"].to_pylist() == list(range(ROWS))
    assert read["token"].to_pylist() == words + [None] * (ROWS - 3)
    vectors = np.array(read["values"].to_pylist(), np.float32)
    assert np.array_equal(vectors, table)


def test_one_row_group_is_read_at_a_time_and_files_have_a_bounded_size(tmp_path):
    reader = _Counted(np.zeros([ROWS, 2]))
    write_parquet_table(reader, tmp_path, part_bytes=GROUP_ROWS * 2 * 4)
    files = part_files(tmp_path)
    assert reader.counts == [GROUP_ROWS, GROUP_ROWS, 7]
    assert [path.name for path in files] == [f"part-0000{i}.parquet" for i in range(3)]
    assert [pq.read_metadata(x).num_rows for x in files] == [GROUP_ROWS, GROUP_ROWS, 7]
    assert pq.read_schema(files[0]).names == ["id", "values"]


def test_the_checksums_of_all_files_are_written(tmp_path):
    write_parquet_table(ArrayReader(np.ones([3, 2])), tmp_path)
    assert set(json.loads((tmp_path / TABLE_DIGESTS).read_text())["files"]) == {
        "part-00000.parquet"
    }
    assert verify_digests(tmp_path, file=TABLE_DIGESTS)


def test_the_directory_is_a_dataset_for_other_readers(tmp_path):
    table = np.random.default_rng(0).normal(size=[ROWS, 2]).astype(np.float32)
    part_bytes = GROUP_ROWS * 2 * 4
    write_parquet_table(ArrayReader(table), tmp_path, part_bytes=part_bytes)
    found = pq.read_table(tmp_path, filters=[("id", "in", [5, ROWS - 1])])
    assert found["values"].to_pylist() == table[[5, ROWS - 1]].tolist()
    polars = pytest.importorskip("polars")
    rows = polars.read_parquet(f"{tmp_path}/*.parquet").filter(polars.col("id") == 5)
    assert rows["values"].to_list() == [table[5].tolist()]
