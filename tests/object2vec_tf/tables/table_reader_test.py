"""Tests of object2vec_tf/tables/table_reader.py."""

import numpy as np
import pytest

from object2vec_tf.tables.table_reader import (
    ArrayReader,
    TableReader,
    read_chunks,
    rows_per_chunk,
)

TABLE = np.arange(21, dtype=np.float32).reshape(7, 3)


def test_rows_are_those_of_the_array_as_float32():
    reader: TableReader = ArrayReader(TABLE.astype(np.float64))
    rows = reader.read(2, 5)
    assert (reader.rows, reader.width) == (7, 3)
    assert rows.dtype == np.float32
    assert rows.tolist() == [[6, 7, 8], [9, 10, 11], [12, 13, 14]]
    assert reader.read(7, 7).shape == (0, 3)


def test_a_vector_is_rejected():
    with pytest.raises(ValueError, match=r"expected \[rows, width\], got \(3,\)"):
        ArrayReader(np.zeros(3))


@pytest.mark.parametrize(
    ("max_bytes", "sizes"), [(24, [2, 2, 2, 1]), (84, [7]), (1, [1] * 7)]
)
def test_chunks_have_all_rows_in_order_and_bounded_sizes(max_bytes, sizes):
    chunks = list(read_chunks(ArrayReader(TABLE), max_bytes))
    assert [len(rows) for _, rows in chunks] == sizes
    assert [start for start, _ in chunks] == [sum(sizes[:i]) for i in range(len(sizes))]
    assert np.array_equal(np.concatenate([rows for _, rows in chunks]), TABLE)


def test_an_empty_table_has_no_chunks():
    assert list(read_chunks(ArrayReader(np.zeros([0, 3])))) == []


def test_a_chunk_has_at_least_one_row():
    assert rows_per_chunk(width=4, max_bytes=40) == 2
    assert rows_per_chunk(width=1000, max_bytes=40) == 1
