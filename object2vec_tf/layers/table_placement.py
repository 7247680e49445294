"""Where the rows of token tables are kept: as a whole in one variable, by default."""

from __future__ import annotations

import abc
import contextvars
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf


class Table(abc.ABC):
    """A table with a vector per id.

    Attributes:
        rows: Number of rows of the whole table.
        width: Number of values of a row.
        variable: The rows that this process trains or saves, in a variable; None for a
            table that no process trains.
    """

    def __init__(
        self, rows: int, width: int, variable: keras.Variable | None = None
    ) -> None:
        self.rows = rows
        self.width = width
        self.variable = variable

    @property
    def shard(self) -> tuple[int, int]:
        """The shard of the table that the variable has, and the number of shards.

        Row i of the variable is row ``shard + i * shards`` of the table.
        """
        return 0, 1

    @abc.abstractmethod
    def lookup(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns rows of the table.

        Args:
            ids: Distinct ids in ``[0, rows)``, integers ``[ids]``.

        Returns:
            float32 ``[ids, width]``.
        """

    @abc.abstractmethod
    def assign(self, values: Any) -> None:
        """Replaces all rows.

        Args:
            values: The values of the whole table, float ``[rows, width]``.
        """

    def values(self) -> npt.NDArray[np.float32]:
        """Returns all rows, which must fit into memory, float32 ``[rows, width]``."""
        return np.asarray(self.lookup(tf.range(self.rows)))


@dataclasses.dataclass(frozen=True)
class TableSpec:
    """A table that a layer needs.

    Attributes:
        name: The name of the weight.
        shape: Rows and width of the whole table.
        initializer: Keras initializer of the whole table.
        trainable: Whether its rows are trained.
    """

    name: str
    shape: tuple[int, int]
    initializer: Any
    trainable: bool = True


class TablePlacement(abc.ABC):
    """Decides where the rows of a model's token tables are kept."""

    # Whether each of several replicas has rows of its own.
    is_sharded = False

    @abc.abstractmethod
    def add_table(self, layer: keras.layers.Layer, spec: TableSpec) -> Table:
        """Creates a table of a layer, with the weights of the layer that it needs.

        Args:
            layer: The layer, which is being built.
            spec: The table.
        """


class WholeTable(Table):
    """A table in one variable."""

    def lookup(self, ids: tf.Tensor) -> tf.Tensor:
        """See `Table`."""
        # Gathers from the resource itself: `keras.ops.take` would read all of it.
        return tf.gather(self._variable.value, ids)

    def assign(self, values: Any) -> None:
        """See `Table`."""
        self._variable.assign(values)

    @property
    def _variable(self) -> keras.Variable:
        assert self.variable is not None
        return self.variable


class WholeTables(TablePlacement):
    """Each replica has all rows of all tables."""

    def add_table(self, layer: keras.layers.Layer, spec: TableSpec) -> Table:
        """See `TablePlacement`."""
        return WholeTable(*spec.shape, table_weight(layer, spec, spec.shape[0]))


def table_weight(
    layer: keras.layers.Layer, spec: TableSpec, rows: int
) -> keras.Variable:
    """Returns a new weight of a layer for some or all rows of a table.

    Args:
        layer: The layer.
        spec: The table. Its initializer gets the shape of the weight.
        rows: The number of rows of the weight.
    """
    return layer.add_weight(
        name=spec.name,
        shape=(rows, spec.shape[1]),
        initializer=spec.initializer,
        trainable=spec.trainable,
        # Casting the table to 16 bits would read and copy all of it in each step.
        autocast=False,
    )


WHOLE_TABLES = WholeTables()
_loaded: contextvars.ContextVar[TablePlacement] = contextvars.ContextVar(
    "placement", default=WHOLE_TABLES
)


@contextmanager
def placing_loaded_tables(placement: TablePlacement) -> Iterator[None]:
    """Sets the placement of models that Keras loads within a block.

    A placement is not saved with a model, and ``load_model`` has no argument for it.

    Args:
        placement: The placement.
    """
    token = _loaded.set(placement)
    try:
        yield
    finally:
        _loaded.reset(token)


def placement_of_loaded() -> TablePlacement:
    """Returns the placement of models that Keras loads; see above."""
    return _loaded.get()
