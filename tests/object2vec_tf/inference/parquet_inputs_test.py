import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import object2vec_tf as o2v
from object2vec_tf.errors import DataError
from object2vec_tf.inference.file_splits import FileSplit, split_file
from object2vec_tf.inference.parquet_inputs import read_split


class Lengths:
    """A model whose in0 is text, with the lengths of words as ids; its in1 is ids.

    In a list of strings, each string is a token.
    """

    hyperparameters = o2v.Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_max_seq_len=3,
        enc0_vocab_size=9,
        enc1_network="pooled_embedding",
        enc1_max_seq_len=4,
        enc1_vocab_size=20,
        enc_dim=4,
    )
    texts = ("in0",)

    def tokenize(self, rows):
        def ids(row):
            words = row.split() if isinstance(row, str) else row
            return [len(word) if isinstance(word, str) else word for word in words]

        return {
            name: [ids(row) for row in objects] for name, objects in rows.items()
        }, 0


def write(path, columns, **options):
    pq.write_table(pa.table(columns), path, **options)
    return path


def read(source):
    split = source if isinstance(source, FileSplit) else FileSplit(source)
    return list(read_split(split, Lengths()))


def rows_of(parts, name):
    return [
        part.columns[name].values[start:stop].tolist()
        for part in parts
        for start, stop in zip(
            part.columns[name].row_splits[:-1],
            part.columns[name].row_splits[1:],
            strict=True,
        )
    ]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int64()),
        pa.list_(pa.uint8()),
        pa.large_list(pa.int32()),
        pa.list_(pa.uint64()),
    ],
    ids=str,
)
def test_lists_of_ids(kind, tmp_path):
    generator = np.random.default_rng(0)
    rows = [generator.integers(0, 20, n % 6).tolist() for n in range(5000)]
    path = write(
        tmp_path / "a.parquet",
        {"label": np.zeros(5000), "in1": pa.array(rows, kind)},
        row_group_size=700,
    )
    whole = read(path)
    assert {tuple(part.columns) for part in whole} == {("in1",)}
    assert rows_of(whole, "in1") == [row[:4] for row in rows]
    assert rows_of(read(FileSplit(path, 2, 5)), "in1") == [
        row[:4] for row in rows[1400:3500]
    ]


def test_fixed_size_lists(tmp_path):
    kind = pa.list_(pa.int64(), 2)
    path = write(tmp_path / "a.parquet", {"in1": pa.array([[1, 2], [3, 19]], kind)})
    assert rows_of(read(path), "in1") == [[1, 2], [3, 19]]


def test_padding_is_dropped_and_numbers_may_be_floats_or_single(tmp_path):
    kind = pa.list_(pa.float32(), 3)
    rows = pa.array([[1, -1, -1], [-1, 3, 19], [-1, -1, -1]], kind)
    path = write(tmp_path / "a.parquet", {"in1": rows})
    assert rows_of(read(path), "in1") == [[1], [3, 19], []]
    path = write(tmp_path / "b.parquet", {"in1": [1, 2]})
    assert rows_of(read(path), "in1") == [[1], [2]]


@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream])
def test_arrow_files_have_one_split(new, tmp_path):
    table = pa.table({"in1": [[1], [2, 3], []] * 1000, "x": ["y"] * 3000})
    with new(path := tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table, 700)
    (split,) = split_file(path, 1 << 20)
    assert rows_of(read(split), "in1") == [[1], [2, 3], []] * 1000


def test_texts_are_tokenized(tmp_path):
    texts = pa.array(["a bb ccc dddd", "", "eeee"]).dictionary_encode()
    path = write(tmp_path / "a.parquet", {"in0": texts, "in1": [[1], [], [5]]})
    parts = read(path)
    assert rows_of(parts, "in0") == [[1, 2, 3], [], [4]]
    assert rows_of(parts, "in1") == [[1], [], [5]]
    path = write(tmp_path / "b.parquet", {"in0": [["a b", "cc"], ["d"]]})
    assert rows_of(read(path), "in0") == [[3, 2], [1]]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[1]] * 3000 + [[1, 20]], r"row 3001: in1\[1\]: expected a token id below"),
        ([[1], [-2]], r"row 2: in1\[0\]: expected a token id of 0 or more, .* got -2"),
        ([[1], None], r"row 2: in1: expected a list of token ids, got null"),
        ([[1], [2, None]], r"row 2: in1\[1\]: expected an integer, got null"),
        (["text"], r"row 1: in1: expected a list of token ids, got \"text\""),
        ([[0.5]], r"row 1: in1\[0\]: expected an integer, got 0.5"),
        ([[True]], r"column in1: expected lists of integers .*, got list<.*bool>"),
        ([b"a"], r"column in1: expected lists of integers .*, got binary"),
    ],
)
def test_an_invalid_row_is_an_error(column, message, tmp_path):
    path = write(tmp_path / "a.parquet", {"in1": column}, row_group_size=1000)
    with pytest.raises(DataError, match=rf"a\.parquet: {message}"):
        read(path)


def test_an_error_in_a_split_has_the_row_number_of_the_file(tmp_path):
    path = write(
        tmp_path / "a.parquet", {"in1": [[1]] * 25 + [[99]]}, row_group_size=10
    )
    with pytest.raises(DataError, match=r"row 26: in1\[0\]"):
        read(FileSplit(path, 2))


def test_a_file_without_inputs_is_an_error(tmp_path):
    path = write(tmp_path / "a.parquet", {"user": [1], "item": [2]})
    with pytest.raises(
        DataError, match="expected a column in0 or in1, got the columns user"
    ):
        read(path)
    path.write_bytes(b"no such thing")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read(path)
