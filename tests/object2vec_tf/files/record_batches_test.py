import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from object2vec_tf.files.record_batches import is_table_file, open_batches


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (pq.write_table, True),
        (pa.feather.write_feather, True),
        (lambda table, path: path.write_text('{"in0": [1]}\n'), False),
        (lambda table, path: path.write_text(""), False),
    ],
)
def test_the_content_counts_if_a_name_has_no_suffix(write, expected, tmp_path):
    path = tmp_path / "part-0"
    write(pa.table({"label": [5, 6]}), path)
    assert is_table_file(path) == expected
    if expected:
        with open_batches(path, ["label"]) as (_, batches):
            assert [batch["label"].to_pylist() for batch in batches] == [[5, 6]]
