"""Tests of text in a channel, from file to columns, against str.split."""

import json
import random

import numpy as np
import pytest

import object2vec_tf as o2v

WORDS = ["[UNK]", "a", "b", "c", "red wine", "é"]
IDS = {word: i for i, word in enumerate(WORDS)}
SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc1_network": "pooled_embedding",
    "enc0_max_seq_len": 4,
    "enc1_max_seq_len": 3,
    "enc0_vocab_size": 6,
    "enc1_vocab_size": 9,
    "enc0_tokenizer": "whitespace",
    "enc0_vocab_file": "v.json",
    "num_classes": 3,
}


@pytest.fixture
def read(tmp_path):
    """Returns a function that reads lines of text, in memory or through the cache."""
    (tmp_path / "v.json").write_text(json.dumps(IDS))

    def get(lines, cache=None, bad=0, **settings):
        hyperparameters = o2v.Hyperparameters(**SETTINGS | settings)
        tokenizers = o2v.read_tokenizers(hyperparameters, tmp_path)
        path = tmp_path / "train.jsonl"
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return o2v.read_pairs(
            path,
            hyperparameters,
            tokenizers=tokenizers,
            cache_dir=cache,
            max_bad_lines=bad,
        )

    return get


def line(in0, in1=(1, 2), label=1, **more):
    return json.dumps({"in0": in0, "in1": in1, "label": label, **more})


def rows(pairs, side):
    column = pairs.columns[side].take(np.arange(len(pairs)))
    return [
        column.values[a:b].tolist()
        for a, b in zip(column.row_splits, column.row_splits[1:], strict=False)
    ]


def expected(value):
    words = value.split() if isinstance(value, str) else [w for w in value if w]
    return [IDS.get(word, 0) for word in words][:4]


@pytest.mark.parametrize("cached", [False, True])
def test_texts_and_lists_of_strings_become_ids(read, tmp_path, cached):
    generator = random.Random(0)
    letters = [*WORDS, "zzz", ""]
    values = [
        words if generator.random() < 0.4 else " ".join(words)
        for words in (generator.choices(letters, k=n % 7) for n in range(500))
    ]
    for _ in range(2):  # the second time it is from the cache
        pairs = read(
            [line(value, extra="x") for value in values],
            cache=tmp_path / "cache" if cached else None,
        )
        assert rows(pairs, "in0") == [expected(value) for value in values]
        assert rows(pairs, "in1") == [[1, 2]] * 500
        whole = [v.split() if isinstance(v, str) else v for v in values]
        unknown = sum(w not in IDS for words in whole for w in words if w)
        assert pairs.report.unknown == {"in0": unknown}
        cut = [words for words in whole if len([w for w in words if w]) > 4]
        assert pairs.report.truncated == {"in0": len(cut), "in1": 0}
    assert pairs.report.cached is cached


def test_another_vocabulary_or_tokenization_has_its_own_cache_entry(read, tmp_path):
    lines = [line("A b")]
    read(lines, cache=tmp_path / "cache")
    assert not read(lines, tmp_path / "cache", enc0_lowercase=True).report.cached
    assert read(lines, tmp_path / "cache").report.cached
    other = {word: (i + 1) % 6 for word, i in IDS.items()}
    (tmp_path / "v.json").write_text(json.dumps(other))
    assert not read(lines, tmp_path / "cache").report.cached


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (line([1, 2]), "in0[0]: expected a string, got 1. Leave enc0_tokenizer out if"),
        (line(["a", None]), "in0[1]: expected a string, got null."),
        (line(3), "in0: expected text: a string, or a list of strings, got 3. Le"),
        (line(None), "in0: expected text: a string, or a list of strings, got null"),
        ('{"in1": [1], "label": 1}', "in0 is missing. Give text: a string, or"),
        (
            line("a", in1="b"),
            'in1: expected a list of integer token ids, got "b". Set enc1_tokenizer',
        ),
        (
            line("a", in1=["b"]),
            'in1[0]: expected an integer token id, got "b". Set enc1',
        ),
        (line("a", in1=[9]), "in1[0]: expected an id below 9, got 9. Fix"),
        (
            line("a", label=3),
            "label: expected an integer class in [0, num_classes=3), got 3.",
        ),
        (
            line("a", label=1.5),
            "label: expected an integer class in [0, num_classes=3), got 1.5",
        ),
        ('{"in0": "\\ud800", "in1": [], "label": 1}', "contains \\ud800 alone"),
        ('{"in0": "a', "ends in the middle of an object"),
    ],
)
def test_invalid_lines_are_explained_and_skipped_within_the_budget(read, bad, message):
    lines = [line("a b"), bad, line(["red wine"])]
    with pytest.raises(o2v.DataError) as raised:
        read(lines)
    assert f"train.jsonl:2: {message}" in str(raised.value)
    pairs = read(lines, bad=1)
    assert rows(pairs, "in0") == [[1, 2], [4]]
    assert len(pairs.report.bad_lines) == 1
    pairs = read([line("zzz a"), bad, line(["red wine"])], bad=1)
    assert pairs.report.unknown == {"in0": 1}  # not counted again


