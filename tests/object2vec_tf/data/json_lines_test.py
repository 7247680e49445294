"""Tests of object2vec_tf/data/json_lines.py: files of lines, good and bad.

Expected rows come from json.loads; expected messages are written out.
"""

import gzip
import hashlib
import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from object2vec_tf.data.blocks import BadLines
from object2vec_tf.data.json_lines import line_reader, read_file
from object2vec_tf.data.pair_schema import PairSchema
from object2vec_tf.errors import DataError
from object2vec_tf.files.line_blocks import BLOCK_BYTES
from object2vec_tf.files.line_limit import VARIABLE

SOFTMAX = PairSchema(
    vocab_sizes=(100, 100), max_lengths=(3, 3), output_layer="softmax", num_classes=3
)
REGRESSION = PairSchema(
    vocab_sizes=(100, 100), max_lengths=(3, 3), output_layer="mean_squared_error"
)

GOOD = b'{"label": 1, "in0": [1, 2], "in1": [3]}'
GOOD_ROW = (1, [1, 2], [3])

# The starts of messages, up to the value.
CLASS = "label: expected an integer class in [0, num_classes=3), got "
LIST = "in1: expected a list of integer token ids, got "
ID = "in0[0]: expected an integer token id, got "
OBJECT = (
    'expected one object per line such as {"in0": [1], "in1": [2], "label": 1}, got '
)

Row = tuple[float, list[int], list[int]]


