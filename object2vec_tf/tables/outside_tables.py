"""The tables of a model whose rows are in files beside it, and not in it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from object2vec_tf.errors import UserError
from object2vec_tf.files.digests import FileDigest, digests_of_files
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.tables.mapped_table import MappedTable
from object2vec_tf.tables.parquet_layout import TABLE_DIGESTS
from object2vec_tf.tables.table_reader import (
    ITEM_BYTES,
    Rows,
    SideBySide,
    TableColumns,
    TableReader,
)

# The directory of the tables in a run or in an exported model. It has one for each.
TABLES: Final = "tables"
# Where a program that uses a model has the rows of its tables.
MEMORY: Final = "memory"
MMAP: Final = "mmap"
_GIGABYTE: Final = 1e9


class RowTable(TableReader, Protocol):
    """A table that can be read by ids."""

    def take(self, ids: npt.NDArray[np.integer]) -> Rows:
        """Returns the rows of ids, float32 ``[ids, width]``."""


@dataclasses.dataclass(frozen=True)
class OutsideTable:
    """A table with all that a model knows about each token.

    Attributes:
        name: enc0 or enc1, the first encoder that uses the table.
        sides: The sides that use it: 0, 1 or both.
        rows: Number of tokens.
        dim: Width of a token's vector.
        has_log_weights: Whether each row ends with the logarithm of the token's weight.
    """

    name: str
    sides: tuple[int, ...]
    rows: int
    dim: int
    has_log_weights: bool

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.dim + self.has_log_weights

    @property
    def nbytes(self) -> int:
        """Size of the table."""
        return self.rows * self.width * ITEM_BYTES


def outside_tables(hyperparameters: Hyperparameters) -> tuple[OutsideTable, ...]:
    """Returns the tables of a model: one for each encoder, or a shared one.

    Args:
        hyperparameters: The model's. The n-grams of subwords are not among the tables.

    Example:
        >>> import object2vec_tf as o2v
        >>> from object2vec_tf.tables.outside_tables import outside_tables
        >>> hyperparameters = o2v.Hyperparameters(
        ...     enc0_network="pooled_embedding",
        ...     enc0_vocab_size=10,
        ...     enc0_max_seq_len=3,
        ...     enc_dim=4,
        ...     pooling="weighted",
        ...     tied_token_embedding_weight=True,
        ... )
        >>> [table] = outside_tables(hyperparameters)
        >>> table.name, table.sides, table.rows, table.width
        ('enc0', (0, 1), 10, 5)
    """
    tied = hyperparameters.tied_token_embedding_weight
    return tuple(
        OutsideTable(
            f"enc{sides[0]}",
            sides,
            int(hyperparameters.of_encoder(sides[0], "vocab_size")),
            int(hyperparameters.of_encoder(sides[0], "token_embedding_dim")),
            any(map(hyperparameters.weights_tokens, sides)),
        )
        for sides in (((0, 1),) if tied else ((0,), (1,)))
    )


def are_outside(hyperparameters: Hyperparameters, table_limit: float) -> bool:
    """Returns whether the tables of a model are written outside of it.

    Args:
        hyperparameters: The model's.
        table_limit: The largest size of all tables in a model in GB; 0 for no table.

    Raises:
        UserError: The tables are larger, and those of subwords, which are always in
            the model.
    """
    size = sum(table.nbytes for table in outside_tables(hyperparameters))
    if table_limit and size <= table_limit * _GIGABYTE:
        return False
    for side in (0, 1):
        if hyperparameters.subwords(side) is not None:
            raise UserError(
                f"table_limit: expected at least {_rounded_up(size)} GB for a model "
                f"with enc{side}_subword_ngrams, whose tables are always in the model, "
                f"got {table_limit:g}. Raise table_limit, or train without subwords."
            )
    return True


def _rounded_up(size: int) -> str:
    """Returns a number of GB with two decimals that is a sufficient limit."""
    return f"{math.ceil(100 * size / _GIGABYTE) / 100:.2f}"


def open_tables(
    hyperparameters: Hyperparameters, directory: Path, *, verify: bool = True
) -> dict[str, MappedTable]:
    """Maps the tables of a model.

    Args:
        hyperparameters: The model's.
        directory: The directory with one directory for each table.
        verify: Whether to compare the checksums of all files first.

    Returns:
        The tables by name.

    Raises:
        UserError: A table is missing or damaged, or is that of another model.
    """
    tables = {}
    for spec in outside_tables(hyperparameters):
        table = MappedTable(directory / spec.name, verify=verify)
        check_size(f"{table.directory}", table, spec)
        tables[spec.name] = table
    return tables


def digests_of_tables(tables: Mapping[str, RowTable]) -> dict[str, FileDigest]:
    """Returns what identifies the files of tables: the digests of their digests.

    Args:
        tables: The tables by name.

    Returns:
        The digests by the names that the files have beside the model.

    Raises:
        OSError: The digests of a table cannot be read.
        UserError: A table is not in files.
    """
    digests = {}
    for name, table in tables.items():
        if not isinstance(table, MappedTable):
            raise UserError(
                f"{name}: expected a table in files, which the saved model refers to, "
                f"got {type(table).__name__}. Give the model a MappedTable."
            )
        (digest,) = digests_of_files(table.directory, [TABLE_DIGESTS]).values()
        digests[f"{TABLES}/{name}/{TABLE_DIGESTS}"] = digest
    return digests


def check_size(name: str, table: TableReader, spec: OutsideTable) -> None:
    """Checks that a table has the size of a model's table.

    Args:
        name: What the table is called in the message.
        table: The table.
        spec: The model's table.

    Raises:
        UserError: It has another size.
    """
    if (table.rows, table.width) != (spec.rows, spec.width):
        raise UserError(
            f"{name}: expected {spec.rows:,} rows of {spec.width} numbers, as the "
            f"model has them, got {table.rows:,} rows of {table.width}. Copy the model "
            "and its tables together."
        )


def joined_reader(
    spec: OutsideTable, readers: Mapping[str, TableReader]
) -> TableReader:
    """Returns the rows of a table: vectors, and perhaps the logarithms of weights.

    Args:
        spec: The table.
        readers: The tables of the model by the names of
            `object2vec_tf.model.table_names.named_tables`.
    """
    vectors, *log_weights = (
        readers[name]
        for attribute in ("embeddings", "log_weights")
        for side in spec.sides
        if (name := f"enc{side}.{attribute}") in readers
    )
    if isinstance(vectors, TableColumns):  # its rows have the weights too
        return vectors.table
    return SideBySide([vectors, *log_weights[:1]])


def tables_by_side(
    hyperparameters: Hyperparameters, tables: Mapping[str, RowTable]
) -> dict[int, RowTable]:
    """Returns the table of each side, 0 and 1.

    Args:
        hyperparameters: The model's.
        tables: The tables by name.
    """
    return {
        side: tables[spec.name]
        for spec in outside_tables(hyperparameters)
        for side in spec.sides
    }
