"""The rows of tables that are outside of a model, as inputs of its signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.inference.exported_files import ASSETS
from object2vec_tf.inference.ragged_inputs import PADDING, Ids
from object2vec_tf.inference.signature_defs import SignatureDefs
from object2vec_tf.tables.outside_tables import RowTable
from object2vec_tf.tables.table_reader import Rows

Array = npt.NDArray[Any]

# Describes the tables of an exported model; a model with its tables inside has none.
TABLES_FILE = f"{ASSETS}/tables.json"
# The inputs of rows.
ROWS = ("rows0", "rows1")


def positions_and_rows(ids: Ids, table: RowTable) -> tuple[Ids, Rows]:
    """Reads each row that ids refer to once.

    Args:
        ids: Valid ids and padding, int64 ``[batch, time]``.
        table: The table.

    Returns:
        The positions of the ids in the rows, and -1 as padding, int64
        ``[batch, time]``; and the rows, float32 ``[unique, width]``.

    Example:
        >>> import numpy as np
        >>> from object2vec_tf.inference.table_rows import positions_and_rows
        >>> from object2vec_tf.tables.table_reader import ArrayReader
        >>> table = ArrayReader(np.array([[0.5], [1.5], [2.5]]))
        >>> positions, rows = positions_and_rows(np.array([[2, 0, 2, -1]]), table)
        >>> positions.tolist(), rows.tolist()
        ([[1, 0, 1, -1]], [[0.5], [2.5]])
    """
    unique, positions = np.unique(ids, return_inverse=True)
    first = np.searchsorted(unique, 0)  # 1 with padding
    positions = positions.reshape(ids.shape).astype(np.int64, copy=False) - first
    return np.where(positions < 0, PADDING, positions), table.take(unique[first:])


def without_rows(signature_defs: SignatureDefs) -> SignatureDefs:
    """Returns signatures without the inputs of rows, as clients of a model call them.

    Args:
        signature_defs: The JSON of each SignatureDef, by the signature's name.
    """
    return {
        name: signature
        | {
            "inputs": {
                key: value
                for key, value in signature["inputs"].items()
                if key not in ROWS
            }
        }
        for name, signature in signature_defs.items()
    }


def with_rows(
    inputs: Mapping[str, Ids], tables: Mapping[int, RowTable]
) -> dict[str, Array]:
    """Returns the inputs of a signature that takes rows, for one that takes ids.

    Args:
        inputs: in0, in1 or both, int64 ``[batch, time]``; and others, which are kept.
        tables: The table of each side.
    """
    result: dict[str, Array] = dict(inputs)
    for side, table in tables.items():
        if (name := f"in{side}") in inputs:
            ids = inputs[name]
            result[name], result[ROWS[side]] = positions_and_rows(ids, table)
    return result
