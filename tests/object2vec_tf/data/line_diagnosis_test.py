"""Tests of object2vec_tf/data/line_diagnosis.py: every bad line, told as it must be."""

import pytest

from object2vec_tf.data.line_diagnosis import diagnose_line
from object2vec_tf.hyperparameters import Hyperparameters

SOFTMAX = Hyperparameters(
    enc0_max_seq_len=3,
    enc0_vocab_size=10,
    enc1_network="hcnn",
    enc1_max_seq_len=3,
    enc1_vocab_size=20,
    num_classes=3,
)
REGRESSION = Hyperparameters(
    enc0_max_seq_len=3, enc0_vocab_size=10, output_layer="mean_squared_error"
)


def line(label: str = "1", in0: str = "[1]", in1: str = "[2]") -> bytes:
    return f'{{"label": {label}, "in0": {in0}, "in1": {in1}}}'.encode()


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (b'{"label": 1, "in1": [1]}', "field in0 is missing; give a list of token ids"),
        (b'{"label": 1, "in0": [1]}', "field in1 is missing; give a list of token ids"),
        (b'{"in0": [1], "in1": [1]}', "field label is missing; every pair needs an"),
        (b"{}", "field label is missing"),
        (line(in0="null"), "in0 is null, expected a list of integer token ids"),
        (line(in1="7"), "in1 is 7, expected a list of integer token ids"),
        (line(in1='"7"'), 'in1 is "7", expected a list of integer token ids'),
        (line(in1='{"a": 1}'), 'in1 is {"a": 1}, expected a list'),
        (line(in0="[1, null]"), "in0[1] is null, expected an integer token id"),
        (line(in0="[1, 2, 1.5]"), "in0[2] is 1.5, expected an integer token id"),
        (line(in1="[1.0]"), "in1[0] is 1.0, expected an integer token id"),
        (line(in1='[0, "7"]'), 'in1[1] is "7", expected an integer token id'),
        (line(in0="[true]"), "in0[0] is true, expected an integer token id"),
        (line(in0="[[1]]"), "in0[0] is [1], expected an integer token id"),
        (line(in0="[NaN]"), "in0[0] is NaN, expected an integer token id"),
        (line(in0="[0, -1]"), "in0[1] is -1, expected a token id of 0 or more"),
        (line(in0="[9, 10]"), "in0[1] is 10, not below enc0_vocab_size=10; mend"),
        (line(in1="[10, 20]"), "in1[1] is 20, not below enc1_vocab_size=20; mend"),
        *(
            (line(in0=f"[{number}]"), f"in0[0] is {number}, not below enc0_vocab_size")
            for number in (2**63, 2**64, 2**64 + 5)
        ),
        *(
            (
                line(label=label),
                f"label is {label}, expected an integer class in [0, num_classes=3)",
            )
            for label in ("3", "-1", "1.0", "0.5", "true", '"1"', "null", "[1]", "NaN")
        ),
        *(
            (
                line()[:-1] + f', "weight": {weight}}}'.encode(),
                f"weight is {shown}, expected a number in 0..1e+06: a pair",
            )
            for weight, shown in (
                *(("-1", "-1"), ("-0.5", "-0.5"), ("NaN", "NaN"), ("null", "null")),
                *(
                    ("1000001", "1000001"),
                    ("1e39", "1e+39"),
                    ("true", "true"),
                    ('"2"', '"2"'),
                    ("[1]", "[1]"),
                ),
            )
        ),
        (line(label=str(2**64)), f"label is {2**64}, expected an integer class"),
        (b'{"label": 1, "in0": [1], "in', "ends in the middle of an object"),
        (b"{", "ends in the middle of an object (...{); write each object on one line"),
        (b"[" + line() + b"]", "is a JSON array, expected one object a line such as"),
        (b"[", "is a JSON array; write JSON Lines"),
        (b"[" + line() + b",", "is a JSON array; write JSON Lines"),
        (b"null", "is null, expected one object a line"),
        (b"12", "is a number, expected one object a line"),
        (b'"x"', "is a string, expected one object a line"),
        (b"true", "is a boolean, expected one object a line"),
        (line() + line(), "is not JSON: JSON is malformed: trailing characters"),
        (line() + b" " + line(), "is not JSON: JSON is malformed: trailing"),
        (line() + b",", "is not JSON: JSON is malformed: trailing"),
        (b"label,in0,in1", "is not JSON: "),
        (b"{'label': 1}", "is not JSON: "),
        (line(in0="[1,]"), "is not JSON: "),
        (line()[:-1] + b',"x":"\xff"}', "is not JSON: "),
        *(
            (line()[:-1] + extra + b"}", f"holds {half} alone, which is half of a")
            for extra, half in (
                (rb', "x": "\ud800"', r"\ud800"),
                (rb', "x": ["\uDC00 and more"]', r"\udc00"),
                (rb', "\uDBFF\u0041": 1', r"\udbff"),
            )
        ),
        (line() + b"\0", "holds a NUL byte; the file is damaged or is not UTF-8"),
        (line().decode().encode("utf-16"), "starts with a UTF-16 byte order mark; con"),
        (b"\xfe\xff" + line().decode().encode("utf-16-be"), "starts with a UTF-16"),
    ],
    ids=repr,
)
def test_a_bad_line_is_told_by_field_position_and_value(bad: bytes, problem: str):
    told = diagnose_line(bad, SOFTMAX)
    assert told is not None
    assert told.startswith(problem)


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("1e400", "Infinity"),
        ("-1e400", "-Infinity"),
        ("1e39", "1e+39"),
        ("-1e39", "-1e+39"),
        ("3.4028236e38", "3.4028236e+38"),
        ("1" + "0" * 39, "1" + "0" * 39),
        ("1" + "0" * 400, "1" + "0" * 59 + "..."),
        ('"4.5"', '"4.5"'),
        ("true", "true"),
        ("null", "null"),
        ("[4.5]", "[4.5]"),
    ],
)
def test_a_label_of_a_regression_is_a_number_that_float32_can_hold(
    label: str, shown: str
):
    assert diagnose_line(line(label=label), REGRESSION) == (
        f"label is {shown}, expected a finite number"
    )


