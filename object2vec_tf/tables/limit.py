"""The size up to which an exported model contains its token tables."""

from __future__ import annotations

from object2vec_tf.errors import UserError

# Gigabytes (10**9 bytes).
TABLE_LIMIT = 8.0


def check_table_limit(value: object) -> float:
    """Returns the argument ``table_limit``.

    Args:
        value: Gigabytes; 0 for no tables in the model.

    Raises:
        UserError: It is not a number of gigabytes.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise UserError(
        f"table_limit: expected a number of gigabytes, at least 0, got {value!r:.60}."
    )
