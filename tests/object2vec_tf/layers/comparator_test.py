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
def test_comparisons_are_concatenated_in_the_given_order(operators):
    compared = Comparator(operators)([FIRST, SECOND])

    expected = np.concatenate([BY_HAND[name] for name in operators], axis=1)
    np.testing.assert_array_equal(compared, expected)


def test_all_operators_apply_by_default():
    assert Comparator()([FIRST, SECOND]).shape == (2, 12)


@pytest.mark.parametrize("operators", [(), ("hadamard", "cosine")])
def test_unknown_or_no_operators_are_rejected(operators):
    with pytest.raises(ValueError, match="operators must be some of"):
        Comparator(operators)


def test_a_layer_is_restored_from_its_config():
    config = Comparator(("abs_diff", "hadamard"), name="compare").get_config()

    restored = Comparator.from_config(config)

    assert restored.operators == ("abs_diff", "hadamard")
    assert restored.name == "compare"
    assert restored.get_config() == config
