import numpy as np
import pytest

from tests.object2vec_tf.layers.hcnn_test import built
from tests.object2vec_tf.layers.static_layouts import (
    assert_close_in_16_bits,
    assert_same,
    both_forms,
    random_rows,
)

# Repeated tokens make ties of maxima; [1] * 9 is a tie of all inner cells.
ROWS = [[0, 1, 0, 1, 0], [], [2], [1] * 9, [3, 3, 3, 3], [4, 0, 1, 2, 3, 4, 0], [4]]
VECTORS = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)


def test_hcnn_encodings_and_gradients_equal_the_ragged_form():
    layer = built(8, 2, filter_width=3)
    assert_same(*both_forms(layer, VECTORS, ROWS, width=4, gap=1))


@pytest.mark.long
@pytest.mark.parametrize(
    ("layers", "filter_width", "width"),
    [(1, 1, 1), (1, 1, 4), (4, 2, 8), (3, 4, 8), (2, 5, 2), (2, 9, 8), (4, 3, 1)],
)
def test_every_filter_and_width_of_chunks_gives_the_same(layers, filter_width, width):
    layer = built(12, layers, filter_width)
    results = both_forms(layer, VECTORS, ROWS, width, gap=filter_width // 2)
    assert_same(*results)


@pytest.mark.long
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_products_of_less_precision_change_encodings_and_gradients_little(policy):
    layer, mixed = (
        built(8, 2, filter_width=3),
        built(8, 2, filter_width=3, dtype=policy),
    )
    expected, _ = both_forms(layer, VECTORS, ROWS, width=4, gap=1)
    _, received = both_forms(mixed, VECTORS, ROWS, width=4, gap=1)

    assert_close_in_16_bits(expected, received, policy)


@pytest.mark.long
def test_random_rows_give_the_same():
    rows, vectors = random_rows(seed=3)
    assert_same(
        *both_forms(built(16, 4, 3, token_dim=6), vectors, rows, width=8, gap=1)
    )
