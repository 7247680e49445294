"""The model of the best epoch of a run with sharded tables, when training has ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from object2vec_tf.files.atomic import atomic_directory, atomic_file, remove
from object2vec_tf.layers.outside_tables import MappedTables
from object2vec_tf.layers.precision import policy_of
from object2vec_tf.layers.substitute_tables import SmallTables
from object2vec_tf.model.assembly import (
    variables_without_tables,
    with_placement,
    with_whole_tables,
    write_keras_file,
)
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.model.table_names import named_tables
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.tables.outside_tables import (
    are_outside,
    joined_reader,
    open_tables,
    outside_tables,
)
from object2vec_tf.tables.parquet_writer import write_parquet_table
from object2vec_tf.tables.table_reader import TableReader
from object2vec_tf.text.table_words import table_words
from object2vec_tf.training.checkpoints import read_variables
from object2vec_tf.training.preparation import PreparedRun
from object2vec_tf.training.table_limit import given_limit
from object2vec_tf.training.table_shards import open_shards


def assemble_model(run: PreparedRun, best: Path) -> Object2Vec:
    """Writes the model of a run, and returns it.

    The file has no optimizer: its state is in the checkpoints. Up to ``table_limit``,
    the file has the tables, and the returned model has them in memory, each of them
    once. Larger tables are written to `RunDirectory.tables`, from which the model reads
    rows.

    Args:
        run: The run; this process is the chief, and has released its training state.
        best: The weights of the best epoch, as `ShardedCheckpoints.keep_best` writes
            them.

    Raises:
        OSError: A file cannot be read or written.
    """
    model = _model_without_tables(run, best)
    tables = {name: open_shards(best, name) for name in named_tables(model)}
    if are_outside(run.hyperparameters, given_limit(run.options)):
        model = _write_outside(run.directory, model, tables)
    else:
        with atomic_file(run.directory.model) as path:
            write_keras_file(path, model, tables)
        remove(run.directory.tables)  # of fewer epochs, with another limit
        model = with_whole_tables(model, tables)
    model.compile(steps_per_epoch=len(run.channels["train"].dataset(shuffle=True)))
    return model


def _write_outside(
    directory: RunDirectory, model: Object2Vec, tables: Mapping[str, TableReader]
) -> Object2Vec:
    """Writes tables as files, and a model that reads them; returns that model."""
    # An earlier model must not be found with these tables.
    remove(directory.model)
    remove(directory.tables)
    with atomic_directory(directory.tables) as temporary:
        for spec in outside_tables(model.hyperparameters):
            words = table_words(spec.rows, spec.sides, model.tokenizers, model.id_words)
            reader = joined_reader(spec, tables)
            write_parquet_table(reader, temporary / spec.name, words)
    mapped = open_tables(model.hyperparameters, directory.tables, verify=False)
    outside = with_placement(model, MappedTables(mapped))
    with atomic_file(directory.model) as path:
        outside.save(path)
    return outside


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
