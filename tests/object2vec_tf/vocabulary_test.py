"""Tests of python -m object2vec_tf.vocabulary; expected values are plain Python's."""

import collections
import json
import random
import subprocess
import sys

import numpy as np
import pytest

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.text.conversion import decode, encode
from object2vec_tf.text.shuffling import shuffle_lines
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer
from object2vec_tf.text.vocabulary_builder import build_vocabulary

WHITESPACE = Tokenization("whitespace")
LETTERS = ["a", "b", "cc", "é", "日本", "🎉", "d.", '"', "\\"]


@pytest.fixture
def corpus(tmp_path):
    """A file of 600 lines, and its words: texts in in0, texts or lists in in1."""
    generator = random.Random(3)
    words, lines = [], []
    for number in range(600):
        sides = []
        for _ in range(2):
            weights = range(len(LETTERS), 0, -1)
            chosen = generator.choices(LETTERS, weights, k=number % 8)
            chosen = [w + str(generator.randrange(40)) for w in chosen] + chosen
            words += chosen
            sides.append(chosen)
        in1 = sides[1] if number % 2 else "  ".join(sides[1])
        row = {"in0": " ".join(sides[0]), "in1": in1, "label": number % 3}
        lines.append(json.dumps(row, ensure_ascii=bool(number % 5)))
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n\n".join(lines), encoding="utf-8")
    return path, words


def by_count(words):
    counts = collections.Counter(words)
    return sorted(counts, key=lambda word: (-counts[word], word)), counts


@pytest.mark.parametrize("options", [{}, {"max_counters": 50}])
def test_words_are_sorted_by_count_in_memory_and_on_disk(corpus, tmp_path, options):
    path, words = corpus
    ordered, counts = by_count(words)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def build(**settings):
        fields = ["in0", "in1"]
        return build_vocabulary(
            path, fields, WHITESPACE, scratch=scratch, **options, **settings
        )

    complete = build()
    assert complete.words == ordered
    assert (complete.tokens, complete.distinct) == (len(words), len(ordered))
    assert complete.covered == len(words)
    limited = build(max_size=30, reserved=["[UNK]", "cc"])
    others = [word for word in ordered if word != "cc"]
    assert limited.words == ["[UNK]", "cc", *others[:28]]
    assert limited.covered == sum(counts[word] for word in limited.words)
    frequent = build(min_count=9)
    assert frequent.words == [word for word in ordered if counts[word] >= 9]
    assert not list(scratch.iterdir())


def test_an_item_of_a_list_is_one_normalized_token(tmp_path):
    path = tmp_path / "tags.jsonl"
    path.write_text('{"in0": ["Red Wine", "", "x\\ty"]}\n{"in0": "red wine"}\n')
    tokenization = Tokenization("whitespace", lowercase=True)
    vocabulary = build_vocabulary(path, ["in0"], tokenization)
    assert vocabulary.words == ["red", "red wine", "wine", "x y"]


def test_wordpieces_compose_the_words_they_are_learned_from(tmp_path):
    words = ["walk", "walks", "walked", "talk", "talks", "talked"] * 30
    path = tmp_path / "words.jsonl"
    path.write_text("".join(json.dumps({"in0": word}) + "\n" for word in words))
    vocabulary = build_vocabulary(
        path, ["in0"], Tokenization("wordpiece"), max_size=25, reserved=["[UNK]"]
    )
    assert vocabulary.words[0] == "[UNK]"
    assert len(vocabulary.words) <= 25
    ids = {word: i for i, word in enumerate(vocabulary.words)}
    tokenizer = Tokenizer(Tokenization("wordpiece"), json.dumps(ids).encode())
    found, unknown = tokenizer.of_texts(np.array(words, object))
    assert not unknown.numpy().any()
    for word, pieces in zip(words, found.to_list(), strict=True):
        parts = [vocabulary.words[piece].removeprefix("##") for piece in pieces]
        assert "".join(parts) == word


