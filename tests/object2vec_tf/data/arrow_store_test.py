"""Tests of object2vec_tf/data/arrow_store.py against the same columns in memory."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from object2vec_tf.data import arrow_store
from object2vec_tf.data.arrow_store import (
    ColumnWriter,
    concatenate_blocks,
    open_columns,
)
from object2vec_tf.data.blocks import Block
from object2vec_tf.data.pair_schema import PairSchema
from object2vec_tf.ragged.column import RaggedColumn


def schema(vocab_size: int = 60_000, *, has_real_labels: bool = False) -> PairSchema:
    return PairSchema(
        vocab_sizes=(vocab_size, 200),
        max_lengths=(9, 9),
        output_layer="mean_squared_error" if has_real_labels else "softmax",
        num_classes=None if has_real_labels else 2,
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


def written(
    path: Path, columns: PairSchema, blocks: list[Block], part_rows: int = 1 << 16
) -> Path:
    writer = ColumnWriter(path, columns, part_rows)
    for one in blocks:
        writer.write(one)
    writer.close()
    return path


@pytest.mark.parametrize("part_rows", [1, 10, 1 << 16])
@pytest.mark.parametrize("reals", [False, True])
def test_rows_are_read_as_they_were_written(
    tmp_path: Path, part_rows: int, reals: bool
):
    columns = schema(has_real_labels=reals)
    blocks = [block(n, n, reals=reals) for n in (7, 1, 30, 12)]
    blocks.insert(2, block(5, 5, longest=0, reals=reals))
    given = np.random.default_rng(1).uniform(size=30).astype(np.float32)
    blocks[3] = dataclasses.replace(blocks[3], weights=given)
    whole = concatenate_blocks(blocks)
    path = written(tmp_path / "c.arrow", columns, blocks, part_rows)
    in0, in1, labels, weights = open_columns(path, columns)
    assert len(in0) == len(in1) == len(labels) == 55
    for kind in (np.int64, np.uint32):
        for rows in ([], [54], [0, 0, 54, 3], range(55), range(54, -1, -1)):
            wanted = np.array(rows, kind)
            for mapped, memory in ((in0, whole.in0), (in1, whole.in1)):
                taken, expected = mapped.take(wanted), memory.take(wanted)
                assert taken.values.dtype == np.int32
                assert taken.row_splits.dtype == np.int64
                np.testing.assert_array_equal(taken.values, expected.values)
                np.testing.assert_array_equal(taken.row_splits, expected.row_splits)
            np.testing.assert_array_equal(labels.take(wanted), whole.labels[wanted])
            expected = np.concatenate([np.ones(13), given, np.ones(12)])[wanted]
            np.testing.assert_array_equal(weights.take(wanted), expected)
    for mapped, memory in ((in0, whole.in0), (in1, whole.in1)):
        assert mapped.tokens == memory.tokens
        np.testing.assert_array_equal(mapped.lengths, memory.lengths)
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
def test_ids_have_the_narrowest_type_that_fits_the_largest_one(
    tmp_path: Path, size: int, kind: pa.DataType
):
    columns = schema(size)
    ids = [[0, size - 1], []]
    pairs = Block(
        RaggedColumn.from_rows(ids),
        RaggedColumn.from_rows([[1], [2]]),
        np.array([0, 1]),
    )
    path = written(tmp_path / "c.arrow", columns, [pairs])
    in0 = open_columns(path, columns)[0]
    assert in0.take(np.array([0])).values.tolist() == [0, size - 1]
    # Arrow's own reader finds the same content.
    table = pa.ipc.open_file(path).read_all()
    assert table.schema.field("in0").type == pa.list_(kind)
    assert table.to_pylist() == [
        {"in0": ids[0], "in1": [1], "label": 0, "weight": 1},
        {"in0": ids[1], "in1": [2], "label": 1, "weight": 1},
    ]


def test_other_columns_are_refused(tmp_path: Path):
    path = written(tmp_path / "c.arrow", schema(), [block(3, 3)])
    with pytest.raises(ValueError, match="its columns have other types"):
        open_columns(path, schema(100))


@pytest.mark.long
def test_memory_is_released_and_rows_stay_right(tmp_path: Path):
    blocks = [block(20_000, i) for i in range(10)]
    path = written(tmp_path / "c.arrow", schema(), blocks)
    in0 = open_columns(path, schema(), max_resident_bytes=1 << 20)[0]
    whole = concatenate_blocks(blocks).in0
    generator = np.random.default_rng(0)
    before = arrow_store._resident_file_bytes()
    most = 0
    for _ in range(200):
        rows = generator.integers(0, len(whole), 500)
        np.testing.assert_array_equal(in0.take(rows).values, whole.take(rows).values)
        most = max(most, arrow_store._resident_file_bytes() - before)
    assert path.stat().st_size > 2e6
    assert arrow_store._resident_file_bytes() > 0
    # Between two checks, 16 batches may make the whole file resident.
    in0.take(np.arange(len(whole)))
    for _ in range(16):
        in0.take(rows[:1])
    assert arrow_store._resident_file_bytes() - before < 1.2e6
