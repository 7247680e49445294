"""The flag --table_limit, which fit and the export command have."""

from __future__ import annotations

from absl import flags

from object2vec_tf.tables.limit import TABLE_LIMIT

TABLE_LIMIT_FLAG = flags.DEFINE_float(
    "table_limit",
    None,
    "size of token tables in GB up to which they are written into the SavedModel; "
    "larger ones are written as Parquet files beside it, from which the gateway and "
    f"transform read rows; 0: always (default: {TABLE_LIMIT:g}; 0 for sharded tables "
    "that do not fit, as a whole, into the memory of the first worker)",
    0.0,
)


def table_limit_of_flag() -> float:
    """Returns the value of --table_limit, or its default for a finished model."""
    value = TABLE_LIMIT_FLAG.value
    return TABLE_LIMIT if value is None else float(value)
