import shutil

import pytest

from object2vec_tf.bulk.job import (
    answer_shard,
    record_model,
    split_done,
    whole_answers,
)
from object2vec_tf.bulk.output_writers import JsonLines
from object2vec_tf.bulk.shards import Shard
from object2vec_tf.errors import DataError, UserError


def shard_of(path, text='{"in0": [1]}\n'):
    path.write_text(text)
    return Shard(path, path.with_name(path.name + ".out"), JsonLines)


def test_a_directory_belongs_to_one_model(exported, tmp_path):
    out, other = tmp_path / "deep/out", tmp_path / "other"
    record_model(out, exported / "1")
    shutil.copytree(exported / "1", other)
    record_model(out, other)  # the same bytes
    (weights,) = other.glob("variables/*.data*")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"out: holds answers of another model, .*/1;"):
        record_model(out, other)
    for damaged in ("", "[]", '{"digest": 3}'):
        (out / ".transform.json").write_text(damaged)
        with pytest.raises(UserError, match=r"json: does not tell which model has"):
            record_model(out, other)


def test_done_shards_are_told_from_others(loaded, tmp_path):
    shards = [shard_of(tmp_path / name) for name in ("a", "b")]
    assert answer_shard(loaded, shards[0]) == 1
    assert split_done(shards) == ([shards[1]], [shards[0]])


def test_a_shard_that_changes_meanwhile_is_told(tmp_path):
    shard = shard_of(tmp_path / "a")

    def answer():
        with whole_answers(shard) as temporary:
            temporary.write_text("answers")
            shard.path.write_text("longer than before")

    with pytest.raises(DataError, match=r"a: changed while it was read"):
        answer()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_input_is_not_written_over(tmp_path):
    path = shard_of(tmp_path / "a").path
    with (
        pytest.raises(UserError, match="is the input too"),
        whole_answers(Shard(path, path, JsonLines)),
    ):
        pass