def test_real_labels_of_text(read):
    settings = {"output_layer": "mean_squared_error"}
    pairs = read([line("a", label=2), line("b", label=-0.5)], **settings)
    assert pairs.labels.tolist() == [2, -0.5]


def test_text_without_tokenizers_is_an_error(tmp_path):
    hyperparameters = o2v.Hyperparameters(**SETTINGS)
    path = tmp_path / "train.jsonl"
    path.write_text(line("a"))
    with pytest.raises(o2v.UserError, match="Pass tokenizers=read_tokenizers"):
        o2v.read_pairs(path, hyperparameters)


def test_lines_of_text_may_have_weights(read):
    assert read([line("a"), line("b")]).weights is None
    weighted = read([line("a"), line("b", weight=0), line("c", weight=1.5)])
    assert weighted.weights.tolist() == [1, 0, 1.5]
    with pytest.raises(
        o2v.DataError, match=r"train\.jsonl:1: weight: expected .*, got -1\."
    ):
        read([line("a", weight=-1)])


ID_SETTINGS = {
    "enc0_tokenizer": "id",
    "enc1_tokenizer": "id",
    "enc1_vocab_file": "v.json",
}


def test_ids_of_any_kind_are_looked_up_by_their_text(read):
    values = ["a", ["b", "red wine", 7, "é"], [], 5, [2**70, "a", ""], "red wine"]
    pairs = read(
        [line(in0, in1=["c", in0] if isinstance(in0, str) else in0) for in0 in values],
        **ID_SETTINGS,
    )
    assert rows(pairs, "in0") == [[1], [2, 4, 0, 5], [], [0], [0, 1], [4]]
    assert rows(pairs, "in1") == [[3, 1], [2, 4, 0], [], [0], [0, 1], [3, 4]]
    assert pairs.report.unknown == {"in0": 3, "in1": 3}


@pytest.fixture
def no_slow_lines(monkeypatch):
    """Lets a test fail if lines are read one by one."""

    def checked_pair(line, schema):
        raise AssertionError(f"read alone: {line!r}")

    monkeypatch.setattr("object2vec_tf.data.json_lines.checked_pair", checked_pair)


@pytest.mark.usefixtures("no_slow_lines")
def test_whole_floats_and_single_ids_beside_text(read):
    values = [([1.0, 2], 1.0), (8.0, 0), (3, 2), ([], 1)]
    pairs = read([line("a x", in1=in1, label=label) for in1, label in values])
    assert rows(pairs, "in0") == [[1, 0]] * 4
    assert rows(pairs, "in1") == [[1, 2], [8], [3], []]
    assert pairs.labels.tolist() == [1, 0, 2, 1]
    assert pairs.report.unknown == {"in0": 4}


