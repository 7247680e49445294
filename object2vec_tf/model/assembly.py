"""Models that are assembled from token tables and all other weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras

from object2vec_tf.files.leftovers import temporary_file
from object2vec_tf.layers.substitute_tables import EmptyTables, SmallTables
from object2vec_tf.layers.table_placement import TablePlacement
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.model.table_names import named_tables
from object2vec_tf.tables.keras_tables import placeholder_rows, write_keras_tables
from object2vec_tf.tables.table_reader import TableReader
from object2vec_tf.tables.variable_rows import assign_rows


def variables_without_tables(model: Object2Vec) -> list[keras.Variable]:
    """Returns the weights and random states of a model, except token tables.

    The list is in the same order wherever the tables are placed.

    Args:
        model: The model.
    """
    tables = {id(table.variable) for table in named_tables(model).values()}
    tables |= {id(variable) for variable in model.metrics_variables}
    return [variable for variable in model.variables if id(variable) not in tables]


def with_placement(model: Object2Vec, placement: TablePlacement) -> Object2Vec:
    """Returns a new model with another placement of tables, and all other weights.

    Args:
        model: The model. Its tables are not read.
        placement: Where the new model's tables are.
    """
    other = Object2Vec(
        model.hyperparameters,
        seed=model.seed,
        tokenizers=model.tokenizers,
        frozen=model.frozen,
        id_words=model.id_words,
        placement=placement,
        dtype=model.dtype_policy,
    )
    for new, old in zip(
        variables_without_tables(other), variables_without_tables(model), strict=True
    ):
        new.assign(old)
    return other


def with_whole_tables(
    model: Object2Vec, tables: Mapping[str, TableReader]
) -> Object2Vec:
    """Returns a new model whose tables are in memory, each of them once.

    Args:
        model: The model with all other weights.
        tables: The rows of the tables by name; see `named_tables`.
    """
    whole = with_placement(model, EmptyTables())
    for name, table in named_tables(whole).items():
        assert table.variable is not None
        assign_rows(table.variable.value, tables[name])
    return whole


def write_keras_file(
    path: Path, model: Object2Vec, tables: Mapping[str, TableReader]
) -> None:
    """Writes a ``.keras`` file in bounded memory, without an optimizer.

    Args:
        path: The file. The directory gets a temporary file of its size.
        model: The model with all other weights.
        tables: The rows of the tables by name; see `named_tables`.

    Raises:
        OSError: The file cannot be written.
    """
    small = with_placement(model, SmallTables())
    readers = []
    for index, (name, table) in enumerate(named_tables(small).items()):
        assert table.variable is not None
        table.variable.assign(placeholder_rows(index, table.width))
        readers.append(tables[name])
    with temporary_file(path) as source:
        small.save(source)
        write_keras_tables(source, path, readers)
