"""Tests of object2vec_tf/data/line_diagnosis.py, for every kind of invalid line."""

import pytest

from object2vec_tf.data.line_diagnosis import checked_pair
from object2vec_tf.data.pair_schema import PairSchema
from object2vec_tf.files.object_lines import LineError

SOFTMAX = PairSchema(
    vocab_sizes=(10, 20), max_lengths=(3, 3), output_layer="softmax", num_classes=3
)
REGRESSION = PairSchema(
    vocab_sizes=(10, 10), max_lengths=(3, 3), output_layer="mean_squared_error"
)

# The starts of messages, up to the value.
CLASS = "label: expected an integer class in [0, num_classes=3), got "
OBJECT = (
    'expected one object per line such as {"in0": [1], "in1": [2], "label": 1}, got '
)


def diagnose_line(line: bytes, schema: PairSchema) -> str | None:
    """Returns the problem of a line, None for a valid one."""
    try:
        checked_pair(line, schema)
    except LineError as error:
        return str(error)
    return None


def line(label: str = "1", in0: str = "[1]", in1: str = "[2]") -> bytes:
    return f'{{"label": {label}, "in0": {in0}, "in1": {in1}}}'.encode()


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (b'{"label": 1, "in1": [1]}', "in0 is missing. Give a list of token ids"),
        (b'{"label": 1, "in0": [1]}', "in1 is missing. Give a list of token ids"),
        (b'{"in0": [1], "in1": [1]}', "label is missing. Give every pair an"),
        (b"{}", "label is missing."),
        (line(in0="null"), "in0: expected a list of integer token ids, got null."),
        (line(in1="7.5"), "in1: expected a list of integer token ids, got 7.5."),
        (line(in1="20"), "in1: expected an id below 20, got 20. Fix"),
        (line(in1="-1"), "in1: expected a token id of 0 or more, got -1."),
        (line(in1='"7"'), 'in1: expected a list of integer token ids, got "7".'),
        (
            line(in1='{"a": 1}'),
            'in1: expected a list of integer token ids, got {"a": 1}.',
        ),
        (line(in0="[1, null]"), "in0[1]: expected an integer token id, got null."),
        (line(in0="[1, 2, 1.5]"), "in0[2]: expected an integer token id, got 1.5."),
        (line(in1="[1.5]"), "in1[0]: expected an integer token id, got 1.5."),
        (line(in1="[20.0]"), "in1[0]: expected an id below 20, got 20.0. Fix"),
        (line(in1='[0, "7"]'), 'in1[1]: expected an integer token id, got "7".'),
        (line(in0="[true]"), "in0[0]: expected an integer token id, got true."),
        (line(in0="[[1]]"), "in0[0]: expected an integer token id, got [1]."),
        (line(in0="[NaN]"), "in0[0]: expected an integer token id, got NaN."),
        (line(in0="[0, -1]"), "in0[1]: expected a token id of 0 or more, got -1."),
        (line(in0="[9, 10]"), "in0[1]: expected an id below 10, got 10. Fix"),
        (line(in1="[10, 20]"), "in1[1]: expected an id below 20, got 20. Fix"),
        *(
            (
                line(in0=f"[{number}]"),
                f"in0[0]: expected an id below 10, got {number}. {fix}",
            )
            for number, fix in (
                (2**31 - 2, "Fix the id or raise enc0_vocab_size."),
                (2**31 - 1, "Set enc0_tokenizer=id and enc0_vocab_file to read ids of"),
                (2**64 + 5, "Set enc0_tokenizer=id and enc0_vocab_file to read ids of"),
            )
        ),
        *(
            (
                line(label=label),
                f"label: expected an integer class in [0, num_classes=3), got {label}.",
            )
            for label in ("3", "-1", "3.0", "0.5", "true", '"1"', "null", "[1]", "NaN")
        ),
        *(
            (
                line()[:-1] + f', "weight": {weight}}}'.encode(),
                f"weight: expected a number in 0..1e+06, got {shown}. It is",
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
        (line(label=str(2**64)), CLASS + f"{2**64}."),
        (b'{"label": 1, "in0": [1], "in', "ends in the middle of an object"),
        (b"{", "ends in the middle of an object (...{). Write each object on one"),
        (b"[" + line() + b"]", OBJECT + "a JSON array. Write JSON Lines"),
        (b"[", "is a JSON array. Write JSON Lines"),
        (b"[" + line() + b",", "is a JSON array. Write JSON Lines"),
        (b"null", OBJECT + "null."),
        (b"12", OBJECT + "a number."),
        (b'"x"', OBJECT + "a string."),
        (b"true", OBJECT + "a boolean."),
        (line() + line(), "is not JSON: expected one object per line, got 2. Write"),
        (line() + b" " + line(), "is not JSON: expected one object per line, got 2."),
        (line() + b",", "is not JSON: trailing"),
        (b"label,in0,in1", "is not JSON: "),
        (b"{'label': 1}", "is not JSON: "),
        (line(in0="[1,]"), "is not JSON: "),
        (line()[:-1] + b',"x":"\xff"}', "is not UTF-8: got byte 0xff at position "),
        (line()[:-1] + b',"x\xff":1}', "is not UTF-8: got byte 0xff at position "),
        (line()[:-1] + b',"x":' + b"[" * 200 + b"]" * 200 + b"}", "is nested too"),
        (
            line() + b"\r" + line() + b"\r" + line(),
            "is not JSON: expected one object per ",
        ),
        (b"\v" + line(), "is not JSON: "),
        (line(in0='["\xff"]').decode().encode("latin-1"), "is not UTF-8: got "),
        (line()[:-1] + b',"x":NaN}', "is not JSON: "),
        *(
            (line()[:-1] + extra + b"}", f"contains {half} alone, which is half of a")
            for extra, half in (
                (rb', "x": "\ud800"', r"\ud800"),
                (rb', "x": ["\uDC00 and more"]', r"\udc00"),
                (rb', "\uDBFF\u0041": 1', r"\udbff"),
            )
        ),
        (line() + b"\0", "contains a NUL byte. The file is damaged, or is not UTF-8"),
        (line().decode().encode("utf-16"), "starts with a UTF-16 byte order mark. Con"),
        (b"\xfe\xff" + line().decode().encode("utf-16-be"), "starts with a UTF-16"),
    ],
    ids=repr,
)
def test_the_diagnosis_names_field_position_and_value(bad: bytes, problem: str):
    diagnosis = diagnose_line(bad, SOFTMAX)
    assert diagnosis is not None
    assert diagnosis.startswith(problem)


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
        f"label: expected a finite number, got {shown}."
    )


