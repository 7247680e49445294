"""Tests of python -m object2vec_tf.vocabulary; expected values are plain Python's."""

import json
import subprocess

import pytest

from tests.command_server import python_m


def run(*arguments):
    line = [*python_m("object2vec_tf.vocabulary"), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_the_command_from_text_to_ids(corpus, tmp_path):
    path, words = corpus.path, corpus.words
    vocabulary, out = tmp_path / "vocab.json", tmp_path / "ids.jsonl"
    done = run("build", f"--input={path}", f"--output={vocabulary}", "--max_size=20")
    assert (done.returncode, done.stderr) == (0, "")
    ordered = corpus.words_by_count
    ids = {word: i for i, word in enumerate(["[UNK]", *ordered[:19]])}
    assert json.loads(vocabulary.read_text()) == ids
    assert f"({len(words):,} tokens, {len(ordered):,} distinct)" in done.stdout
    done = run(
        "encode",
        f"--input={path}",
        f"--output={out}",
        "--enc0_tokenizer=whitespace",
        f"--enc0_vocab_file={vocabulary}",
    )
    assert (done.returncode, done.stderr) == (0, "")
    unknown = sum(word not in ids for word in words)
    assert done.stdout == f"{out}: 600 lines, {unknown:,} unknown tokens\n"
    assert len(out.read_text().splitlines()) == 600
    done = run("encode", f"--input={path}", f"--output={out}")
    assert done.returncode == 2
    assert "--enc0_tokenizer or --enc1_tokenizer is required" in done.stderr
    done = run("count", f"--input={path}")
    assert done.returncode == 2
    assert "expected one of build, encode, decode, shuffle, got count" in done.stderr


def test_ids_are_not_normalized(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"in0": "A b", "in1": "A b"}\n')
    (tmp_path / "vocab.json").write_text('{"[UNK]": 0, "a": 1, "A b": 2}')
    arguments = [
        f"--input={tmp_path / 'in.jsonl'}",
        f"--output={tmp_path / 'out.jsonl'}",
        f"--enc0_vocab_file={tmp_path / 'vocab.json'}",
        "--enc0_lowercase",
        "--enc1_tokenizer=id",
    ]
    done = run("encode", *arguments, "--enc0_tokenizer=id")
    assert done.returncode == 2
    assert "--enc0_lowercase: only applies to text, but the tokenizer is" in done.stderr
    # Lowercasing in0 does not concern the ids in in1.
    done = run("encode", *arguments, "--enc0_tokenizer=whitespace")
    assert (done.returncode, done.stderr) == (0, "")
    line = json.loads((tmp_path / "out.jsonl").read_text())
    assert line == {"in0": [1, 0], "in1": [2]}
