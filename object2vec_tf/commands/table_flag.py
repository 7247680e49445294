"""The flag --table: where a model's token tables are."""

from __future__ import annotations

from absl import flags

from object2vec_tf.errors import UserError
from object2vec_tf.tables.outside_tables import MEMORY, MMAP

TABLE = flags.DEFINE_enum(
    "table",
    None,
    [MEMORY, MMAP],
    "where token tables are: memory, or mmap to read rows from the files of a model "
    "whose tables are outside, so that they need no memory (default: mmap if the model "
    "is one, else memory)",
)


def check_table_of_flag(runtime: str) -> None:
    """Checks that the runtime of a model can read its tables from files.

    Args:
        runtime: tensorflow or onnx.

    Raises:
        UserError: It cannot.
    """
    if TABLE.value == MMAP and runtime != "tensorflow":
        raise UserError(
            f"--table={MMAP}: expected --runtime=tensorflow, got {runtime}, whose "
            "models have their tables inside. Remove --table."
        )
