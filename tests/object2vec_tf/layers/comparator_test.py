import itertools

import numpy as np
import pytest

from object2vec_tf.layers.comparator import Comparator

NAMES = ("hadamard", "concat", "abs_diff")
CHOICES = [order for size in (1, 2, 3) for order in itertools.permutations(NAMES, size)]

FIRST = np.array([[1, -2, 3], [0.5, 0, -1]], np.float32)
SECOND = np.array([[4, 5, -6], [-1, 2, -1]], np.float32)
BY_HAND = {
    "hadamard": [[4, -10, -18], [-0.5, 0, 1]],
    "concat": [[1, -2, 3, 4, 5, -6], [0.5, 0, -1, -1, 2, -1]],
    "abs_diff": [[3, 7, 9], [1.5, 2, 0]],
}


@pytest.mark.parametrize("operators", CHOICES, ids=", ".join)
def test_comparisons_stand_in_the_order_given(operators):
    compared = Comparator(operators)([FIRST, SECOND])

    expected = np.concatenate([BY_HAND[name] for name in operators], axis=1)
    np.testing.assert_array_equal(compared, expected)


def test_every_comparison_is_made_unless_told_otherwise():
    assert Comparator()([FIRST, SECOND]).shape == (2, 12)


@pytest.mark.parametrize("operators", [(), ("hadamard", "cosine")])
def test_other_operators_are_refused(operators):
    with pytest.raises(ValueError, match="operators must be some of"):
        Comparator(operators)


def test_the_config_makes_an_equal_layer():
    config = Comparator(("abs_diff", "hadamard"), name="compare").get_config()

    again = Comparator.from_config(config)

    assert again.operators == ("abs_diff", "hadamard")
    assert again.name == "compare"
    assert again.get_config() == config