def read(
    path: Path,
    schema: PairSchema = SOFTMAX,
    bad_lines: BadLines | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> list[Row]:
    rows: list[Row] = []
    digest = hashlib.blake2b()
    for block in read_file(
        path,
        schema,
        bad_lines or BadLines(0),
        digest,
        line_reader(schema),
        block_bytes,
    ):
        sides = []
        for column in (block.in0, block.in1):
            assert column.values.dtype == np.int32
            ends, values = column.row_splits.tolist(), column.values.tolist()
            sides.append(
                [values[a:b] for a, b in itertools.pairwise(ends)],
            )
        assert ends[0] == 0
        rows += zip(block.labels.tolist(), *sides, strict=True)
    return rows


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (GOOD + b"\n", [GOOD_ROW]),
        (GOOD, [GOOD_ROW]),
        (b"\xef\xbb\xbf" + GOOD + b"\n" + GOOD + b"\n", [GOOD_ROW] * 2),
        (GOOD + b"\r\n" + GOOD + b"\r\n", [GOOD_ROW] * 2),
        (b"\n\n" + GOOD + b"\n \t\r\n" + GOOD + b"\n\n", [GOOD_ROW] * 2),
        (b'{"in0":[],"in1":[],"label":0}', [(0, [], [])]),
        (b'{"in0":[0,99],"in1":[0],"label":2}', [(2, [0, 99], [0])]),
        (b'  {"in1":[5],"label":1,"in0":[4]}  ', [(1, [4], [5])]),
        (
            b'{"x":{"label":9,"in0":"y"},"in0":[4],"y":[1.5,null,"z"],"in1":[5],'
            b'"z":true,"label":1,"w":{}}',
            [(1, [4], [5])],
        ),
        (rb'{"\u0069n0":[4],"in\u0031":[5],"la\u0062el":1}', [(1, [4], [5])]),
        *(
            (b'{%s,"in0":[4],"in1":[5],"label":1}' % extra, [(1, [4], [5])])
            for extra in (
                b'"labels":2',
                b'"labels":[]',
                b'"label_id":2',
                b'"in0_":[7]',
                b'"in0x":"text"',
                b'"in10":[7]',
                rb'"\u006Cabel\u0073":2',
                rb'"label\u0000":2',
                b'"lab":2,"in":[7],"":3',
                b'"x":"label it"',
            )
        ),
        (
            b'{"labels":0,"in0":[4],"in1":[5],"label":1}\n' + GOOD,
            [(1, [4], [5]), GOOD_ROW],
        ),
        *(
            (GOOD + b"\n" + twice, [GOOD_ROW, (1, [4], [5])])
            for twice in (
                b'{"in0":[9],"in0":[4],"in1":[5],"label":1}',
                rb'{"in0":[9],"\u0069n0":[4],"in1":[5],"label":1}',
                rb'{"\u0069n0":[9],"in0":[4],"in1":[5],"label":1}',
                b'{"label":0,"in0":[4],"in1":[9,9],"label":1,"in1":[5]}',
            )
        ),
        (b'{"in0":[4.0,2],"in1":[5e0],"label":1.0}', [(1, [4, 2], [5])]),
        (b'{"in0":4,"in1":[5],"label":1}', [(1, [4], [5])]),
        (
            b'{"in0":4.0,"in1":[],"label":1}\n{"in0":[4,5],"in1":6,"label":1.0}\n'
            + GOOD,
            [(1, [4], []), (1, [4, 5], [6]), GOOD_ROW],
        ),
        (b"", []),
        (b"\n \n\r\n", []),
    ],
    ids=repr,
)
@pytest.mark.parametrize("block_bytes", [1, 7, 1 << 24])
def test_valid_lines_are_read(
    tmp_path: Path,
    content: bytes,
    rows: list[Row],
    block_bytes: int,
):
    path = write(tmp_path / "x.jsonl", content)
    assert read(path, block_bytes=block_bytes) == rows


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (
            b'{"label":1,"in0":[1,100],"in1":[1]}',
            1,
            "in0[1]: expected an id below 100, got 100.",
        ),
        (
            b'{"label":1,"in0":[1],"in1":[-1]}',
            1,
            "in1[0]: expected a token id of 0 or more, got -1.",
        ),
        (b'{"label":3,"in0":[1],"in1":[1]}', 1, CLASS + "3."),
        (b'{"label":-1,"in0":[1],"in1":[1]}', 1, CLASS + "-1."),
        (b'{"label":1.5,"in0":[1],"in1":[1]}', 1, CLASS + "1.5."),
        (b'{"label":3.0,"in0":[1],"in1":[1]}', 1, CLASS + "3.0."),
        (b'{"label":true,"in0":[1],"in1":[1]}', 1, CLASS + "true."),
        (b'{"in0":[1],"in1":[1]}', 1, "label is missing."),
        (b'{"label":1,"in1":[1]}', 1, "in0 is missing."),
        (b'{"labels":1,"in0":[1],"in1":[1]}', 1, "label is missing."),
        (b'{"label":1,"in01":[1],"in1":[1]}', 1, "in0 is missing."),
        (b'{"label":1,"in0":[1],"in1":null}', 1, LIST + "null."),
        (b'{"label":1,"in0":[1],"in1":3.5}', 1, LIST + "3.5."),
        (b'{"label":1,"in0":[1],"in1":-3}', 1, "in1: expected a token id of 0 or"),
        (b'{"label":1,"in0":100.0,"in1":3}', 1, "in0: expected an id below 100, got "),
        (
            b'{"label":1,"in0":[1,null],"in1":[1]}',
            1,
            "in0[1]: expected an integer token id, got null.",
        ),
        (b'{"label":1,"in0":[1.5],"in1":[1]}', 1, ID + "1.5."),
        (b'{"label":1,"in0":["1"],"in1":[1]}', 1, ID + '"1".'),
        (b'{"label":1,"in0":[true],"in1":[1]}', 1, ID + "true."),
        (b'{"label":1,"in0":[[1]],"in1":[1]}', 1, ID + "[1]."),
        *(
            (
                b'{"label":1,"in0":[%d],"in1":[1]}' % number,
                1,
                f"in0[0]: expected an id below 100, got {number}. Set "
                "enc0_tokenizer=id and enc0_vocab_file to read ids of any size.",
            )
            for number in (2**31, 2**32 + 5, 2**63, 2**64, 2**64 + 5)
        ),
        (b"[" + GOOD + b", " + GOOD + b"]", 1, OBJECT + "a JSON array."),
        (b"[\n" + GOOD + b",\n" + GOOD + b"\n]", 1, "is a JSON array. Write JSON L"),
        (GOOD + b"\n" + GOOD[:20], 2, "ends in the middle of an object"),
        (GOOD + b"\n" + GOOD + GOOD, 2, "is not JSON: "),
        (GOOD + b" " + GOOD + b"\n\n", 1, "is not JSON: "),
        (b"\n" + GOOD + b"\n" + GOOD + GOOD + b"\n", 3, "is not JSON: "),
        (b'{"label":1,\n"in0":[1],"in1":[1]}', 1, "ends in the middle of an object"),
        (
            GOOD + GOOD + b'\n{"label":1,\n"in0":[1],"in1":[1]}\n',
            1,
            "is not JSON: ",
        ),
        (GOOD + b"\n" + GOOD + b"\0\n" + GOOD, 2, "contains a NUL byte"),
        (b"\0" * 100, 1, "contains a NUL byte"),
        (GOOD + b"\nnot json\n", 2, "is not JSON: "),
        (GOOD + b"\nnull\n", 2, OBJECT + "null."),
    ],
    ids=repr,
)
def test_errors_name_file_and_line(
    tmp_path: Path, content: bytes, line: int, problem: str
):
    path = write(tmp_path / "x.jsonl", content)
    with pytest.raises(DataError) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}:{line}: {problem}")
    assert str(raised.value).endswith(" --max_bad_lines=N skips up to N such lines.")


