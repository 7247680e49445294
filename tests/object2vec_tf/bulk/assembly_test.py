"""Tests of object2vec_tf/bulk/assembly.py with splits of two lines each."""

import itertools

import pytest

from object2vec_tf.bulk.assembly import Assembly
from object2vec_tf.bulk.file_jobs import FileJob
from object2vec_tf.bulk.output_writers import JsonLinesWriter
from object2vec_tf.bulk.row_counts import RowCounts
from object2vec_tf.errors import DataError

LINES = "".join(f"{i:07}\n" for i in range(6))


def make_assembly(directory, size=16):
    path = directory / "a"
    path.write_text(LINES)
    return Assembly(FileJob(path, directory / "out/a.out", JsonLinesWriter), size)


def finish(assembly, number):
    """Finishes a split as a worker does: its output is a copy of the split."""
    split = assembly.splits[number]
    assembly.split_output(number).write_text(LINES[split.start : split.stop])
    return assembly.add(number, RowCounts(rows=2))


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_splits_may_finish_in_any_order(order, tmp_path):
    assembly = make_assembly(tmp_path)
    assert len(assembly.splits) == 3
    assert [finish(assembly, number) for number in order] == [False, False, True]
    assert (tmp_path / "out/a.out").read_text() == LINES
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.out"]
    assert assembly.counts == RowCounts(rows=6)


def test_the_output_of_a_single_split_is_moved(tmp_path):
    assembly = make_assembly(tmp_path, 1024)
    assert finish(assembly, 0)
    assert (tmp_path / "out/a.out").read_text() == LINES
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.out"]


@pytest.mark.parametrize("finished", [[], [1], [0, 1]])
def test_abort_removes_all_files(finished, tmp_path):
    assembly = make_assembly(tmp_path)
    for number in finished:
        finish(assembly, number)
    assembly.abort(KeyboardInterrupt())
    assert not list((tmp_path / "out").iterdir())


def test_files_of_a_killed_run_are_not_used(tmp_path):
    killed = make_assembly(tmp_path)
    killed.split_output(2).write_text("output of other splits\n")
    assembly = make_assembly(tmp_path)
    for number in range(3):
        finish(assembly, number)
    assert (tmp_path / "out/a.out").read_text() == LINES


def test_a_changed_input_file_is_an_error(tmp_path):
    assembly = make_assembly(tmp_path)
    (tmp_path / "a").write_text(LINES + "more\n")
    finish(assembly, 0)
    finish(assembly, 1)
    with pytest.raises(DataError, match=r"a: changed while it was read"):
        finish(assembly, 2)
    assert not list((tmp_path / "out").glob("a*"))
