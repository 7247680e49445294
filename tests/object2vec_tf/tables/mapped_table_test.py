"""Tests of object2vec_tf/tables/mapped_table.py."""

import concurrent.futures
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.tables import mapped_table
from object2vec_tf.tables.mapped_table import MappedTable
from object2vec_tf.tables.parquet_layout import GROUP_ROWS, TABLE_DIGESTS
from object2vec_tf.tables.parquet_writer import part_files, write_parquet_table
from object2vec_tf.tables.resident_memory import prefetch_pages
from object2vec_tf.tables.table_reader import ArrayReader, read_chunks
from tests.bit_flips import flipped

ROWS = 3 * GROUP_ROWS + 2
WIDTH = 5
TABLE = np.random.default_rng(0).normal(size=[ROWS, WIDTH]).astype(np.float32)
EDGES = [0, GROUP_ROWS - 1, GROUP_ROWS, 2 * GROUP_ROWS, 3 * GROUP_ROWS, ROWS - 1]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two files, of two row groups each."""
    directory = tmp_path_factory.mktemp("table")
    part_bytes = 2 * GROUP_ROWS * WIDTH * 4
    write_parquet_table(ArrayReader(TABLE), directory, part_bytes=part_bytes)
    return directory


@pytest.fixture
def directory(written, tmp_path):
    return shutil.copytree(written, tmp_path / "enc0")


def test_rows_are_those_of_the_table_bit_for_bit(written):
    table = MappedTable(written)
    random = np.random.default_rng(1).integers(0, ROWS, 700).tolist()
    assert (table.rows, table.width, len(part_files(written))) == (ROWS, WIDTH, 2)
    for ids in ([], [3], EDGES, EDGES[::-1], [4, 4, 4], random, sorted(random)):
        rows = table.take(np.array(ids, np.int64))
        assert rows.dtype == np.float32
        assert rows.tobytes() == TABLE[ids].tobytes()


def test_rows_on_the_disk_are_the_same(written, monkeypatch):
    sizes = []

    def prefetch(mapping, offsets, size):
        sizes.append((len(offsets), size))
        prefetch_pages(mapping, offsets, size)

    monkeypatch.setattr(mapped_table, "prefetch_pages", prefetch)
    table, ids = MappedTable(written), np.random.default_rng(2).integers(0, ROWS, 300)
    for seconds in (1.0, 0.0):  # after the first block, all rows are slow, or none
        monkeypatch.setattr(mapped_table, "_DISK_SECONDS", seconds)
        assert table.take(np.sort(ids)).tobytes() == TABLE[np.sort(ids)].tobytes()
        assert bool(sizes) == (seconds == 0)
    assert sum(count for count, _ in sizes) == 300 - 128
    assert {size for _, size in sizes} == {4 * WIDTH}


def test_special_numbers_are_the_same_bits(tmp_path):
    numbers = np.array([[np.nan, -0.0], [np.inf, 1e-45]], np.float32)
    write_parquet_table(ArrayReader(numbers), tmp_path)
    rows = MappedTable(tmp_path).take(np.array([0, 1]))
    assert rows.tobytes() == numbers.tobytes()


def test_a_table_of_one_number_can_be_read(tmp_path):
    write_parquet_table(ArrayReader(np.full([1, 1], 2.5)), tmp_path)
    table = MappedTable(tmp_path)
    assert (table.rows, table.width) == (1, 1)
    assert table.take(np.array([0, 0])).tolist() == [[2.5], [2.5]]


@pytest.mark.parametrize("stop", [5, GROUP_ROWS + 3, ROWS])
def test_consecutive_rows_are_read_across_row_groups_and_files(written, stop):
    rows = MappedTable(written).read(3, stop)
    assert np.array_equal(rows, TABLE[3:stop])


def test_it_is_a_table_reader(written):
    chunks = list(read_chunks(MappedTable(written), max_bytes=GROUP_ROWS * WIDTH))
    assert len(chunks) == 13
    assert np.array_equal(np.concatenate([rows for _, rows in chunks]), TABLE)


@pytest.mark.parametrize("wrong", [-1, ROWS])
def test_ids_outside_of_the_table_raise(written, wrong):
    with pytest.raises(IndexError, match=rf"expected ids in \[0, {ROWS}\), got ids"):
        MappedTable(written).take(np.array([0, wrong]))


def test_several_threads_read_it(written):
    table = MappedTable(written)

    def read(seed):
        ids = np.random.default_rng(seed).integers(0, ROWS, 2000)
        return np.array_equal(table.take(ids), TABLE[ids])

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read, range(16)))


def test_a_damaged_file_is_reported(directory):
    path = part_files(directory)[1]
    path.write_bytes(flipped(path.read_bytes(), 2000))
    with pytest.raises(
        UserError, match=r"part-00001\.parquet: is damaged: its checksum"
    ):
        MappedTable(directory)


def test_a_truncated_file_is_reported_with_and_without_checksums(directory):
    path = part_files(directory)[0]
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match="half copied"):
        MappedTable(directory)
    with pytest.raises(
        UserError, match=r"part-00000\.parquet: expected a Parquet file"
    ):
        MappedTable(directory, verify=False)


def test_a_missing_file_is_reported_with_and_without_checksums(directory):
    part_files(directory)[0].unlink()
    with pytest.raises(UserError, match=r"part-00000\.parquet: is missing"):
        MappedTable(directory)
    with pytest.raises(UserError, match="the vectors of the ids from 0 on, got other"):
        MappedTable(directory, verify=False)


def test_missing_checksums_are_reported(directory):
    (directory / TABLE_DIGESTS).unlink()
    with pytest.raises(UserError, match=r"_digests\.json: is missing: the dir"):
        MappedTable(directory)
    assert MappedTable(directory, verify=False).rows == ROWS


def test_a_directory_without_files_is_reported(tmp_path):
    with pytest.raises(UserError, match="expected the Parquet files of a table, found"):
        MappedTable(tmp_path)


def test_a_file_of_other_ids_is_reported(directory):
    path = part_files(directory)[0]
    data = bytearray(path.read_bytes())
    ids = data.index(np.arange(3).tobytes())
    data[ids : ids + 8] = np.int64(7).tobytes()  # a valid file, of other ids
    path.write_bytes(data)
    with pytest.raises(UserError, match="expected the vectors of the ids from 0 on"):
        MappedTable(directory, verify=False)


def test_a_file_without_ids_is_reported(directory):
    path = part_files(directory)[0]
    table = pq.read_table(path).drop_columns("id")
    options = {"use_dictionary": False, "data_page_size": 1 << 30}
    pq.write_table(
        table, path, row_group_size=GROUP_ROWS, compression="none", **options
    )
    with pytest.raises(
        UserError, match=r"part-00000\.parquet: expected a Parquet file"
    ):
        MappedTable(directory, verify=False)


def test_a_part_in_the_middle_needs_complete_row_groups(directory):
    shutil.copy(part_files(directory)[1], directory / "part-00002.parquet")
    with pytest.raises(UserError, match="a multiple of 16384 rows, since part-00002"):
        MappedTable(directory, verify=False)


def test_vectors_of_two_widths_are_reported(directory, tmp_path):
    other = np.zeros([ROWS, WIDTH + 1])
    part_bytes = 2 * GROUP_ROWS * (WIDTH + 1) * 4
    write_parquet_table(ArrayReader(other), tmp_path / "other", part_bytes=part_bytes)
    shutil.copy(part_files(tmp_path / "other")[1], directory)
    with pytest.raises(UserError, match=r"vectors of the same width, got \[5, 6\]"):
        MappedTable(directory, verify=False)


def test_a_file_that_is_truncated_in_use_is_reported(directory):
    table = MappedTable(directory)
    os.truncate(part_files(directory)[1], 1000)
    assert np.array_equal(table.take(np.array([1])), TABLE[[1]])
    with pytest.raises(UserError, match=r"part-00001\.parquet: was changed while"):
        table.take(np.array([ROWS - 1]))
    with pytest.raises(UserError, match=r"part-00001\.parquet: was truncated"):
        table.read(ROWS - 2, ROWS)


def test_files_that_are_deleted_in_use_can_still_be_read(directory):
    table = MappedTable(directory)
    shutil.rmtree(directory)
    assert np.array_equal(table.take(np.array(EDGES)), TABLE[EDGES])