@pytest.mark.parametrize("label", ["NaN", "Infinity", "1e400", "1e39", '"1"', "true"])
def test_a_label_that_is_not_a_finite_number_is_an_error(tmp_path: Path, label: str):
    bad = f'{{"label": {label}, "in0": [1], "in1": [1]}}'.encode()
    path = write(tmp_path / "x.jsonl", GOOD + b"\n" + bad)
    with pytest.raises(DataError) as raised:
        read(path, REGRESSION)
    start = f"{path}:2: label: expected a finite number, got "
    assert str(raised.value).startswith(start)


@pytest.mark.parametrize("block_bytes", [1, 50, 1000, 1 << 24])
def test_the_line_number_counts_blank_lines_and_earlier_blocks(
    tmp_path: Path, block_bytes: int
):
    before = b"\xef\xbb\xbf" + (GOOD + b"\n\n \r\n") * 30
    bad = b'{"label":1,"in0":[1],"in1":[7,100]}'
    path = write(tmp_path / "x.jsonl", before + bad + b"\n" + GOOD)
    with pytest.raises(DataError) as raised:
        read(path, block_bytes=block_bytes)
    problem = "in1[1]: expected an id below 100, got 100."
    assert str(raised.value).startswith(f"{path}:91: {problem}")


def test_labels_are_typed_by_the_output_layer(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", GOOD)
    for schema, dtype in ((SOFTMAX, np.int64), (REGRESSION, np.float32)):
        (block,) = read_file(
            path,
            schema,
            BadLines(0),
            hashlib.blake2b(),
            line_reader(schema),
        )
        assert block.labels.dtype == dtype


def test_bad_lines_within_the_budget_are_skipped_and_reported(tmp_path: Path):
    content = b"\n".join([GOOD, b"x", b"", b'{"label":0,"in0":[],"in1":[]}', b"{}"])
    path = write(tmp_path / "x.jsonl", content)
    bad_lines = BadLines(2)
    assert read(path, bad_lines=bad_lines) == [GOOD_ROW, (0, [], [])]
    first, second = bad_lines.messages
    assert first.startswith(f"{path}:2: is not JSON: ")
    assert second.startswith(f"{path}:5: label is missing.")


def test_a_line_above_the_limit_is_a_bad_line(tmp_path: Path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    long = b'{"label":1,"in0":[' + b"1," * 500_000 + b'1],"in1":[1]}'
    path = write(tmp_path / "x.jsonl.gz", gzip.compress(b"\n".join([GOOD, long, GOOD])))
    bad_lines = BadLines(1)
    assert read(path, bad_lines=bad_lines) == [GOOD_ROW, GOOD_ROW]
    (message,) = bad_lines.messages
    expected = "is too long: expected at most --max_line_megabytes=1."
    assert message.startswith(f"{path}:2: {expected}")
    monkeypatch.setenv(VARIABLE, "2")
    assert len(read(path)) == 3


@pytest.mark.parametrize("extra", [b"1e400", b'"\xc3\xa9"', b"1" * 5000])
@pytest.mark.parametrize("neighbor", [b"", b'{"in0":2.0,"in1":[1],"label":0}', b"x"])
def test_a_line_is_as_valid_alone_as_beside_others(
    tmp_path: Path, extra: bytes, neighbor: bytes
):
    """The fast parser, the lenient one and the reader of single lines agree."""
    path = write(tmp_path / "x.jsonl", GOOD[:-1] + b',"x":' + extra + b"}\n" + neighbor)
    rows = read(path, bad_lines=BadLines(1))
    assert rows == [GOOD_ROW, (0, [2], [1])][: 2 if neighbor.startswith(b"{") else 1]


def test_objects_and_lines_correspond(tmp_path: Path):
    # As many objects as lines, but not one in each.
    text = b'{"x":{}\n,%s\n%s %s\n' % (GOOD[1:], GOOD, GOOD)
    path = write(tmp_path / "x.jsonl", text)
    bad_lines = BadLines(3)
    assert read(path, bad_lines=bad_lines) == []
    assert len(bad_lines.messages) == 3


@pytest.mark.parametrize("depth", [100_000, 3_000_000])
@pytest.mark.parametrize(("opened", "closed"), [(b"[", b"]"), (b'{"x":', b"}")])
def test_a_line_nested_deeply_is_a_bad_line(
    tmp_path: Path, depth: int, opened: bytes, closed: bytes
):
    inner = opened * depth + b"1" + closed * depth
    deep = b'{"label":1,"in0":[4],"in1":[5],"x":%s}' % inner
    path = write(tmp_path / "x.jsonl", GOOD + b"\n" + deep + b"\n" + GOOD)
    bad_lines = BadLines(1)
    rows = read(path, bad_lines=bad_lines)
    assert rows == [GOOD_ROW, GOOD_ROW]
    assert bad_lines.messages[0].startswith(f"{path}:2: is nested too deeply")


def test_one_bad_line_beyond_the_budget_is_an_error_that_lists_all(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", b"null\n" + GOOD + b"\n{}\n12\n")
    with pytest.raises(DataError) as raised:
        read(path, bad_lines=BadLines(2))
    first, *others = str(raised.value).splitlines()
    assert first.startswith(f"{path}:4: {OBJECT}a number.")
    assert "This is bad line 3 of the channel, and --max_bad_lines is 2" in first
    assert [other.strip().split(": ")[0] for other in others] == [
        f"{path}:1",
        f"{path}:3",
    ]


@pytest.mark.parametrize("block_bytes", [100, 1 << 24])
@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_compressed_members_are_read_as_one_file(
    tmp_path: Path, suffix: str, block_bytes: int
):
    compress = gzip.compress if suffix == "gz" else zstandard.compress
    text = (GOOD + b"\n") * 20
    content = compress(text[:333]) + compress(text[333:])
    path = write(tmp_path / f"x.jsonl.{suffix}", content)
    assert read(path, block_bytes=block_bytes) == [GOOD_ROW] * 20


def packed(suffix: str) -> bytes:
    lines = "".join(
        json.dumps({"label": 1, "in0": [i % 97], "in1": [i * i % 89]}) + "\n"
        for i in range(2000)
    )
    compress = gzip.compress if suffix == "gz" else zstandard.compress
    return compress(lines.encode())


@pytest.mark.parametrize("block_bytes", [100, 1 << 24])
@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_compressed_file_is_an_error_that_names_it(
    tmp_path: Path,
    suffix: str,
    kept: float,
    block_bytes: int,
):
    content = packed(suffix)
    path = write(tmp_path / f"x.{suffix}", content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=f"x.{suffix}") as raised:
        read(path, block_bytes=block_bytes)
    assert str(raised.value).startswith(f"{path}: cannot be read to its end: ")


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_compressed_file_without_its_last_bytes_is_an_error(
    tmp_path: Path, suffix: str
):
    path = write(tmp_path / f"x.{suffix}", packed(suffix)[:-3])
    with pytest.raises(DataError, match="cannot be read to its end"):
        read(path)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_an_uncompressed_file_with_a_compressed_name_is_an_error(
    tmp_path: Path, suffix: str
):
    path = write(tmp_path / f"x.{suffix}", (GOOD + b"\n") * 20)
    with pytest.raises(DataError, match=f"x.{suffix}: cannot be read to its end"):
        read(path)


def test_the_digest_is_of_the_decompressed_bytes(tmp_path: Path):
    text = b"\xef\xbb\xbf" + GOOD + b"\r\n\n" + GOOD
    digests = []
    for name, content in (("x.jsonl", text), ("x.gz", gzip.compress(text))):
        digest = hashlib.blake2b()
        path = write(tmp_path / name, content)
        assert list(read_file(path, SOFTMAX, BadLines(0), digest, line_reader(SOFTMAX)))
        digests.append(digest.hexdigest())
    assert digests == [hashlib.blake2b(text).hexdigest()] * 2


def random_line(source: random.Random, regression: bool) -> str:
    """A well-formed line: fields in any order, extra ones, spaces, escaped keys."""
    label = source.choice([source.uniform(-9, 9), 3, -1e-7, 2.5e8])
    fields = {
        "label": label if regression else source.randrange(3),
        "in0": [source.randrange(100) for _ in range(source.randrange(6))],
        "in1": [source.randrange(100) for _ in range(source.randrange(3))],
    }
    extras: list[Any] = [None, True, -1.5e3, 'quo"te\\', "über\n", {"in0": [1.5]}, []]
    for name in source.sample(["id", "labels", "in2", "", "ключ"], source.randrange(4)):
        fields[name] = source.choice(extras)
    items = list(fields.items())
    source.shuffle(items)
    text = json.dumps(
        dict(items),
        ensure_ascii=source.random() < 0.5,
        separators=source.choice([(",", ":"), (", ", ": "), (" ,\t", " : ")]),
    )
    if source.random() < 0.3:
        text = text.replace('"in0"', '"\\u0069n0"', 1)
    return source.choice(["", " "]) + text + source.choice(["", " ", "\r"])


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("block_bytes", [1, 64, 1009, 1 << 24])
def test_random_lines_are_read_like_json_loads(
    tmp_path: Path,
    block_bytes: int,
    regression: bool,
):
    source = random.Random(block_bytes + regression)
    lines = [random_line(source, regression) for _ in range(300)]
    with_blanks = [
        text for line in lines for text in (line, *[""] * (source.random() < 0.1))
    ]
    path = write(tmp_path / "x.jsonl", "\n".join(with_blanks).encode())
    pairs = [json.loads(line) for line in lines]
    labels = [pair["label"] for pair in pairs]
    if regression:
        labels = np.array(labels, np.float32).tolist()
    expected = [
        (label, pair["in0"], pair["in1"])
        for label, pair in zip(labels, pairs, strict=True)
    ]
    schema = REGRESSION if regression else SOFTMAX
    assert read(path, schema, block_bytes=block_bytes) == expected
