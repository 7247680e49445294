"""Token tables whose rows are divided among the replicas of a run."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from object2vec_tf.distributed.collectives import Collectives, current_collectives
from object2vec_tf.distributed.initial_rows import initial_rows
from object2vec_tf.distributed.row_exchange import RowExchange
from object2vec_tf.layers.table_placement import (
    Table,
    TablePlacement,
    TableSpec,
    table_weight,
)
from object2vec_tf.tables.shard_files import own_rows
from object2vec_tf.tables.table_reader import Rows


class ShardedTables(TablePlacement):
    """Each replica has a part of the rows of every table, and their slots.

    Row i is row ``i // replicas`` of replica ``i % replicas``. Vocabularies are sorted
    by frequency, so ranges of rows would give one replica most of the lookups.

    A model is built, and its steps are traced, within the context of
    `Collectives.activated`.
    """

    is_sharded = True

    def add_table(self, layer: keras.layers.Layer, spec: TableSpec) -> Table:
        """See `TablePlacement`."""
        collectives = current_collectives()
        shard = collectives.replica, collectives.replicas

        def initial(own_shape: Any, dtype: Any = None) -> Rows:
            whole = keras.initializers.get(spec.initializer)
            return initial_rows(whole, spec.shape, *shard)

        own = dataclasses.replace(spec, initializer=initial)
        variable = table_weight(layer, own, own_rows(spec.shape[0], *shard))
        return ShardedTable(spec.shape, variable, collectives)


class ShardedTable(Table):
    """The rows of a table that one replica owns.

    Args:
        shape: Rows and width of the whole table.
        variable: The own rows.
        collectives: The collectives of the replica.

    Attributes:
        replica: Index of the replica.
        replicas: Number of replicas.
    """

    variable: keras.Variable

    def __init__(
        self,
        shape: tuple[int, int],
        variable: keras.Variable,
        collectives: Collectives,
    ) -> None:
        super().__init__(*shape, variable)
        self.replica = collectives.replica
        self.replicas = collectives.replicas

    @property
    def shard(self) -> tuple[int, int]:
        """See `Table`."""
        return self.replica, self.replicas

    def lookup(self, ids: tf.Tensor) -> tf.Tensor:
        """See `Table`; all replicas must look up rows at the same time.

        The gradient of the own rows is IndexedSlices with a row for each replica that
        looked it up.
        """
        exchange = RowExchange(ids, current_collectives())
        return exchange.answers(tf.gather(self.variable.value, exchange.requested))

    def assign(self, values: Any) -> None:
        """See `Table`; the rows of other replicas are ignored."""
        self.variable.assign(np.asarray(values)[self.replica :: self.replicas])
