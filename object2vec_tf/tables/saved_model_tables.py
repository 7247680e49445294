"""Tables of a SavedModel, written in bounded memory.

``tf.saved_model.save`` takes each variable from memory. A module with large tables is
saved with variables of a few rows in their place, whose shape is ``[None, width]``. The
checkpoint in the SavedModel, ``variables/``, is then written again with the rows of the
tables, which TensorFlow's format for partitioned variables stores in slices. A program
that loads the SavedModel sees a single tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.tables.table_reader import TableReader, read_chunks

_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# Each part is a file of the SavedModel.
_PART_BYTES = 1 << 28


def unsized_variable(width: int, name: str) -> tf.Variable:
    """Returns a variable in place of a table, for `write_saved_model_tables`.

    Args:
        width: Number of columns.
        name: Its name, by which `write_saved_model_tables` finds it.
    """
    return tf.Variable(tf.zeros([1, width]), shape=[None, width], name=name)


def write_saved_model_tables(
    saved_model: Path,
    tables: Mapping[str, TableReader],
    max_bytes: int = _PART_BYTES,
) -> None:
    """Replaces variables of a SavedModel by tables of any size.

    Args:
        saved_model: The SavedModel, in a directory that becomes visible later.
        tables: The tables by the names of the variables in their place.
        max_bytes: Largest size of a part of a table. One part is in memory at a time.

    Raises:
        ValueError: The SavedModel has no such variable, or several.
        OSError: A file cannot be written.
    """
    variables = saved_model / "variables"
    (variables / "parts").mkdir()  # the merge removes it
    with tensorflow_path(variables) as folder:
        written = f"{folder}/variables"
        checkpoint = tf.train.load_checkpoint(written)
        keys = _checkpoint_keys(checkpoint, tables)
        prefixes = [f"{folder}/parts/others"]
        _copy_others(checkpoint, set(keys.values()), prefixes[0])
        for name, reader in tables.items():
            for part in _slices(keys[name], reader, max_bytes):
                prefixes.append(f"{folder}/parts/{len(prefixes)}")
                tf.raw_ops.SaveV2(prefix=prefixes[-1], **part)
        del checkpoint
        for file in variables.glob("variables.*"):
            file.unlink()
        tf.raw_ops.MergeV2Checkpoints(
            checkpoint_prefixes=prefixes, destination_prefix=written
        )


def _checkpoint_keys(checkpoint: Any, names: Mapping[str, Any]) -> dict[str, str]:
    """Returns the keys of variables in a checkpoint, by the names of the variables.

    Raises:
        ValueError: A name is not that of exactly one variable.
    """
    graph = TrackableObjectGraph.FromString(checkpoint.get_tensor(_OBJECT_GRAPH))
    attributes = [each for node in graph.nodes for each in node.attributes]
    keys = {}
    for name in names:
        found = {each.checkpoint_key for each in attributes if each.full_name == name}
        if len(found) != 1:
            raise ValueError(
                f"{name}: expected one variable of the SavedModel, found {len(found)}"
            )
        keys[name] = found.pop()
    return keys


def _copy_others(checkpoint: Any, tables: set[str], prefix: str) -> None:
    """Writes all tensors of a checkpoint except tables, the object graph included."""
    names = sorted(set(checkpoint.get_variable_to_shape_map()) - tables)
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(checkpoint.get_tensor(name)) for name in names],
    )


def _slices(key: str, reader: TableReader, max_bytes: int) -> Iterator[dict[str, Any]]:
    """Yields the arguments of ``SaveV2`` for each part of a table."""
    rows, width = reader.rows, reader.width
    for start, values in read_chunks(reader, max_bytes):
        yield {
            "tensor_names": [key],
            "shape_and_slices": [f"{rows} {width} {start},{len(values)}:0,{width}"],
            "tensors": [tf.constant(values)],
        }
