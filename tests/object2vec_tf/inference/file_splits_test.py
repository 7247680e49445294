import gzip
import itertools

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from object2vec_tf.errors import DataError
from object2vec_tf.files.line_blocks import line_blocks
from object2vec_tf.inference.file_splits import (
    FileSplit,
    lines_before,
    open_split,
    split_file,
)

TEXTS = {
    "short lines": b"".join(b"%d\n" % i for i in range(300)),
    "no end of line at the end": b"ab\n" * 50 + b"c",
    "lines longer than splits": (b"x" * 95 + b"\n") * 3 + b"\n" * 40 + b"y" * 70,
    "one line": b"z" * 200,
    "empty": b"",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(("block", "size"), [(8, 8), (8, 32), (16, 64), (16, 1024)])
def test_splits_consist_of_the_blocks_of_the_file(text, block, size, tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(text)
    splits = split_file(path, size)
    assert [(p.start, p.stop) for p in splits[:1]] == [
        (0, splits[1].start if len(splits) > 1 else None)
    ]
    for before, split in itertools.pairwise(splits):
        assert split.start == before.stop
        assert text[split.start - 1 : split.start] == b"\n"
    blocks = []
    for split in splits:
        assert lines_before(split) == text[: split.start].count(b"\n")
        with open_split(split) as stream:
            blocks += line_blocks(stream, path, block)
    with path.open("rb") as stream:
        assert blocks == list(line_blocks(stream, path, block))


def test_a_large_file_is_split_at_the_size(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"0123456\n" * 100)
    assert [split.start for split in split_file(path, 160)] == [0, 160, 320, 480, 640]


def test_compressed_text_is_one_split(tmp_path):
    path = tmp_path / "lines.gz"
    path.write_bytes(gzip.compress(b"12\n" * 1000))
    assert split_file(path, 8) == [FileSplit(path)]
    with open_split(FileSplit(path)) as stream:
        assert stream.read() == b"12\n" * 1000


def test_parquet_is_split_between_row_groups(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": range(100)}), path, row_group_size=10)
    group = pq.ParquetFile(path).metadata.row_group(0).total_byte_size
    splits = split_file(path, 3 * group)
    assert [(p.start, p.stop) for p in splits] == [(0, 3), (3, 6), (6, 9), (9, None)]
    assert split_file(path, 100 * group) == [FileSplit(path)]


def test_a_damaged_file_is_an_error(tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 and so on")
    with pytest.raises(DataError, match=r"rows.parquet: cannot be read as Parquet"):
        split_file(path, 8)
    with pytest.raises(DataError, match="cannot be opened"):
        split_file(tmp_path / "none.jsonl", 8)
