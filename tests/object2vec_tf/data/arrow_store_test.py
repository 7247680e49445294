"""Tests of object2vec_tf/data/arrow_store.py against the same columns in memory."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from object2vec_tf.data import arrow_store
from object2vec_tf.data.arrow_store import ColumnWriter, concatenated, open_columns
from object2vec_tf.data.json_lines import Block
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn


def settings(**changed: Any) -> Hyperparameters:
    return Hyperparameters(
        **{
            "enc0_max_seq_len": 9,
            "enc0_vocab_size": 60_000,
            "enc1_network": "hcnn",
            "enc1_max_seq_len": 9,
            "enc1_vocab_size": 200,
            **changed,
        }
    )


def block(rows: int, seed: int, *, longest: int = 9, reals: bool = False) -> Block:
    generator = np.random.default_rng(seed)

    def column(size: int) -> RaggedColumn:
        return RaggedColumn.from_rows(
            [generator.integers(0, size, n).tolist() for n in lengths()]
        )

    def lengths() -> Any:
        return generator.integers(0, longest + 1, rows)

    labels = generator.normal(size=rows).astype(np.float32)
    if not reals:
        labels = generator.integers(0, 2, rows)
    return Block(column(60_000), column(200), labels)


def written(path: Path, hyperparameters: Hyperparameters, blocks: list[Block]) -> Path:
    writer = ColumnWriter(path, hyperparameters)
    for one in blocks:
        writer.write(one)
    writer.close()
    return path


@pytest.mark.parametrize("part_rows", [1, 10, 1 << 16])
@pytest.mark.parametrize("reals", [False, True])
def test_any_rows_are_those_that_were_written(
    tmp_path: Path, part_rows: int, reals: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(arrow_store, "_PART_ROWS", part_rows)
    output = "mean_squared_error" if reals else "softmax"
    hyperparameters = settings(output_layer=output)
    blocks = [block(n, n, reals=reals) for n in (7, 1, 30, 12)]
    blocks.insert(2, block(5, 5, longest=0, reals=reals))
    given = np.random.default_rng(1).uniform(size=30).astype(np.float32)
    blocks[3] = dataclasses.replace(blocks[3], weights=given)
    whole = concatenated(blocks)
    path = written(tmp_path / "c.arrow", hyperparameters, blocks)
    in0, in1, labels, weights = open_columns(path, hyperparameters)
    assert len(in0) == len(in1) == len(labels) == 55
    for kind in (np.int64, np.uint32):
        for rows in ([], [54], [0, 0, 54, 3], range(55), range(54, -1, -1)):
            wanted = np.array(rows, kind)
            for mapped, held in ((in0, whole.in0), (in1, whole.in1)):
                taken, expected = mapped.take(wanted), held.take(wanted)
                assert taken.values.dtype == np.int32
                assert taken.row_splits.dtype == np.int64
                np.testing.assert_array_equal(taken.values, expected.values)
                np.testing.assert_array_equal(taken.row_splits, expected.row_splits)
            np.testing.assert_array_equal(labels.take(wanted), whole.labels[wanted])
            expected = np.concatenate([np.ones(13), given, np.ones(12)])[wanted]
            np.testing.assert_array_equal(weights.take(wanted), expected)
    for mapped, held in ((in0, whole.in0), (in1, whole.in1)):
        assert mapped.tokens == held.tokens
        np.testing.assert_array_equal(mapped.lengths, held.lengths)
    assert labels.dtype == whole.labels.dtype
    np.testing.assert_array_equal(np.asarray(labels), whole.labels)
    assert labels.mean() == pytest.approx(whole.labels.mean(dtype=np.float64), 1e-12)


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        (2, pa.uint8()),
        (256, pa.uint8()),
        (257, pa.uint16()),
        (65_536, pa.uint16()),
        (65_537, pa.int32()),
    ],
)
def test_ids_take_the_narrowest_type_and_the_largest_one_fits(
    tmp_path: Path, size: int, kind: pa.DataType
):
    hyperparameters = settings(enc0_vocab_size=size)
    ids = [[0, size - 1], []]
    pairs = Block(
        RaggedColumn.from_rows(ids),
        RaggedColumn.from_rows([[1], [2]]),
        np.array([0, 1]),
    )
    path = written(tmp_path / "c.arrow", hyperparameters, [pairs])
    in0 = open_columns(path, hyperparameters)[0]
    assert in0.take(np.array([0])).values.tolist() == [0, size - 1]
    # Arrow's own reader is the other witness.
    table = pa.ipc.open_file(path).read_all()
    assert table.schema.field("in0").type == pa.list_(kind)
    assert table.to_pylist() == [
        {"in0": ids[0], "in1": [1], "label": 0, "weight": 1},
        {"in0": ids[1], "in1": [2], "label": 1, "weight": 1},
    ]


def test_other_columns_are_refused(tmp_path: Path):
    path = written(tmp_path / "c.arrow", settings(), [block(3, 3)])
    with pytest.raises(ValueError, match="its columns are others"):
        open_columns(path, settings(enc0_vocab_size=100))


def test_memory_is_let_go_of_and_rows_stay_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(arrow_store, "_RESIDENT_BYTES", 1 << 20)
    hyperparameters = settings()
    blocks = [block(20_000, i) for i in range(10)]
    path = written(tmp_path / "c.arrow", hyperparameters, blocks)
    in0 = open_columns(path, hyperparameters)[0]
    whole = concatenated(blocks).in0
    generator = np.random.default_rng(0)
    before = arrow_store._mapped_bytes()
    most = 0
    for _ in range(200):
        rows = generator.integers(0, len(whole), 500)
        np.testing.assert_array_equal(in0.take(rows).values, whole.take(rows).values)
        most = max(most, arrow_store._mapped_bytes() - before)
    assert path.stat().st_size > 2e6
    assert arrow_store._mapped_bytes() > 0
    # Between two looks 16 batches may touch all of it; without them it stays.
    in0.take(np.arange(len(whole)))
    for _ in range(16):
        in0.take(rows[:1])
    assert arrow_store._mapped_bytes() - before < 1.2e6
