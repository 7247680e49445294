"""Loading of a saved model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import keras

from object2vec_tf.errors import UserError
from object2vec_tf.files.digests import typed_digests, verify_files
from object2vec_tf.files.downloads import (
    RemoteFile,
    list_files,
    stage_below,
    stage_files,
)
from object2vec_tf.files.remote import is_remote, local_path
from object2vec_tf.files.sealed_json import parse_sealed
from object2vec_tf.layers.outside_tables import MappedTables
from object2vec_tf.layers.table_placement import (
    WHOLE_TABLES,
    TablePlacement,
    placing_loaded_tables,
)
from object2vec_tf.model.keras_archive import archived_asset, verify_archive
from object2vec_tf.model.keras_state import OUTSIDE
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.tables.mapped_table import MappedTable
from object2vec_tf.tables.outside_tables import TABLES

# The run of a study's best trial.
_BEST_RUN = "best"
_FIX = "Give the model.keras of a finished run, or train again with --overwrite."
_COPY_TABLES = "Copy the whole run again: model.keras and its tables belong together."


def load(path: str | os.PathLike[str]) -> Object2Vec:
    """Returns the model of a run.

    Args:
        path: A run directory, the directory of a study, whose best run is used, or a
            ``.keras`` file.

    Raises:
        UserError: There is no such model, the run has not finished, or the file is
            damaged.

    Example:
        >>> import object2vec_tf as o2v
        >>> o2v.Object2Vec(
        ...     {
        ...         "enc0_network": "pooled_embedding",
        ...         "enc0_vocab_size": 10,
        ...         "enc0_max_seq_len": 3,
        ...         "enc_dim": 4,
        ...     }
        ... ).save("model.keras")
        >>> model = o2v.load("model.keras")
        >>> model.embed([[3], [4, 5]], encoder=1).shape
        (2, 4)
    """
    return load_object2vec(model_file(path))


def model_file(path: str | os.PathLike[str]) -> Path:
    """Returns the ``.keras`` file that a path refers to.

    Args:
        path: As for `load`.

    Raises:
        UserError: There is none.
    """
    if is_remote(path):
        return _remote_model_file(os.fspath(path))
    given = local_path(path)
    if not given.exists():
        raise UserError(
            f"{given}: no such model. Give a run directory or a .keras file."
        )
    if not given.is_dir():
        return given
    for directory in (given, given / _BEST_RUN):
        run = RunDirectory(directory)
        if run.model.exists():
            return run.model
        if run.is_started():
            raise UserError(
                f"{directory}: the run has no {run.model.name} yet. Wait until it has "
                "finished, or resume it by its command."
            )
    raise UserError(
        f"{given}: expected a run directory, found no {RunDirectory(given).model.name}."
        " Give a run directory or a .keras file, not an exported model."
    )


def _remote_model_file(url: str) -> Path:
    """Returns the local copy of the ``.keras`` file that a URL refers to.

    Raises:
        UserError: There is none.
    """
    files = {file.name: file for file in list_files(url)}
    name = RunDirectory(Path()).model.name
    for candidate in ("", name, f"{_BEST_RUN}/{name}"):
        if candidate in files:
            return _stage_model(url, files, candidate)
    if not files:
        raise UserError(f"{url}: no such model. Give a run directory or a .keras file.")
    raise UserError(
        f"{url}: expected a run directory, found no {name}. Give the directory of a "
        "finished run or a .keras file, not an exported model."
    )


def _stage_model(url: str, files: Mapping[str, RemoteFile], name: str) -> Path:
    """Returns the local copy of a ``.keras`` file, beside those of its tables."""
    directory, _, file = name.rpartition("/")
    prefix = f"{directory}/{TABLES}/".removeprefix("/")
    tables = [files[each] for each in files if each.startswith(prefix)]
    if not (name and tables):
        return stage_files([files[name]])[0]
    return stage_below(url, [files[name], *tables], directory or ".") / file


def load_object2vec(
    path: str | os.PathLike[str], *, compile: bool = True
) -> Object2Vec:
    """Returns the model in a ``.keras`` file.

    Args:
        path: The file.
        compile: Whether to load the optimizer too.

    Raises:
        UserError: The file cannot be opened, is damaged, or holds another kind of
            model; or its token tables are outside, and are missing or damaged.
    """
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise UserError(
            f"{path}: the model cannot be opened: {error.strerror}. {_FIX}"
        ) from error
    verify_archive(Path(path), _FIX)
    placement = _placement(Path(path))
    try:
        with placing_loaded_tables(placement):
            model = keras.models.load_model(path, compile=compile)
    except (MemoryError, UserError):
        raise
    except Exception as error:  # Keras raises errors of many classes
        raise UserError(
            f"{path}: expected a Keras model, got a damaged or foreign file. {_FIX}"
        ) from error
    if not isinstance(model, Object2Vec):
        raise UserError(
            f"{path}: expected an Object2Vec model, got {type(model).__name__}. {_FIX}"
        )
    return model


def _placement(path: Path) -> TablePlacement:
    """Returns the placement of a saved model's tables, which may be beside it.

    Raises:
        UserError: They are, and are missing, damaged, or those of another model.
    """
    description = archived_asset(path, OUTSIDE)
    if description is None:
        return WHOLE_TABLES
    record = parse_sealed(description, f"{path}", _FIX, is_sealed=True)
    files = typed_digests(record, path, _FIX)
    verify_files(path.parent, files, _COPY_TABLES)
    directories = [(path.parent / name).parent for name in files]
    return MappedTables({each.name: MappedTable(each) for each in directories})
