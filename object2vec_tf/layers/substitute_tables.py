"""Substitutes for token tables, in models that are saved before their tables are.

The files are then written again with the rows of the tables: see
`object2vec_tf.tables.keras_tables` and `object2vec_tf.tables.saved_model_tables`.
"""

from __future__ import annotations

import dataclasses

import keras

from object2vec_tf.layers.table_placement import (
    Table,
    TablePlacement,
    TableSpec,
    WholeTable,
    WholeTables,
    table_weight,
)
from object2vec_tf.tables.keras_tables import PLACEHOLDER_ROWS
from object2vec_tf.tables.saved_model_tables import unsized_variable


class EmptyTables(WholeTables):
    """Whole tables of zeros, whose rows are assigned next.

    Random initial values would take the memory of a second table.
    """

    def add_table(self, layer: keras.layers.Layer, spec: TableSpec) -> Table:
        """See `TablePlacement`."""
        return super().add_table(layer, _with_zeros(spec))


class SmallTables(TablePlacement):
    """Weights of a few rows in place of tables, for a ``.keras`` file."""

    def add_table(self, layer: keras.layers.Layer, spec: TableSpec) -> Table:
        """See `TablePlacement`."""
        weight = table_weight(layer, _with_zeros(spec), PLACEHOLDER_ROWS)
        return WholeTable(*spec.shape, weight)


class UnsizedTables(TablePlacement):
    """Weights of any number of rows in place of tables, for a SavedModel."""

    def add_table(self, layer: keras.layers.Layer, spec: TableSpec) -> Table:
        """See `TablePlacement`."""
        weight = table_weight(layer, _with_zeros(spec), 1)
        # Keras 3.15 has no weights whose number of rows is unknown.
        weight._value = unsized_variable(spec.shape[1], weight.path)
        return WholeTable(*spec.shape, weight)


def _with_zeros(spec: TableSpec) -> TableSpec:
    return dataclasses.replace(spec, initializer="zeros")
