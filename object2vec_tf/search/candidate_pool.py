"""Pools of distinct objects, the candidates of a search."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from object2vec_tf.errors import UserError
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.metrics.ranking import Positions
from object2vec_tf.ragged.column import RaggedColumn

_ID_BYTES = 4


class CandidatePool:
    """Distinct objects of one input, in the order in which they were first added.

    Two objects are the same if their token ids are, after truncation to the maximum
    length.

    Args:
        side: The input of the objects: in0 or in1.

    Attributes:
        side: The input of the objects: in0 or in1.
    """

    def __init__(self, side: str) -> None:
        self.side = side
        # The bytes of an object's int32 token ids -> its position in the pool.
        self._positions: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Returns the number of objects."""
        return len(self._positions)

    def add(self, objects: RaggedInputs) -> Positions:
        """Adds the objects of this side that are not in the pool.

        Returns:
            The position of each object in the pool, int64 ``[rows]``.
        """
        column = objects.columns[self.side]
        positions = self._positions
        return np.fromiter(
            (positions.setdefault(key, len(positions)) for key in _keys(column)),
            np.int64,
            len(column),
        )

    def objects(self) -> RaggedInputs:
        """Returns all objects, in the order of their positions."""
        lengths = np.array([len(key) // _ID_BYTES for key in self._positions], np.int64)
        values = np.frombuffer(b"".join(self._positions), np.int32)
        splits = np.concatenate([[0], np.cumsum(lengths)])
        return RaggedInputs({self.side: RaggedColumn(values, splits)})


def read_pool(blocks: Iterable[RaggedInputs], side: str, name: str) -> CandidatePool:
    """Returns a pool of the objects in a file.

    Args:
        blocks: The content of the file.
        side: The input of the objects: in0 or in1.
        name: The file's name, for messages.

    Raises:
        UserError: The lines do not have this input, or the file has no lines.
    """
    pool = CandidatePool(side)
    for objects in blocks:
        if side not in objects.columns:
            found = " and ".join(objects.columns)
            raise UserError(
                f"{name}: expected {side} in each line, got only {found}. Give a file "
                f"of {side} objects."
            )
        pool.add(objects)
    if not len(pool):
        raise UserError(f"{name}: expected lines with {side}, got an empty file.")
    return pool


def _keys(column: RaggedColumn) -> Iterator[bytes]:
    """Returns the bytes of each object's token ids."""
    ids = column.values.astype(np.int32, copy=False).tobytes()
    splits = (column.row_splits * _ID_BYTES).tolist()
    return (ids[start:stop] for start, stop in itertools.pairwise(splits))
