"""Tests of object2vec_tf/ragged/column.py against plain lists of lists."""

import itertools

import numpy as np
import pytest

from object2vec_tf.ragged import column as column_module
from object2vec_tf.ragged.column import RaggedColumn, first_tokens, repeated

ROWS = [[1, 2, 3], [], [4], [5, 6, 7, 8], [0]]


def column(rows: list[list[int]]) -> RaggedColumn:
    return RaggedColumn(
        np.array([token for row in rows for token in row], np.int32),
        np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64),
    )


def as_lists(ragged: RaggedColumn) -> list[list[int]]:
    assert ragged.values.dtype == np.int32
    assert ragged.row_splits.dtype == np.int64
    ends = ragged.row_splits.tolist()
    values = ragged.values.tolist()
    return [values[a:b] for a, b in itertools.pairwise(ends)]


def test_a_column_has_a_number_of_rows_and_their_lengths():
    ragged = column(ROWS)
    assert len(ragged) == 5
    assert ragged.lengths.tolist() == [3, 0, 1, 4, 1]


@pytest.mark.parametrize("many", [0, 1 << 20])
@pytest.mark.parametrize(
    "rows", [[0, 1, 2, 3, 4], [3, 0], [1], [1, 1, 1], [4, 2, 4], []], ids=str
)
def test_take_returns_rows_in_the_given_order(
    rows: list[int], many: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(column_module, "_MANY_TOKENS", many)
    taken = column(ROWS).take(np.array(rows, np.int64))
    assert as_lists(taken) == [ROWS[row] for row in rows]


@pytest.mark.parametrize(
    "rows", [[[5], [6], [7]], [[5], [], [6, 7]], [[], [5, 6], [7]]], ids=str
)
def test_take_handles_as_many_tokens_as_rows(
    rows: list[list[int]],
):
    for order in ([2, 0], [1, 2], [2, 1, 0], [0]):
        taken = column(rows).take(np.array(order, np.int64))
        assert as_lists(taken) == [rows[row] for row in order]


@pytest.mark.parametrize(
    ("max_len", "cut"), [(1, 2), (2, 2), (3, 1), (4, 0), (5, 0)], ids=str
)
def test_truncate_shortens_long_rows_and_counts_them(max_len: int, cut: int):
    truncated, count = column(ROWS).truncate(max_len)
    assert as_lists(truncated) == [row[:max_len] for row in ROWS]
    assert count == cut


@pytest.mark.parametrize("rows", [ROWS, [], [[]]], ids=str)
def test_from_rows_converts_lists(rows: list[list[int]]):
    assert as_lists(RaggedColumn.from_rows(rows)) == rows


def test_concatenate_keeps_the_order_of_rows():
    parts = [column(ROWS), column([]), column([[9], []])]
    assert as_lists(RaggedColumn.concatenate(parts)) == [*ROWS, [9], []]


def test_concatenating_no_columns_returns_no_rows():
    assert as_lists(RaggedColumn.concatenate([])) == []


@pytest.mark.parametrize("block_rows", [1, 2, 100])
def test_first_tokens_of_rows(block_rows: int):
    firsts = first_tokens(column(ROWS), block_rows=block_rows)
    assert as_lists(firsts) == [[1], [], [4], [5], [0]]


@pytest.mark.parametrize("counts", [[2, 0, 3], [0, 0, 0], [1, 1, 1], [0, 4, 0]])
def test_values_are_repeated_as_by_numpy(counts: list[int]):
    values = np.array([7, -3, 5])

    result = repeated(values, np.array(counts))

    assert result.tolist() == np.repeat(values, counts).tolist()


def test_nothing_is_repeated():
    empty = np.zeros(0, np.int64)

    assert repeated(empty, empty).tolist() == []
