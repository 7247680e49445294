"""Tests of object2vec_tf/tables/shard_files.py."""

import numpy as np
import pytest

from object2vec_tf.files.digests import digest_of_file
from object2vec_tf.tables.shard_files import (
    RowFile,
    ShardedTableReader,
    own_rows,
    read_shard,
    write_rows,
)
from object2vec_tf.tables.table_reader import ArrayReader

TABLE = np.random.default_rng(5).normal(size=(23, 3)).astype(np.float32)


class Recorder(ArrayReader):
    """A table that records the ranges that are read."""

    def __init__(self, array):
        super().__init__(array)
        self.ranges = []

    def read(self, start, stop):
        self.ranges.append((start, stop))
        return super().read(start, stop)


def sharded(shards, reader=ArrayReader):
    return ShardedTableReader([reader(TABLE[shard::shards]) for shard in range(shards)])


def test_a_file_is_an_array_of_numpy_and_has_the_returned_digest(tmp_path):
    path = tmp_path / "table.npy"
    digest = write_rows(path, ArrayReader(TABLE))
    assert np.array_equal(np.load(path), TABLE)
    assert digest == digest_of_file(path)


def test_a_file_is_written_in_chunks(tmp_path):
    reader = Recorder(TABLE)
    write_rows(tmp_path / "table.npy", reader, max_bytes=24)
    assert max(stop - start for start, stop in reader.ranges) == 2
    assert np.array_equal(np.load(tmp_path / "table.npy"), TABLE)


def test_rows_of_a_file_are_read_by_range(tmp_path):
    write_rows(tmp_path / "table.npy", ArrayReader(TABLE))
    file = RowFile(tmp_path / "table.npy")
    assert (file.rows, file.width) == (23, 3)
    assert np.array_equal(file.read(4, 9), TABLE[4:9])
    assert file.read(9, 9).shape == (0, 3)


def test_the_padding_of_a_header_may_be_of_any_size(tmp_path):
    path = tmp_path / "table.npy"
    write_rows(path, ArrayReader(TABLE))
    content = path.read_bytes()
    size = int.from_bytes(content[8:10], "little")
    header = content[10 : 10 + size].rstrip() + b" " * size + b"\n"
    longer = content[:8] + len(header).to_bytes(2, "little") + header
    path.write_bytes(longer + content[10 + size :])
    assert np.array_equal(np.load(path), TABLE)
    assert np.array_equal(RowFile(path).read(4, 9), TABLE[4:9])


def test_a_file_that_ends_early_is_rejected(tmp_path):
    path = tmp_path / "table.npy"
    write_rows(path, ArrayReader(TABLE))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="expected 404 bytes, got 400"):
        RowFile(path)


@pytest.mark.parametrize(
    "array", [np.zeros(3, np.float32), np.zeros([2, 3]), np.zeros([3, 2], "f4").T]
)
def test_a_file_without_rows_of_float32_is_rejected(tmp_path, array):
    np.save(tmp_path / "other.npy", array)
    with pytest.raises(ValueError, match="expected float32 rows"):
        RowFile(tmp_path / "other.npy")


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 23, 30])
def test_shards_make_up_the_table_in_the_order_of_ids(shards):
    table = sharded(shards)
    assert (table.rows, table.width) == (23, 3)
    for start, stop in [(0, 23), (5, 6), (7, 7), (2, 19)]:
        assert np.array_equal(table.read(start, stop), TABLE[start:stop])


@pytest.mark.parametrize("old", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("new", [1, 2, 3, 4, 6, 30])
def test_a_table_is_sharded_again(old, new):
    for shard in range(new):
        chunks = list(read_shard(sharded(old), shard, new, max_bytes=12 * new * 2))
        assert all(len(rows) <= 2 for _, rows in chunks)
        rows = [rows for _, rows in chunks] or [np.zeros([0, 3], np.float32)]
        assert np.array_equal(np.concatenate(rows), TABLE[shard::new])
        assert [start for start, _ in chunks] == [2 * i for i in range(len(chunks))]


def test_only_shards_with_the_wanted_rows_are_read():
    readers = [Recorder(TABLE[shard::4]) for shard in range(4)]
    for _ in read_shard(ShardedTableReader(readers), shard=1, shards=2):
        pass
    assert [len(reader.ranges) for reader in readers] == [0, 1, 0, 1]


def test_the_same_number_of_shards_reads_each_row_once():
    readers = [Recorder(TABLE[shard::3]) for shard in range(3)]
    for _ in read_shard(ShardedTableReader(readers), shard=2, shards=3, max_bytes=36):
        pass
    assert readers[2].ranges == [(i, i + 1) for i in range(7)]
    assert not readers[0].ranges


def test_shards_of_another_number_are_rejected():
    shards = [ArrayReader(TABLE[shard::3]) for shard in range(2)]
    with pytest.raises(ValueError, match=r"shard 0 of 2: expected .*\(7, 3\), got"):
        ShardedTableReader([shards[0], ArrayReader(TABLE[:5])])
    with pytest.raises(ValueError, match="expected at least one"):
        ShardedTableReader([])


def test_own_rows_of_a_table_with_fewer_rows_than_shards():
    assert [own_rows(2, shard, 3) for shard in range(3)] == [1, 1, 0]
