"""Pools of objects to search in."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from object2vec_tf.errors import UserError
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.ragged.column import RaggedColumn

Places = npt.NDArray[np.int64]


class Pool:
    """Distinct objects of one side, in the order in which they were first seen.

    Objects are the same where their token ids are: what is cut off tells none apart.

    Args:
        side: The input that they are: in0 or in1.
    """

    def __init__(self, side: str) -> None:
        self.side = side
        self._places: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Returns the number of objects."""
        return len(self._places)

    def add(self, objects: RaggedInputs) -> Places:
        """Takes in the objects of this side that are not there yet.

        Returns:
            The place of each in the pool, int64 ``[rows]``.
        """
        column = objects.columns[self.side]
        places = self._places
        return np.fromiter(
            (places.setdefault(key, len(places)) for key in _keys(column)),
            np.int64,
            len(column),
        )

    def objects(self) -> RaggedInputs:
        """Returns the objects, place by place."""
        lengths = np.array([len(key) // 4 for key in self._places], np.int64)
        values = np.frombuffer(b"".join(self._places), np.int32)
        splits = np.concatenate([[0], np.cumsum(lengths)])
        return RaggedInputs({self.side: RaggedColumn(values, splits)})


def pool_of(parts: Iterable[RaggedInputs], side: str, name: str) -> Pool:
    """Returns the objects of a file as a pool.

    Args:
        parts: What is read of the file.
        side: The input that is wanted: in0 or in1.
        name: The file's name, for messages.

    Raises:
        UserError: They have another input alone, or there are none.
    """
    pool = Pool(side)
    for objects in parts:
        if side not in objects.columns:
            raise UserError(f"{name}: expected {side} in its lines, found in0 alone")
        pool.add(objects)
    if not len(pool):
        raise UserError(f"{name}: holds no objects; expected lines with {side}")
    return pool


def _keys(column: RaggedColumn) -> Iterator[bytes]:
    ids = column.values.astype(np.int32, copy=False).tobytes()
    splits = (column.row_splits * 4).tolist()
    return (ids[a:b] for a, b in itertools.pairwise(splits))
