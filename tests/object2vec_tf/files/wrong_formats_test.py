"""Tests of object2vec_tf/files/wrong_formats.py; other programs write the files."""

import bz2
import io
import struct
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import object2vec_tf as o2v
from object2vec_tf.files.line_blocks import open_line_blocks


def record_io():
    """Two records as SageMaker's documentation describes them."""
    records = [b"protobuf", b"more protobuf"]
    parts = [
        struct.pack("<II", 0xCED7230A, len(data)) + data + b"\0" * (-len(data) % 4)
        for data in records
    ]
    return b"".join(parts)


def written(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def write_zip(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "text")


TABLE = pa.table({"in0": [[1]]})
FILES = {
    r"RecordIO \(application/x-recordio-protobuf\)\. Write JSON Lines": record_io(),
    r"Parquet\. Give its name": written(lambda file: pq.write_table(TABLE, file)),
    "a numpy array": written(lambda file: np.save(file, np.zeros(3))),
    "a zip archive": written(write_zip),
    "bzip2": bz2.compress(b'{"in0": [1]}'),
    "UTF-16": '{"in0": [1]}'.encode("utf-16"),
}


@pytest.mark.parametrize("name", FILES)
def test_other_formats_are_named(name, tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(FILES[name])
    with (
        pytest.raises(
            o2v.DataError, match=rf"train\.jsonl: expected lines of text, got {name}"
        ),
        open_line_blocks(path) as blocks,
    ):
        next(blocks)


def test_a_channel_of_record_io_is_refused(tmp_path, hyperparameters):
    path = tmp_path / "train"
    path.write_bytes(record_io())
    with pytest.raises(o2v.DataError, match="train: expected lines of text, got Recor"):
        o2v.read_pairs(path, hyperparameters)


def test_text_that_starts_with_a_blank_line_is_read(tmp_path):
    path = tmp_path / "train"
    path.write_bytes(b"\n\nPAR1\n")
    with open_line_blocks(path) as blocks:
        assert b"".join(blocks) == b"\n\nPAR1\n"
