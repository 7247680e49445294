"""Tests of the kinds of values: valid values, and messages for invalid ones."""

import math

import numpy as np
import pytest

from object2vec_tf.hyperparameters.kinds import (
    Boolean,
    Choice,
    FileName,
    Integer,
    Kind,
    LayerCount,
    OrderedSubset,
    Real,
)

WORDS = ("hadamard", "concat", "abs_diff")


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Integer(2, 5), 2, 2),
        (Integer(2, 5), 5, 5),
        (Integer(2, 5), "3", 3),
        (Integer(2, 5), " 3 ", 3),
        (Integer(2, 5), 3.0, 3),
        (Integer(2, 5), np.int64(4), 4),
        (Integer(0), 10**12, 10**12),
        (Real(0.5, 1), 0.5, 0.5),
        (Real(0.5, 1), 1, 1.0),
        (Real(0.5, 1), "0.75", 0.75),
        (Real(1e-6, 1), "1e-6", 0.000001),
        (Choice(("adam", "sgd")), "sgd", "sgd"),
        (Choice(("adam", "sgd")), " adam ", "adam"),
        (Boolean(), True, True),
        (Boolean(), False, False),
        (Boolean(), "True", True),
        (Boolean(), "true", True),
        (Boolean(), "TRUE", True),
        (Boolean(), "False", False),
        (Boolean(), "false", False),
        (LayerCount(), "auto", "auto"),
        (LayerCount(), "Auto", "auto"),
        (LayerCount(), 1, 1),
        (LayerCount(), "4", 4),
        (FileName(), "", ""),
        (FileName(), "glove.840B.300d.txt", "glove.840B.300d.txt"),
        (FileName(), "a_B.9", "a_B.9"),
        (OrderedSubset(WORDS), "hadamard", "hadamard"),
        (OrderedSubset(WORDS), "abs_diff,hadamard", "abs_diff, hadamard"),
        (
            OrderedSubset(WORDS),
            " concat ,hadamard,  abs_diff",
            "concat, hadamard, abs_diff",
        ),
        (OrderedSubset(WORDS), ["concat", "abs_diff"], "concat, abs_diff"),
        (OrderedSubset(WORDS), ("concat",), "concat"),
    ],
)
def test_a_valid_value_is_converted_to_its_type(
    kind: Kind, value: object, expected: object
):
    parsed = kind.parse(value)
    assert parsed == expected
    assert type(parsed) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((Integer(2, 5), value) for value in (1, 6, "1", "6", 2.5, "2.5", "3.0")),
        *((Integer(2, 5), value) for value in ("", "x", None, True, [3], "3e0")),
        *((Integer(0), value) for value in (-1, "-1", math.nan, math.inf)),
        *((Real(0.5, 1), value) for value in (0.49, 1.01, "0.49", "", "x", None)),
        *((Real(0.5, 1), value) for value in (True, math.nan, "nan", "inf", [0.5])),
        *((Choice(("adam", "sgd")), value) for value in ("", "Adam", "ada", None, 1)),
        *((Boolean(), value) for value in ("", "yes", "2", 1, 0, None)),
        *((LayerCount(), value) for value in (0, 5, "0", "5", "", "automatic", None)),
        *((LayerCount(), value) for value in (True, 1.5)),
        *((FileName(), value) for value in ("a/b", "..\\x", "a b", "a-b", "a\n", None)),
        *((OrderedSubset(WORDS), value) for value in ("", ",", "concat,", [], None, 1)),
        (OrderedSubset(WORDS), "concat, concat"),
        (OrderedSubset(WORDS), "concat, product"),
        (OrderedSubset(WORDS), "concat hadamard"),
        (OrderedSubset(WORDS), [["concat"]]),
    ],
)
def test_an_invalid_value_is_rejected_and_shown(kind: Kind, value: object):
    with pytest.raises(ValueError, match=r"^expected ") as raised:
        kind.parse(value)
    assert str(raised.value) == f"expected {kind.valid}, got {value!r}"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Integer(2, 5), "an integer in 2..5"),
        (Integer(0), "an integer of 0 or more"),
        (Real(1e-6, 0.1), "a number in 1e-06..0.1"),
        (Choice(("adam", "sgd")), "one of adam, sgd"),
        (Boolean(), "True or False"),
        (LayerCount(), "auto or an integer in 1..4"),
        (FileName(), "a file name in the auxiliary channel ([A-Za-z0-9._]*)"),
        (
            OrderedSubset(WORDS),
            "a comma-separated list without repeats of hadamard, concat, abs_diff",
        ),
    ],
)
def test_a_kind_describes_its_valid_values(kind: Kind, words: str):
    assert kind.valid == words
