"""The token tables of a model by name."""

from __future__ import annotations

from typing import Any

from object2vec_tf.layers.table_placement import Table
from object2vec_tf.model.builders import tables_of
from object2vec_tf.tables.table_reader import TableReader
from object2vec_tf.tables.variable_rows import VariableReader


def named_tables(model: Any) -> dict[str, Table]:
    """Returns the token tables of a model.

    Args:
        model: The `Object2Vec` model.

    Returns:
        The tables by names such as ``enc0.embeddings``; a table that both encoders
        share is that of encoder 0.

    Example:
        >>> import object2vec_tf as o2v
        >>> from object2vec_tf.model.table_names import named_tables
        >>> settings = {"enc0_network": "pooled_embedding", "enc0_max_seq_len": 3}
        >>> model = o2v.Object2Vec(settings | {"enc0_vocab_size": 10, "enc_dim": 4})
        >>> {name: (table.rows, table.width)
        ...  for name, table in named_tables(model).items()}
        {'enc0.embeddings': (10, 4), 'enc1.embeddings': (10, 4)}
    """
    found: dict[str, Table] = {}
    for number, encoder in enumerate((model.enc0, model.enc1)):
        for attribute, table in tables_of(encoder).items():
            if not any(table is other for other in found.values()):
                found[f"enc{number}.{attribute}"] = table
    return found


def variable_readers(model: Any) -> dict[str, TableReader]:
    """Returns readers of the token tables that a model has in memory.

    Args:
        model: The `Object2Vec` model.

    Returns:
        The readers by the names of `named_tables`.
    """
    return {
        name: VariableReader(table.variable.value)
        for name, table in named_tables(model).items()
        if table.variable is not None
    }
