"""The shards of a model's token tables as files: writing them, and reading them again.

Replica r of n writes the rows r, r + n, r + 2n, ... of each table, and what the
optimizer keeps for these rows, to files such as ``enc0.embeddings.00000-of-00003.npy``
and ``enc0.embeddings.momentum.00000-of-00003.npy``. A run with another number of
replicas reads the rows of its own shards from all files.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.files.digests import FileDigest
from object2vec_tf.model.table_names import named_tables
from object2vec_tf.optimizers.slots import slots_of
from object2vec_tf.tables.shard_files import RowFile, ShardedTableReader, write_rows
from object2vec_tf.tables.variable_rows import VariableReader, assign_rows

_FILE = "{}.{:05d}-of-{:05d}.npy"
_NAME = re.compile(r"(?P<name>.+)\.\d{5}-of-(?P<shards>\d{5})\.npy")


@dataclasses.dataclass(frozen=True)
class ShardedVariables:
    """The variables of a replica that have only the rows of its shard.

    Attributes:
        replica: Index of the replica, which is that of the shard.
        replicas: Number of replicas.
        tables: The tables by name.
        slots: The variables of the optimizer for them, by name.
    """

    replica: int
    replicas: int
    tables: Mapping[str, keras.Variable]
    slots: Mapping[str, keras.Variable]

    def __contains__(self, variable: Any) -> bool:
        """Returns whether a Keras variable is one of them."""
        return any(variable is own for own in self._all().values())

    def write_tables(self, directory: Path) -> dict[str, FileDigest]:
        """Writes the rows of the shard, without the optimizer's variables.

        Args:
            directory: The directory. It becomes visible later.

        Returns:
            The digests of the files by name.

        Raises:
            OSError: A file cannot be written.
        """
        return self._write(directory, self.tables)

    def write_slots(self, directory: Path) -> dict[str, FileDigest]:
        """Writes the optimizer's variables of the shard; see `write_tables`."""
        return self._write(directory, self.slots)

    def _write(
        self, directory: Path, variables: Mapping[str, keras.Variable]
    ) -> dict[str, FileDigest]:
        digests = {}
        for name, variable in variables.items():
            file = _FILE.format(name, self.replica, self.replicas)
            reader = VariableReader(variable.value)
            digests[file] = write_rows(directory / file, reader)
        return digests

    def release(self) -> None:
        """Frees the memory of the variables, which must not be used again.

        On a CPU, TensorFlow keeps the memory for tensors that are not larger.
        """
        # `DestroyResourceOp` does nothing, and functions that were traced keep handles.
        for variable in self._all().values():
            tf.raw_ops.AssignVariableOp(
                resource=variable.value.handle,
                value=tf.zeros([0], variable.dtype),
                validate_shape=False,
            )

    def read(self, directory: Path) -> None:
        """Reads the rows of the shard; another number of replicas may have written.

        Args:
            directory: The directory, which has the optimizer's variables too.

        Raises:
            OSError: A file is missing or cannot be read.
            ValueError: A file has other rows.
        """
        for name, variable in self._all().items():
            table = open_shards(directory, name)
            assign_rows(variable.value, table, self.replica, self.replicas)

    def _all(self) -> dict[str, keras.Variable]:
        return {**self.tables, **self.slots}


def sharded_variables(model: Any, replica: int, replicas: int) -> ShardedVariables:
    """Returns the variables of a replica that have only the rows of its shard.

    A single replica has whole tables, which are a single shard.

    Args:
        model: The compiled `Object2Vec` model, whose optimizer is built.
        replica: Index of the replica.
        replicas: Number of replicas.
    """
    tables, slots = {}, {}
    for name, table in named_tables(model).items():
        variable = table.variable
        if variable is None:
            continue
        tables[name] = variable
        # Keras names a slot by the path of its variable.
        prefix = variable.path.replace("/", "_") + "_"
        for slot in slots_of(model.optimizer, variable):
            slots[f"{name}.{slot.name.removeprefix(prefix)}"] = slot
    return ShardedVariables(replica, replicas, tables, slots)


def open_shards(directory: Path, name: str) -> ShardedTableReader:
    """Returns a table that several replicas wrote.

    Args:
        directory: The directory of the shards.
        name: The name of the table.

    Raises:
        OSError: A shard is missing or cannot be read.
        ValueError: The shards are not those of one table.
    """
    shards = _shards(directory, name)
    files = [directory / _FILE.format(name, shard, shards) for shard in range(shards)]
    return ShardedTableReader([RowFile(file) for file in files])


def _shards(directory: Path, name: str) -> int:
    """Returns the number of shards of a table."""
    for path in directory.glob("*.npy"):
        match = _NAME.fullmatch(path.name)
        if match and match["name"] == name:
            return int(match["shards"])
    raise FileNotFoundError(f"{directory / name}: expected shards, found none")
