"""Rows of a variable, read and written in chunks.

Training updates single rows of a table, and TensorFlow then copies the whole table
whenever it is read as a whole. Gathers and scatters touch only their rows.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from object2vec_tf.tables.shard_files import own_rows, read_shard
from object2vec_tf.tables.table_reader import Rows, TableReader


class VariableReader:
    """The rows of a variable; a `TableReader`.

    Args:
        variable: A tf.Variable of floats, ``[rows, ...]``. All axes but the first make
            up the width.

    Example:
        >>> import tensorflow as tf
        >>> from object2vec_tf.tables.variable_rows import VariableReader
        >>> reader = VariableReader(tf.Variable([1.0, 2.0, 3.0]))
        >>> reader.rows, reader.width
        (3, 1)
        >>> reader.read(1, 3).tolist()
        [[2.0], [3.0]]
    """

    def __init__(self, variable: Any) -> None:
        self._variable = variable
        self.rows = int(variable.shape[0])
        self.width = math.prod(map(int, variable.shape[1:]))

    def read(self, start: int, stop: int) -> Rows:
        """See `TableReader`."""
        rows: Rows = tf.gather(self._variable, tf.range(start, stop)).numpy()
        return rows.reshape(stop - start, self.width)


def assign_rows(
    variable: Any, table: TableReader, shard: int = 0, shards: int = 1
) -> None:
    """Assigns the rows of a table, or of one shard of it, to a variable.

    Args:
        variable: A tf.Variable of floats, ``[own rows, ...]``.
        table: The table.
        shard: Index of the shard.
        shards: Number of shards.

    Raises:
        ValueError: The variable has another number of rows, or another width.
    """
    own = VariableReader(variable)
    expected = (own_rows(table.rows, shard, shards), table.width)
    if (own.rows, own.width) != expected:
        raise ValueError(
            f"variable: expected rows and width {expected}, got {(own.rows, own.width)}"
        )
    for start, rows in read_shard(table, shard, shards):
        indices = tf.range(start, start + len(rows))
        values = tf.reshape(tf.constant(rows), [-1, *variable.shape[1:]])
        variable.scatter_update(tf.IndexedSlices(values, indices))