def test_encoded_lines_keep_other_fields_and_decode_to_the_words(corpus, tmp_path):
    path, _ = corpus
    words = build_vocabulary(path, ["in0", "in1"], WHITESPACE, max_size=60).words
    ids = {word: i for i, word in enumerate([*words, "[UNK]"])}
    tokenizer = Tokenizer(WHITESPACE, json.dumps(ids).encode())
    encoded, decoded = tmp_path / "ids.jsonl", tmp_path / "words.jsonl"
    lines, unknown = encode(path, encoded, {"in0": tokenizer, "in1": tokenizer})
    texts = [json.loads(line) for line in path.read_text().splitlines() if line]
    sides = [
        [row[s].split() if isinstance(row[s], str) else row[s] for s in ("in0", "in1")]
        for row in texts
    ]
    flat = [word for row in sides for side in row for word in side]
    assert (lines, unknown) == (600, sum(word not in ids for word in flat))
    assert [json.loads(line) for line in encoded.read_text().splitlines()] == [
        {
            "in0": [ids.get(word, 60) for word in in0],
            "in1": [ids.get(word, 60) for word in in1],
            "label": row["label"],
        }
        for (in0, in1), row in zip(sides, texts, strict=True)
    ]
    assert decode(encoded, decoded, {"in0": ids}) == 600
    for line, (in0, _) in zip(decoded.read_text().splitlines(), sides, strict=True):
        known = [word if word in ids else "[UNK]" for word in in0]
        assert json.loads(line)["in0"] == known


@pytest.mark.parametrize("options", [{}, {"part_bytes": 400}])
def test_shuffling_keeps_all_lines_and_its_order_depends_on_the_seed(
    corpus, tmp_path, options
):
    path, _ = corpus
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


def line_of(field):
    return json.dumps({"in0": "a", "in1": [1]} | field) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (line_of({}) + "\nx\n", ":3: expected a JSON object, got x: "),
        (line_of({}) + "[1]\n", ":2: expected a JSON object, got [1]: "),
        (
            "\n" + line_of({"in0": 3}),
            ":2: in0: expected a string or a list of strings, got 3",
        ),
        (
            line_of({}) * 2 + line_of({"in0": ["a", 1]}),
            ':3: in0: expected a string or a list of strings, got ["a",1]. ',
        ),
        (
            line_of({}) + '{"in1": [1]}\n',
            ":2: in0: expected a string or a list of strings, got no s",
        ),
        (line_of({}) + '{"in0": "\xff"}\n', ":2: expected a JSON object, got "),
    ],
)
def test_an_invalid_line_is_rejected_and_nothing_is_written(tmp_path, text, message):
    path, out = tmp_path / "in.jsonl", tmp_path / "out"
    path.write_bytes(text.encode("latin-1"))
    tokenizer = Tokenizer(WHITESPACE, b"a")
    for run in (
        lambda: build_vocabulary(path, ["in0"], WHITESPACE),
        lambda: encode(path, out, {"in0": tokenizer}),
    ):
        with pytest.raises(DataError) as error:
            run()
        assert f"in.jsonl{message}" in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0, 7], "in0[1]: expected a token id of the vocabulary, got 7. Give the v"),
        ([True], "in0[0]: expected a token id of the vocabulary, got true"),
        ("a", 'in0: expected a list of token ids, got "a". '),
    ],
)
def test_invalid_ids_are_rejected(tmp_path, ids, message):
    path = tmp_path / "ids.jsonl"
    path.write_text(line_of({"in0": []}) + line_of({"in0": ids}))
    with pytest.raises(DataError) as error:
        decode(path, tmp_path / "out", {"in0": {"a": 0}})
    assert f"ids.jsonl:2: {message}" in str(error.value)


def test_input_without_tokens_or_lines_is_rejected(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"in0": ""}\n')
    with pytest.raises(DataError, match="in0: expected at least one token"):
        build_vocabulary(path, ["in0"], WHITESPACE)
    with pytest.raises(UserError, match="max_size: expected more than the 2 reserved"):
        build_vocabulary(path, ["in0"], WHITESPACE, max_size=2, reserved=["a", "b"])
    path.write_text("\n")
    with pytest.raises(DataError, match="input: expected at least one line"):
        shuffle_lines(path, tmp_path / "out")


def run(*arguments):
    line = [sys.executable, "-m", "object2vec_tf.vocabulary", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_the_command_from_text_to_ids(corpus, tmp_path):
    path, words = corpus
    vocabulary, out = tmp_path / "vocab.json", tmp_path / "ids.jsonl"
    done = run("build", f"--input={path}", f"--output={vocabulary}", "--max_size=20")
    assert (done.returncode, done.stderr) == (0, "")
    ordered, _ = by_count(words)
    ids = {word: i for i, word in enumerate(["[UNK]", *ordered[:19]])}
    assert json.loads(vocabulary.read_text()) == ids
    assert f"({len(words):,} tokens, {len(ordered):,} different ones)" in done.stdout
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
    assert "expected build or encode or decode or shuffle, got count" in done.stderr