def test_more_digits_than_python_reads_are_a_problem():
    assert diagnose_line(line(label="1" + "0" * 5000), REGRESSION) is not None


@pytest.mark.parametrize("label", ["1", "NaN"])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_a_deeply_nested_line_is_diagnosed(label: str, opened: str, closed: str):
    deep = opened * 100_000 + "1" + closed * 100_000
    assert diagnose_line(line(label, in0=deep), SOFTMAX) == (
        "is nested too deeply to be read. Fix or remove the line."
    )


def test_a_long_value_is_shortened():
    diagnosis = diagnose_line(line(in0='["' + "x" * 1000 + '"]'), SOFTMAX)
    assert diagnosis == (
        f'in0[0]: expected an integer token id, got "{"x" * 59}.... Set enc0_tokenizer '
        "(id for ids of any kind) and enc0_vocab_file to read strings."
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
        # The fast parsers do not look at values of other fields either.
        line()[:-1] + b',"x":[1e400]}',
        b'{"label": 1e400, "in0": null, ' + line()[1:],
        line()[:-1] + b',"x":' + b"1" * 5000 + b"}",
        line()[:-1] + b',"x":' + b"[" * 199 + b"]" * 199 + b"}",
        line()[:-1] + b',"x":"' + b"[" * 5000 + b'"}',
        line().replace(b",", b",\r"),
    ],
    ids=repr,
)
def test_a_good_line_has_no_problem(good: bytes):
    assert diagnose_line(good, SOFTMAX) is None


@pytest.mark.parametrize("label", ["0", "-7", "0.1", "3.4028235e38", "1e-400", "1e5"])
def test_any_real_number_is_a_label_of_a_regression(label: str):
    assert diagnose_line(line(label=label), REGRESSION) is None
