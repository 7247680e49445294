"""Tests of object2vec_tf/tables/parquet_layout.py."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.tables.parquet_layout import GROUP_ROWS, read_layout, table_schema
from object2vec_tf.tables.parquet_writer import write_parquet_table
from object2vec_tf.tables.table_reader import ArrayReader

ROWS = GROUP_ROWS + 5
WIDTH = 3
TABLE = np.random.default_rng(0).normal(size=[ROWS, WIDTH]).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    write_parquet_table(ArrayReader(TABLE), tmp_path, ["word"])
    return tmp_path / "part-00000.parquet"


def test_the_vectors_of_a_row_group_begin_at_its_offset(path):
    layout = read_layout(path)
    data = path.read_bytes()
    assert (layout.rows, layout.width, len(layout.offsets)) == (ROWS, WIDTH, 2)
    for group, offset in enumerate(layout.offsets):
        expected = TABLE[group * GROUP_ROWS :][:GROUP_ROWS]
        vectors = np.frombuffer(data, np.float32, expected.size, offset)
        assert np.array_equal(vectors.reshape(-1, WIDTH), expected)


def _rewritten(path, rows=ROWS, **options):
    """Writes the same rows in another layout."""
    table = pq.read_table(path).slice(0, rows)
    settings = {"compression": "none", "use_dictionary": False}
    pq.write_table(table, path, **settings | options)
    return path


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"compression": "snappy"},
            "49152 plain numbers in a row group, got 49152, SNAPPY",
        ),
        ({"use_dictionary": True}, "got 49152, UNCOMPRESSED and .*DICTIONARY"),
        ({"data_page_size": 1000}, "one page per row group, got several"),
        ({"row_group_size": 1000}, "row groups of 16384 rows, got .389, 1000."),
        ({"row_group_size": ROWS}, "row groups of 16384 rows, got .16389."),
        ({"use_byte_stream_split": ["values.list.element"]}, "BYTE_STREAM_SPLIT"),
    ],
)
def test_other_layouts_are_rejected(path, options, problem):
    options = {"row_group_size": GROUP_ROWS} | options
    with pytest.raises(UserError, match=f"part-00000.parquet: expected .*{problem}"):
        read_layout(_rewritten(path, **options))


def test_the_same_layout_by_another_program_is_read(path):
    before = read_layout(path).offsets.tolist()
    settings = {"row_group_size": GROUP_ROWS, "data_page_size": 1 << 30}
    assert len(read_layout(_rewritten(path, **settings)).offsets) == len(before)


@pytest.mark.parametrize(
    "columns",
    [
        {"id": [1], "vector": [1.0]},
        {"id": [1], "values": [1]},
        {"id": [1], "values": ["text"]},
    ],
)
def test_files_of_other_columns_are_rejected(tmp_path, columns):
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table(columns), path, compression="none", use_dictionary=False)
    with pytest.raises(UserError, match="expected a column values of lists of float32"):
        read_layout(path)


def test_files_of_other_formats_and_empty_ones_are_rejected(tmp_path):
    path = tmp_path / "part-00000.parquet"
    path.write_bytes(b"no Parquet file at all")
    with pytest.raises(
        UserError, match=r"part-00000\.parquet: expected a Parquet file"
    ):
        read_layout(path)
    pq.write_table(table_schema(2, False).empty_table(), path)
    with pytest.raises(UserError, match="row groups of 16384 rows, got"):
        read_layout(path)
