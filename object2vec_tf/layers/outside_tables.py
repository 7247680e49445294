"""Token tables whose rows are not in the model: in files, or given with each call."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.devices import on_host
from object2vec_tf.errors import UserError
from object2vec_tf.layers.table_placement import Table, TablePlacement, TableSpec
from object2vec_tf.tables.outside_tables import RowTable
from object2vec_tf.tables.table_reader import TableColumns, read_table

# The weight of a layer that is the last column of a row; other weights come first.
_LOG_WEIGHTS = "log_weights"


class OutsidePlacement(TablePlacement):
    """Base class of placements without variables, whose tables cannot be trained."""


class MappedTables(OutsidePlacement):
    """Reads rows of tables from files, so that no table is in memory.

    Args:
        tables: The tables by name; see `object2vec_tf.tables.outside_tables`.

    Attributes:
        tables: As given.

    Example:
        >>> import numpy as np
        >>> import object2vec_tf as o2v
        >>> from object2vec_tf.layers.outside_tables import MappedTables
        >>> from object2vec_tf.tables.table_reader import ArrayReader
        >>> model = o2v.Object2Vec(
        ...     {
        ...         "enc0_network": "pooled_embedding",
        ...         "enc0_vocab_size": 4,
        ...         "enc0_max_seq_len": 3,
        ...         "enc_dim": 4,
        ...         "tied_token_embedding_weight": True,
        ...     },
        ...     placement=MappedTables({"enc0": ArrayReader(np.eye(4))}),
        ... )
        >>> model.embed([[2], [0, 1]]).tolist()
        [[0.0, 0.0, 1.0, 0.0], [0.5, 0.5, 0.0, 0.0]]
    """

    def __init__(self, tables: Mapping[str, RowTable]) -> None:
        self.tables = dict(tables)

    def add_table(self, layer: keras.layers.Layer, spec: TableSpec) -> Table:
        """See `TablePlacement`."""
        # A shared layer, whose name has no number, belongs to the first table.
        encoder = f"enc{layer.name[-1]}"
        table = self.tables.get(encoder, self.tables["enc0"])
        rows, width = spec.shape
        if table.rows != rows or table.width < width:
            raise UserError(
                f"{layer.name}: expected a table of {rows:,} rows of {width} "
                f"numbers, got {table.rows:,} rows of {table.width}. Give the tables "
                "of this model."
            )
        return MappedColumns(table, _columns(spec), spec.shape)


class MappedColumns(Table):
    """Columns of a table in files.

    Args:
        table: The table.
        columns: The columns.
        shape: The number of rows, and of the columns.

    Attributes:
        reader: Reads the columns.
    """

    def __init__(self, table: RowTable, columns: slice, shape: tuple[int, int]) -> None:
        super().__init__(*shape)
        self.reader = TableColumns(table, columns)
        self._table = table
        self._columns = columns

    def lookup(self, ids: tf.Tensor) -> tf.Tensor:
        """See `Table`."""
        with on_host():
            rows = tf.numpy_function(self._take, [ids], tf.float32, stateful=False)
        return tf.ensure_shape(rows, [None, self.width])

    def _take(self, ids: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        return np.ascontiguousarray(self._table.take(ids)[:, self._columns])

    def values(self) -> npt.NDArray[np.float32]:
        """See `Table`."""
        return read_table(self.reader).read(0, self.rows)

    def assign(self, values: Any) -> NoReturn:
        """Raises an error, since the files are only read."""
        _reject_assignment()


class GivenTables(OutsidePlacement):
    """Takes the rows of each call from its caller, as an exported model does."""

    def __init__(self) -> None:
        self._given = threading.local()

    @contextmanager
    def rows(self, rows: tf.Tensor) -> Iterator[None]:
        """Uses rows as the table of all lookups in a block.

        Args:
            rows: float32 ``[rows, width]``. Ids are positions in it.
        """
        self._given.rows = rows
        try:
            yield
        finally:
            del self._given.rows

    def given(self) -> tf.Tensor:
        """Returns the rows of the block that is running."""
        return self._given.rows

    def add_table(self, layer: keras.layers.Layer, spec: TableSpec) -> Table:
        """See `TablePlacement`."""
        return _GivenColumns(self, _columns(spec), spec.shape)


class _GivenColumns(Table):
    """Columns of the rows that a caller gives."""

    def __init__(
        self, tables: GivenTables, columns: slice, shape: tuple[int, int]
    ) -> None:
        super().__init__(*shape)
        self._tables = tables
        self._columns = columns

    def lookup(self, ids: tf.Tensor) -> tf.Tensor:
        """See `Table`."""
        rows = tf.gather(self._tables.given(), ids)
        return tf.ensure_shape(rows[:, self._columns], [None, self.width])

    def assign(self, values: Any) -> NoReturn:
        """Raises an error, since there are no rows."""
        _reject_assignment()


def check_can_train(placement: TablePlacement) -> None:
    """Checks that a model has its tables where a training step can update them.

    Raises:
        UserError: They are in files.
    """
    if isinstance(placement, OutsidePlacement):
        _reject_assignment()


def _columns(spec: TableSpec) -> slice:
    """Returns the columns of a row that a weight of a layer consists of."""
    return slice(-1, None) if spec.name == _LOG_WEIGHTS else slice(0, spec.shape[1])


def _reject_assignment() -> NoReturn:
    raise UserError(
        "model: expected one that has its token tables in memory, got one that reads "
        "them from files, which it cannot change. Train a new model by object2vec_tf."
        "fit, which can start with the weights of another run."
    )
