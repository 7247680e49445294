import os

import pytest

from object2vec_tf.bulk.output_writers import JsonLines, Parquet
from object2vec_tf.bulk.shards import find_shards
from object2vec_tf.errors import UserError


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.jsonl.gz", "in/a.jsonl", "in/deep/a.jsonl", "in/c.parquet"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("in", ["a.jsonl", "b.jsonl.gz", "c.parquet", "deep/a.jsonl"]),
        ("in/*.jsonl*", ["a.jsonl", "b.jsonl.gz"]),
        ("in/**/*.jsonl", ["a.jsonl", "deep/a.jsonl"]),
        ("i*/deep/a.jsonl", ["in/deep/a.jsonl"]),
        ("in/c.parquet, in/a.jsonl", ["c.parquet", "a.jsonl"]),
        ("in/deep,in/b.jsonl.gz,in/deep/*", ["a.jsonl", "b.jsonl.gz"]),
    ],
)
def test_shards_keep_their_places(files, source, names):
    shards = find_shards(source, files / "out", None)
    told = [shard.out.relative_to(files / "out").as_posix() for shard in shards]
    suffixes = [".out.parquet" if n.endswith("parquet") else ".out" for n in names]
    assert told == [n + suffix for n, suffix in zip(names, suffixes, strict=True)]


def test_formats(files):
    kinds = [s.answer_file for s in find_shards("in/a.jsonl,in/c.parquet", files, None)]
    assert kinds == [JsonLines, Parquet]
    (shard,) = find_shards("in/a.jsonl", files, "parquet")
    assert (shard.out.name, shard.answer_file) == ("a.jsonl.out.parquet", Parquet)


def test_two_shards_of_one_name_are_told(files):
    with pytest.raises(UserError, match=r"a.jsonl and in.a.jsonl: both would become"):
        find_shards("in/a.jsonl,in/deep/a.jsonl", files / "out", None)


def test_answers_inside_the_input_are_told(files):
    with pytest.raises(UserError, match=r"out: lies in the input in, and would be"):
        find_shards("in", files / "in/out", None)


def test_nothing_there_is_told(files):
    with pytest.raises(UserError, match=r"input: in/x\*: no file matches"):
        find_shards("in/x*", files / "out", None)


def test_done_is_what_is_not_older(files):
    (shard,) = find_shards("in/a.jsonl", files, None)
    assert not shard.is_done
    shard.out.touch()
    os.utime(shard.path, (100, 100))
    os.utime(shard.out, (100, 100))
    assert shard.is_done
    os.utime(shard.out, (99, 99))
    assert not shard.is_done