def test_digits_beyond_what_python_reads_are_told_too():
    told = diagnose_line(line(label="1" + "0" * 5000), REGRESSION)
    assert told is not None


@pytest.mark.parametrize("label", ["1", "NaN"])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_a_deeply_nested_line_is_told(label: str, opened: str, closed: str):
    deep = opened * 100_000 + "1" + closed * 100_000
    assert diagnose_line(line(label, in0=deep), SOFTMAX) == (
        "is nested too deeply to be read; mend or remove the line"
    )


def test_a_long_value_is_shortened():
    told = diagnose_line(line(in0='["' + "x" * 1000 + '"]'), SOFTMAX)
    assert told == (
        f'in0[0] is "{"x" * 59}..., expected an integer token id; give enc0_tokenizer '
        "and enc0_vocab_file to read text"
    )


@pytest.mark.parametrize(
    "good",
    [
        line(),
        line(in0="[]", in1="[]"),
        line(in0="[0, 9]", in1="[19]"),
        line(label="0"),
        line(label="2"),
        b" " + line() + b" \r",
        b'{"in1":[1],"x":{"in0":"y"},"in0":[1],"label":0,"z":[1.5,null]}',
        rb'{"\u006cabel": 1, "in0": [1], "in1": [1]}',
        rb'{"label": 1, "in0": [1], "in1": [1], "x": "\ud83d\ude00"}',
    ],
    ids=repr,
)
def test_a_good_line_has_no_problem(good: bytes):
    assert diagnose_line(good, SOFTMAX) is None


@pytest.mark.parametrize("label", ["0", "-7", "0.1", "3.4028235e38", "1e-400", "1e5"])
def test_any_real_number_is_a_label_of_a_regression(label: str):
    assert diagnose_line(line(label=label), REGRESSION) is None
