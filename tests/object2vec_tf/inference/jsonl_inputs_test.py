import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.errors import DataError
from object2vec_tf.files.line_limit import VARIABLE
from object2vec_tf.inference.jsonl_inputs import read_objects


class Limits:
    """A model of token ids that only has hyperparameters."""

    hyperparameters = o2v.Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_max_seq_len=5,
        enc0_vocab_size=40,
        enc_dim=6,
        mlp_dim=4,
    )
    texts = ()


def read_rows(path, block_bytes):
    """Returns the rows of in0 that are read in blocks of this size."""
    rows = []
    for inputs in read_objects(path, Limits(), block_bytes=block_bytes):
        column = inputs.columns["in0"]
        rows += [
            ids.tolist() for ids in np.split(column.values, column.row_splits[1:-1])
        ]
    return rows


@pytest.mark.parametrize("block_bytes", [1, 40, 1 << 20])
def test_block_size_does_not_change_the_rows(block_bytes, tmp_path):
    generator = np.random.default_rng(5)
    lengths = generator.integers(0, 9, 50)
    rows = [generator.integers(0, 40, n).tolist() for n in lengths]
    lines = [f'{{"in0": {row}, "labels": [1]}}' for row in rows]
    lines[7] = f'{{"in0": [3], "in0": {rows[7]}}}'  # the last duplicate key counts
    lines[20] = f'{{"\\u0069n0": {rows[20]}}}'
    lines[30] += "\r\n\n"
    path = tmp_path / "in.jsonl"
    path.write_text("\ufeff" + "\n".join(lines))
    assert read_rows(path, block_bytes) == [row[:5] for row in rows]


@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
@pytest.mark.parametrize(
    ("lines", "rows"),
    [
        (["[-1, 1, -1, 2, 3, 4, 5, 6]", "[-1]", "[]"], [[1, 2, 3, 4, 5], [], []]),
        (["7", "-1", "39"], [[7], [], [39]]),
        (["[3.0]", "[1.0, -1.0]"], [[3], [1]]),
        (["3.0", "4"], [[3], [4]]),
        (["[3]", "4", "[5.0, 6]", "-1", "[7, -1]"], [[3], [4], [5, 6], [], [7]]),
    ],
)
def test_padding_whole_floats_and_single_ids(lines, rows, block_bytes, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f'{{"in0": {line}}}\n' for line in lines))
    assert read_rows(path, block_bytes) == rows


@pytest.mark.parametrize("number", ["-2", "18446744073709551615", "-1.5", "2.5"])
def test_a_number_that_is_no_id_is_not_padding(number, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text(f'{{"in0": [1, -1]}}\n{{"in0": [3, {number}]}}\n')
    with pytest.raises(DataError, match=r":2: in0\[1\]: expected"):
        read_rows(path, 1 << 20)


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ('{"in0": [40]}', r":52: in0\[0\]: expected a token id below enc0_vocab"),
        ('{"in0": [1.5]}', r":52: in0\[0\]: expected an integer, got 1.5"),
        (
            '{"in0": [1], "in1": [2]}',
            ":52: expected in0 as in the lines before, got in0 and in1. Split the file",
        ),
        ('{"in1": [2]}', ":52: expected in0 as in the lines before, got in1."),
    ],
)
def test_an_invalid_line_of_a_later_block_is_reported(last, message, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"in0": [1]}\n' * 50 + "\n" + last + "\n")
    with pytest.raises(DataError, match=message):
        read_rows(path, block_bytes=14)


def test_several_objects_in_a_line_are_an_error(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"in0": [1]}\n{"in0": [1]}{"in0": [2]}\n')
    with pytest.raises(DataError, match=r":2: .*expected one object per line, got 2"):
        read_rows(path, block_bytes=1 << 20)


def test_a_line_above_the_limit_is_an_invalid_line(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    path = tmp_path / "in.jsonl"
    path.write_text('{"in0": 1}\n{"in0": [' + "1," * 500_000 + '1]}\n{"in0": 2}\n')
    message = r":2: is too long: expected at most --max_line_megabytes=1\."
    with pytest.raises(DataError, match=message):
        read_rows(path, 1 << 20)
    monkeypatch.setenv(VARIABLE, "2")
    assert read_rows(path, 1 << 20) == [[1], [1] * 5, [2]]
