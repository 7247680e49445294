"""Tests of object2vec_tf/text/shuffling.py."""

import collections

import pytest

from object2vec_tf.errors import DataError
from object2vec_tf.text.shuffling import shuffle_lines


@pytest.mark.parametrize("options", [{}, {"part_bytes": 400}])
def test_shuffling_keeps_all_lines_and_its_order_depends_on_the_seed(
    corpus, tmp_path, options
):
    path = corpus.path
    given = [line for line in path.read_bytes().split(b"\n") if line]
    orders = []
    for seed in (1, 2, 1):
        out = tmp_path / f"out{len(orders)}"
        assert shuffle_lines(path, out, seed, **options) == 600
        lines = out.read_bytes()
        assert lines.endswith(b"\n")
        orders.append(lines.split(b"\n")[:-1])
        assert sorted(orders[-1]) == sorted(given)
    assert orders[0] == orders[2]
    assert orders[0] != orders[1]
    assert orders[0] != given
    assert {p.name for p in tmp_path.iterdir()} == {
        "corpus.jsonl", "out0", "out1", "out2",
    }  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"part_bytes": 2}])
@pytest.mark.long
def test_all_orders_of_three_lines_are_equally_frequent(tmp_path, options):
    path, out = tmp_path / "in", tmp_path / "out"
    path.write_text("a\nb\nc")
    seen = collections.Counter()
    for seed in range(600):
        shuffle_lines(path, out, seed, **options)
        seen[out.read_text()] += 1
    # 100 of each are expected, with a standard deviation of 9.
    assert len(seen) == 6
    assert all(60 < count < 140 for count in seen.values())


def test_input_without_lines_is_rejected(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("\n")
    with pytest.raises(DataError, match="input: expected at least one line"):
        shuffle_lines(path, tmp_path / "out")