@pytest.mark.usefixtures("no_slow_lines")
def test_whole_floats_are_the_same_ids_as_integers(read, tmp_path):
    words = {"[UNK]": 0, "7": 1, "12345678901": 2, "sku": 3}
    (tmp_path / "n.json").write_text(json.dumps(words))
    settings = ID_SETTINGS | {"enc0_vocab_file": "n.json"}
    # Lists in all lines, single ids in all lines, and strings among them.
    for values, expected in (
        ([[7.0, 12345678901.0], [8.0]], [[1, 2], [0]]),
        ([7.0, 12345678901], [[1], [2]]),
        (["sku", [7.0, "sku"], 12345678901.0], [[3], [1, 3], [2]]),
    ):
        pairs = read([line(value, in1="a") for value in values], **settings)
        assert rows(pairs, "in0") == expected


@pytest.mark.parametrize("value", [2.5, [7.5], 1e300, float(2**54), float(2**53)])
def test_floats_that_are_no_exact_ids(read, value):
    with pytest.raises(o2v.DataError, match=r"train\.jsonl:2: in0.* got [0-9.e+]+\."):
        read([line("a"), line(value)], **ID_SETTINGS)


def test_floats_that_are_exact_ids_are_not_rounded(read, tmp_path):
    """A float parser may read 9007199254740991.0 as 9007199254740990."""
    (tmp_path / "n.json").write_text(json.dumps({"[UNK]": 0, str(2**53 - 1): 1}))
    settings = ID_SETTINGS | {"enc0_vocab_file": "n.json"}
    pairs = read([line([2.0**53 - 1], in1=1)] * 2, **settings)
    assert rows(pairs, "in0") == [[1], [1]]
    # 2**53 + 1 becomes 2**53.
    text = line([1]).replace("[1]", "[9007199254740993.0]")
    with pytest.raises(o2v.DataError, match=r"in0\[0\]: expected an integer or a str"):
        read([text], **settings)


def test_several_texts_in_a_line_are_an_error(read):
    with pytest.raises(o2v.DataError, match=r"train\.jsonl:2: is not JSON"):
        read(["", line("a") + line("b")])


def test_integers_are_the_same_ids_as_their_decimal_text(read, tmp_path):
    (tmp_path / "n.json").write_text(
        json.dumps({"[UNK]": 0, "12": 1, "-3": 2, str(2**63): 3, "007": 4})
    )
    settings = ID_SETTINGS | {"enc0_vocab_file": "n.json"}
    values = [[12, "12"], [-3, "-3"], [2**63, str(2**63)], [7, "007"], [-0, 2**64]]
    integers = [line(value, in1=12) for value in values]
    pairs = read(integers, **settings)
    assert rows(pairs, "in0") == [[1, 1], [2, 2], [3, 3], [0, 4], [0, 0]]
    # Without strings in the block.
    pairs = read([line([12, -3, 2**63, 7], in1=[2**62])] * 3, **settings)
    assert rows(pairs, "in0") == [[1, 2, 3, 0]] * 3
    pairs = read(
        [line([12, 8, 12, 9], in1=[5])] * 3,
        **settings,
        enc0_num_oov_buckets=1,
        enc0_vocab_size=6,
    )
    assert rows(pairs, "in0") == [[1, 5, 1, 5]] * 3
    assert pairs.report.unknown == {"in0": 6, "in1": 3}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([1, "a", 1.5], "in0[2]: expected an integer or a string as an id, got 1.5. "),
        ([1, None], "in0[1]: expected an integer or a string as an id, got null. "),
        ([True], "in0[0]: expected an integer or a string as an id, got true. "),
        ([[1]], "in0[0]: expected an integer or a string as an id, got [1]. "),
        (1.5, "in0: expected a list of ids, integers or strings, or a single id, got "),
        (None, "in0: expected a list of ids, "),
        ({}, "in0: expected a list of ids, "),
    ],
)
def test_what_is_not_an_id_is_an_error_with_its_place(read, value, problem):
    with pytest.raises(o2v.DataError) as raised:
        read([line("a", ["b"]), line(value, ["b"])], **ID_SETTINGS)
    assert f"train.jsonl:2: {problem}" in str(raised.value)
