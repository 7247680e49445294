"""A saved model back from its file."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import keras

from object2vec_tf.errors import UserError
from object2vec_tf.model.object2vec import Object2Vec

# What Keras raises for files that are cut short, damaged or of no model it knows.
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
_WAY_OUT = "give the model.keras of a complete run, or train it again with --overwrite"


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
            f"{path}: the model cannot be opened: {error.strerror}; {_WAY_OUT}"
        ) from error
    try:
        model = keras.models.load_model(path)
    except _UNREADABLE as error:
        raise UserError(f"{path}: damaged, or no Keras model; {_WAY_OUT}") from error
    if not isinstance(model, Object2Vec):
        raise UserError(
            f"{path}: holds a {type(model).__name__}, expected an Object2Vec; "
            f"{_WAY_OUT}"
        )
    return model
