"""The choice of a shape for a batch, by hand."""

from object2vec_tf.data.row_layout import Sizes
from object2vec_tf.data.static_shapes import ShapeMenu, shape_for
from object2vec_tf.ragged.static_layout import Layout, SideLayout

LAYOUT = Layout((SideLayout(4), SideLayout(4)), True, (99, 99), True, lists_known=True)


def test_a_batch_has_the_first_shape_with_room_for_all_of_its_sizes():
    wide = Sizes((20,), (40, 10), (9, 3), 16)
    long = Sizes((20,), (10, 60), (3, 9), 16)
    menu = ShapeMenu((shape_for(LAYOUT, 8, wide), shape_for(LAYOUT, 8, long)))
    assert menu.fit(Sizes((3,), (40, 10), (1, 1), 0)) is menu.shapes[0]
    assert menu.fit(Sizes((20,), (10, 60), (3, 9), 16)) is menu.shapes[1]
    # One place is kept for padding, except for chunks of a row and known pairs.
    shape = menu.shapes[0]
    assert (shape.rows, shape.unique, shape.chunks) == (8, (21,), (41, 11))
    assert (shape.row_chunks, shape.known) == ((9, 3), 16)


def test_without_room_the_sizes_that_are_too_small_are_rounded_up():
    menu = ShapeMenu((shape_for(LAYOUT, 8, Sizes((20,), (40, 10), (9, 3), 16)),))
    shape = menu.fit(Sizes((21,), (40, 13), (1, 4), 17))
    assert (shape.unique, shape.chunks) == ((25,), (41, 17))
    assert (shape.row_chunks, shape.known) == ((9, 4), 24)
