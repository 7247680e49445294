"""Tables of a ``.keras`` file, written in bounded memory.

Keras takes each weight from memory, and writes a model's weights in memory too. A model
with large tables is saved with small ones in their place. The file is then written
again with the tables: their rows are copied into the HDF5 file in the archive in
chunks.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from object2vec_tf.files.leftovers import full_disk_named, temporary_file
from object2vec_tf.tables.table_reader import Rows, TableReader, read_chunks

# The file of the weights in the archive.
_WEIGHTS = "model.weights.h5"
PLACEHOLDER_ROWS = 8


def placeholder_rows(table: int, width: int) -> Rows:
    """Returns the rows of a small table in place of a large one.

    Keras does not say where in the file it writes a weight. `write_keras_tables` finds
    these rows by their values, which no other weight has.

    Args:
        table: Index of the table in the model.
        width: Number of columns.

    Returns:
        float32 ``[8, width]``.
    """
    random = np.random.default_rng([0xB5297A4D, table])
    return random.normal(size=(PLACEHOLDER_ROWS, width)).astype(np.float32)


def write_keras_tables(
    source: Path, destination: Path, tables: Sequence[TableReader]
) -> None:
    """Writes a ``.keras`` file with large tables in place of small ones.

    Args:
        source: A ``.keras`` file. Table ``i`` of its model has the values of
            ``placeholder_rows(i, width)``.
        destination: The new file. The directory gets a temporary file of its size.
        tables: The tables.

    Raises:
        ValueError: The model has no such tables.
        OSError: The file cannot be written.
    """
    unpacked = destination.with_suffix(".h5")
    with (
        full_disk_named(destination, unpacked),
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(destination, "w") as new,
        temporary_file(unpacked) as weights,
    ):
        for member in old.infolist():
            if member.filename == _WEIGHTS:
                with old.open(member) as file, h5py.File(file, "r") as small:
                    _write_weights(small, weights, tables)
                new.write(weights, _WEIGHTS)
            else:
                new.writestr(member, old.read(member))


def _write_weights(small: Any, path: Path, tables: Sequence[TableReader]) -> None:
    """Writes the HDF5 file of the weights, with the tables."""
    placeholders = [placeholder_rows(i, t.width) for i, t in enumerate(tables)]
    places: list[str] = [""] * len(tables)

    # The temporary file is locked already.
    with h5py.File(path, "w", locking=False) as large:
        _copy_attributes(small, large)

        def copy(name: str, item: Any) -> None:
            if isinstance(item, h5py.Group):
                _copy_attributes(item, large.create_group(name))
                return
            values = item[()]
            for table, rows in enumerate(placeholders):
                if np.array_equal(values, rows):
                    places[table] = name
                    return
            small.copy(item, large, name)

        small.visititems(copy)
        if missing := [i for i, name in enumerate(places) if not name]:
            raise ValueError(f"tables {missing}: expected placeholders, found none")
        for name, reader in zip(places, tables, strict=True):
            shape = (reader.rows, reader.width)
            dataset = large.create_dataset(name, shape, np.float32)
            for start, rows in read_chunks(reader):
                dataset[start : start + len(rows)] = rows


def _copy_attributes(source: Any, destination: Any) -> None:
    for name, value in source.attrs.items():
        destination.attrs[name] = value
