"""The shapes of a run's batches in the static layout."""

from __future__ import annotations

import dataclasses

from object2vec_tf.data.row_layout import Sizes
from object2vec_tf.ragged.static_layout import BatchShape, Layout


@dataclasses.dataclass(frozen=True)
class ShapeMenu:
    """The shapes that the batches of a run choose from.

    A step is compiled for each shape that occurs, so there are few. The choice depends
    on the batch only.

    Attributes:
        shapes: The shapes, from cheap to expensive.
    """

    shapes: tuple[BatchShape, ...]

    def fit(self, needed: Sizes) -> BatchShape:
        """Returns the first shape that batches fit, or a larger one.

        Args:
            needed: The largest sizes that one of the batches needs.

        Example:
            >>> from object2vec_tf.ragged.static_layout import SideLayout
            >>> layout = Layout((SideLayout(1), SideLayout(4)), False, (9, 9), True)
            >>> menu = ShapeMenu(
            ...     tuple(
            ...         BatchShape(layout, 8, (9, 9), (8, chunks), (1, 2))
            ...         for chunks in (16, 32)
            ...     )
            ... )
            >>> sizes = [Sizes((5, 5), (7, n), (1, 2)) for n in (15, 16, 32)]
            >>> [menu.fit(size).chunks for size in sizes]
            [(8, 16), (8, 32), (8, 33)]
        """
        for shape in self.shapes:
            room = zip(needed.numbers, _capacity(shape).numbers, strict=True)
            if all(number <= most for number, most in room):
                return shape
        largest = Sizes.largest([_capacity(shape) for shape in self.shapes])
        numbers = zip(needed.numbers, largest.numbers, strict=True)
        enlarged = [most if n <= most else rounded_up(n) for n, most in numbers]
        first = self.shapes[0]
        return shape_for(first.layout, first.rows, Sizes.of_numbers(enlarged))


def shape_for(layout: Layout, rows: int, sizes: Sizes) -> BatchShape:
    """Returns the shape with room for these sizes, and the padding that it needs.

    Args:
        layout: What the batches of the run have in common.
        rows: The number of rows of a replica, padding included.
        sizes: The sizes of a batch.
    """
    return BatchShape(
        layout,
        rows,
        tuple(unique + 1 for unique in sizes.unique),
        (sizes.chunks[0] + 1, sizes.chunks[1] + 1),
        (max(sizes.row_chunks[0], 1), max(sizes.row_chunks[1], 1)),
        sizes.known,
    )


def _capacity(shape: BatchShape) -> Sizes:
    """Returns the largest sizes of a batch that a shape has room for."""
    return Sizes(
        tuple(unique - 1 for unique in shape.unique),
        (shape.chunks[0] - 1, shape.chunks[1] - 1),
        shape.row_chunks,
        shape.known,
    )


def rounded_up(number: int, bits: int = 2) -> int:
    """Returns the next number that has only some significant bits in base 2.

    Args:
        number: A number that is not negative.
        bits: The number of bits. By default, the results are powers of two, and one and
            a half of them.

    Example:
        >>> [rounded_up(n) for n in (0, 1, 3, 5, 7, 13, 17)]
        [0, 1, 3, 6, 8, 16, 24]
        >>> rounded_up(1000, bits=4)
        1024
    """
    unit = 1 << max(number.bit_length() - bits, 0)
    return -(-number // unit) * unit
