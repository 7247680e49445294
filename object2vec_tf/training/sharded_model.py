"""The model of the best epoch of a run with sharded tables, when training has ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from object2vec_tf.files.atomic import atomic_file
from object2vec_tf.layers.precision import policy_of
from object2vec_tf.layers.substitute_tables import SmallTables
from object2vec_tf.model.assembly import (
    variables_without_tables,
    with_whole_tables,
    write_keras_file,
)
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.model.table_names import named_tables
from object2vec_tf.tables.table_reader import TableReader
from object2vec_tf.tables.variable_rows import VariableReader
from object2vec_tf.training.checkpoints import read_variables
from object2vec_tf.training.preparation import PreparedRun
from object2vec_tf.training.table_shards import read_table


def assemble_model(run: PreparedRun, best: Path) -> Object2Vec:
    """Writes the model of a run, and returns it with its tables in memory.

    No table is in memory twice. The file has no optimizer: its state is in the
    checkpoints.

    Args:
        run: The run; this process is the chief, and has released its training state.
        best: The weights of the best epoch, as `ShardedCheckpoints.keep_best` writes
            them.

    Raises:
        OSError: A file cannot be read or written.
    """
    model = _model_without_tables(run, best)
    tables = {name: read_table(best, name) for name in named_tables(model)}
    with atomic_file(run.directory.model) as path:
        write_keras_file(path, model, tables)
    whole = with_whole_tables(model, tables)
    whole.compile(steps_per_epoch=len(run.channels["train"].dataset(shuffle=True)))
    return whole


def tables_of_model(model: Object2Vec) -> Mapping[str, TableReader]:
    """Returns the rows of a model's tables by name, without a copy of a table."""
    tables = {}
    for name, table in named_tables(model).items():
        assert table.variable is not None
        tables[name] = VariableReader(table.variable.value)
    return tables


def _model_without_tables(run: PreparedRun, best: Path) -> Object2Vec:
    """Returns a model with small tables, and all other weights of the best epoch."""
    model = Object2Vec(
        run.hyperparameters,
        seed=run.options.seed,
        tokenizers=run.text_assets.tokenizers,
        frozen=run.options.freeze,
        id_words=run.text_assets.id_words,
        placement=SmallTables(),
        dtype=policy_of(run.options.precision),
    )
    weights = [variable.value for variable in variables_without_tables(model)]
    read_variables(best, {"model": weights})
    return model
