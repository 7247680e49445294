"""The Parquet files of tables that are exported beside a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from object2vec_tf.files.atomic import link_or_copy
from object2vec_tf.inference.table_rows import TABLES_FILE
from object2vec_tf.layers.outside_tables import MappedColumns
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.model.table_names import named_tables, variable_readers
from object2vec_tf.tables.mapped_table import MappedTable
from object2vec_tf.tables.outside_tables import (
    TABLES,
    OutsideTable,
    RowTable,
    check_size,
    joined_reader,
    open_tables,
    outside_tables,
    tables_by_side,
)
from object2vec_tf.tables.parquet_layout import TABLE_DIGESTS
from object2vec_tf.tables.parquet_writer import part_files, write_parquet_table
from object2vec_tf.tables.table_reader import TableReader
from object2vec_tf.text.table_words import table_words

# Tables by the names of `object2vec_tf.model.table_names.named_tables`.
Readers = Mapping[str, TableReader]


def readers_of_files(model: Object2Vec) -> Readers | None:
    """Returns readers of tables that the model reads from files; None for others.

    Args:
        model: The model.
    """
    tables = named_tables(model)
    readers = {
        name: table.reader
        for name, table in tables.items()
        if isinstance(table, MappedColumns)
    }
    return readers or None


def write_table_files(
    model: Object2Vec, directory: Path, readers: Readers | None
) -> dict[int, RowTable]:
    """Writes the tables of a model, and ``tables.json``, which describes them.

    Files that are already in the layout of an export are linked, not copied.

    Args:
        model: The model, which knows the words of its ids.
        directory: The directory of the SavedModel.
        readers: The tables; None for those in the model's variables.

    Returns:
        The written table of each side.

    Raises:
        UserError: A table has another size than the model's.
    """
    hyperparameters = model.hyperparameters
    specs = outside_tables(hyperparameters)
    readers = readers or variable_readers(model)
    for spec in specs:
        reader, target = joined_reader(spec, readers), directory / TABLES / spec.name
        check_size(spec.name, reader, spec)
        if isinstance(reader, MappedTable):
            _link(reader, target)
            continue
        words = table_words(spec.rows, spec.sides, model.tokenizers, model.id_words)
        write_parquet_table(reader, target, words)
    path = directory / TABLES_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(_description(specs), encoding="utf-8")
    written = open_tables(hyperparameters, directory / TABLES, verify=False)
    return tables_by_side(hyperparameters, written)


def _link(table: MappedTable, target: Path) -> None:
    target.mkdir(parents=True)
    for path in [*part_files(table.directory), table.directory / TABLE_DIGESTS]:
        link_or_copy(path, target / path.name)


def _description(specs: Iterable[OutsideTable]) -> str:
    """Returns the content of ``tables.json``."""
    tables = {
        spec.name: {
            "inputs": [f"in{side}" for side in spec.sides],
            "rows": spec.rows,
            "width": spec.width,
            "log_weights": spec.has_log_weights,
        }
        for spec in specs
    }
    return json.dumps({TABLES: tables}, indent=2) + "\n"
