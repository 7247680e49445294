"""The flag --table_limit, which fit and the export command have."""

from __future__ import annotations

from absl import flags

from object2vec_tf.tables.limit import TABLE_LIMIT

TABLE_LIMIT_FLAG = flags.DEFINE_float(
    "table_limit",
    TABLE_LIMIT,
    "size of token tables in GB up to which they are written into the SavedModel; "
    "larger ones are written as Parquet files beside it, from which the gateway and "
    "transform read rows; 0: always",
    0.0,
)
