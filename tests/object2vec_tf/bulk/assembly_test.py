import itertools

import pytest

from object2vec_tf.bulk.assembly import Assembly
from object2vec_tf.bulk.output_writers import JsonLines
from object2vec_tf.bulk.shards import Shard
from object2vec_tf.errors import DataError

LINES = "".join(f"{i:07}\n" for i in range(6))


def assembly_of(directory, size=16):
    path = directory / "a"
    path.write_text(LINES)
    return Assembly(Shard(path, directory / "out/a.out", JsonLines), size)


def answer(assembly, number):
    """Does what a worker does: copies the piece."""
    piece = assembly.pieces[number]
    assembly.part(number).write_text(LINES[piece.start : piece.stop])
    return assembly.add(number, 2)


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_pieces_come_in_any_order(order, tmp_path):
    assembly = assembly_of(tmp_path)
    assert len(assembly.pieces) == 3
    assert [answer(assembly, number) for number in order] == [False, False, True]
    assert (tmp_path / "out/a.out").read_text() == LINES
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.out"]
    assert assembly.rows == 6


def test_one_piece_is_moved(tmp_path):
    assembly = assembly_of(tmp_path, 1024)
    assert answer(assembly, 0)
    assert (tmp_path / "out/a.out").read_text() == LINES
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.out"]


@pytest.mark.parametrize("come", [[], [1], [0, 1]])
def test_nothing_is_left_of_what_is_given_up(come, tmp_path):
    assembly = assembly_of(tmp_path)
    for number in come:
        answer(assembly, number)
    assembly.give_up(KeyboardInterrupt())
    assert not list((tmp_path / "out").iterdir())


def test_what_a_killed_job_left_is_not_used(tmp_path):
    killed = assembly_of(tmp_path)
    killed.part(2).write_text("answers to other pieces\n")
    assembly = assembly_of(tmp_path)
    for number in range(3):
        answer(assembly, number)
    assert (tmp_path / "out/a.out").read_text() == LINES


def test_a_shard_that_changed_is_told(tmp_path):
    assembly = assembly_of(tmp_path)
    (tmp_path / "a").write_text(LINES + "more\n")
    answer(assembly, 0)
    answer(assembly, 1)
    with pytest.raises(DataError, match=r"a: changed while it was read"):
        answer(assembly, 2)
    assert not list((tmp_path / "out").glob("a*"))
