"""Loading of a saved model."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import keras

from object2vec_tf.errors import UserError
from object2vec_tf.model.object2vec import Object2Vec

# Errors of Keras for files that are truncated, damaged, or hold an unknown model.
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)
_FIX = "Give the model.keras of a finished run, or train again with --overwrite."


def load_object2vec(path: str | os.PathLike[str]) -> Object2Vec:
    """Returns the model in a ``.keras`` file.

    Raises:
        UserError: The file cannot be opened, is damaged, or holds another kind of
            model.
    """
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise UserError(
            f"{path}: the model cannot be opened: {error.strerror}. {_FIX}"
        ) from error
    try:
        model = keras.models.load_model(path)
    except _UNREADABLE as error:
        raise UserError(
            f"{path}: expected a Keras model, got a damaged or foreign file. {_FIX}"
        ) from error
    if not isinstance(model, Object2Vec):
        raise UserError(
            f"{path}: expected an Object2Vec model, got {type(model).__name__}. {_FIX}"
        )
    return model
