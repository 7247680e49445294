import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from object2vec_tf.bulk import output_writers
from object2vec_tf.bulk.output_writers import FORMATS, Parquet

ANSWERS = np.arange(12, dtype=np.float32).reshape(4, 3) / 8


def write(path, form, parts, output="scores"):
    kind = FORMATS[form]
    with kind(path) as file:
        for part in parts:
            file.write(kind.encoded(part, output))


def content(path, form):
    if form == "jsonl":
        return path.read_text()
    return pq.read_table(path).to_pydict()


def test_json_lines(tmp_path):
    write(tmp_path / "out", "jsonl", [ANSWERS[:1], ANSWERS[1:2]])
    expected = '{"scores":[0.0,0.125,0.25]}\n{"scores":[0.375,0.5,0.625]}\n'
    assert (tmp_path / "out").read_text() == expected


def test_parquet(tmp_path, monkeypatch):
    monkeypatch.setattr(output_writers, "_GROUP_BYTES", 40)
    write(tmp_path / "out", "parquet", [ANSWERS[:1], ANSWERS[1:3], ANSWERS[3:]])
    table = pq.read_table(tmp_path / "out")
    assert table.schema.names == ["scores"]
    assert table.schema.field("scores").type.value_type == pa.float32()
    assert table.column("scores").to_pylist() == ANSWERS.tolist()
    assert pq.ParquetFile(tmp_path / "out").num_row_groups == 2


@pytest.mark.parametrize("form", FORMATS)
def test_files_end_to_end(form, tmp_path):
    parts = [ANSWERS[:1], None, ANSWERS[1:]]
    paths = [tmp_path / str(i) for i in range(3)]
    for path, part in zip(paths, parts, strict=True):
        write(path, form, [] if part is None else [part])
    with FORMATS[form](tmp_path / "joined") as file:
        for path in paths:
            file.append(path)
    write(tmp_path / "whole", form, [ANSWERS])
    assert content(tmp_path / "joined", form) == content(tmp_path / "whole", form)


def test_no_answers_are_a_table_without_columns(tmp_path):
    with Parquet(tmp_path / "out"):
        pass
    assert pq.read_table(tmp_path / "out").shape == (0, 0)
