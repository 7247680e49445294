"""Objects of Keras models as RaggedTensors: those of Python, and tensors in graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from object2vec_tf.errors import DataError
from object2vec_tf.inference.python_inputs import side_column
from object2vec_tf.layers.object_ids import clean_ids, whole_numbers
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.ragged.token_ids import IdLimits
from object2vec_tf.text.tokenizer import Tokenizer


def is_traced(objects: Any) -> bool:
    """Returns whether objects are tensors of a graph, whose values are not known."""
    tensor = objects.values if isinstance(objects, tf.RaggedTensor) else objects
    return tf.is_tensor(tensor) and not hasattr(tensor, "numpy")


def pair_of(inputs: Any) -> dict[str, Any]:
    """Returns the inputs of pairs as a mapping of in0, in1 and possibly others.

    Args:
        inputs: A mapping, or a list or tuple of two: the objects of in0, and those of
            in1.

    Raises:
        DataError: They are something else.

    Example:
        >>> from object2vec_tf.inference.tensor_inputs import pair_of
        >>> pair_of(([[3]], [[7], [8]]))
        {'in0': [[3]], 'in1': [[7], [8]]}
    """
    if isinstance(inputs, Mapping):
        if not {"in0", "in1"} <= set(inputs):
            raise DataError(
                "inputs: expected the keys in0 and in1, got "
                f"{', '.join(map(str, inputs)) or 'none'}."
            )
        return dict(inputs)
    if isinstance(inputs, list | tuple) and len(inputs) == 2:
        return {"in0": inputs[0], "in1": inputs[1]}
    count = f" of {len(inputs)}" if isinstance(inputs, list | tuple) else ""
    raise DataError(
        'inputs: expected {"in0": ..., "in1": ...} or (in0, in1), the objects of each '
        f"side, got {type(inputs).__name__}{count}. For rows of pairs, call "
        "Object2Vec.score; batches of a dataset are ((in0, in1), labels)."
    )


def clean_side(
    objects: Any,
    name: str,
    limits: IdLimits,
    tokenizer: Tokenizer | None = None,
) -> tf.RaggedTensor:
    """Returns objects of Python without padding, cut at their maximum length.

    Args:
        objects: As for `object2vec_tf.inference.python_inputs.object_inputs`. Integers
            are always token ids.
        name: The side: in0 or in1.
        limits: The limits of objects.
        tokenizer: The tokenizer of a side that may be text.

    Returns:
        Integers ``[objects, (time)]``; a clean RaggedTensor as it is.

    Raises:
        DataError: An object is invalid.
    """
    if isinstance(objects, tf.RaggedTensor) and _is_clean(objects, limits):
        return objects.with_row_splits_dtype(tf.int64)  # as in the input pipeline
    column = side_column(objects, name, limits.size, tokenizer)
    column, _ = column.truncate(limits.max_len, limits.continued_from)
    return as_tensor(column)


def as_tensor(column: RaggedColumn) -> tf.RaggedTensor:
    """Returns a column as a RaggedTensor int32 ``[rows, (time)]``."""
    return tf.RaggedTensor.from_row_splits(
        column.values, column.row_splits, validate=False
    )


def _is_clean(ids: tf.RaggedTensor, limits: IdLimits) -> bool:
    """Returns whether a RaggedTensor in Python needs no change."""
    if ids.ragged_rank != 1 or ids.dtype not in (tf.int32, tf.int64):
        return False
    values, splits = ids.values.numpy(), ids.row_splits.numpy()
    if values.ndim != 1:
        return False
    longest = np.diff(splits).max(initial=0)
    lowest, highest = values.min(initial=0), values.max(initial=0)
    return bool(longest <= limits.max_len and lowest >= 0 and highest < limits.size)


def traced_side(objects: Any, name: str, limits: IdLimits) -> tf.RaggedTensor:
    """Returns objects without padding, cut at their maximum length; also in graphs.

    Args:
        objects: As for `object2vec_tf.layers.object_ids.clean_ids`.
        name: The side: in0 or in1.
        limits: The limits of objects.
    """
    return clean_ids(objects, limits, name)


def integers(objects: Any, name: str) -> Any:
    """Returns the ids in tensors as integers, which Keras does not cast to 16 bits.

    Args:
        objects: Tensors of a graph.
        name: The side: in0 or in1.
    """
    if isinstance(objects, tf.RaggedTensor):
        return objects.with_values(integers(objects.values, name))
    return whole_numbers(objects, name)
