"""Learn embeddings from pairs of objects, with TensorFlow and Keras 3.

Importing the package registers its classes with Keras, so that
``keras.models.load_model`` reads the models it saved.
"""

import importlib
import os
import sys
import types
from typing import TYPE_CHECKING, Any

from object2vec_tf.commands.help_screens import answer_before_imports
from object2vec_tf.native_logging import command_is_starting, silence_native_stderr
from object2vec_tf.standard_streams import open_missing_streams
from object2vec_tf.terminal import shown_while

__version__ = "0.1.0"

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
if command_is_starting():
    open_missing_streams()
    answer_before_imports(__version__)
with (
    shown_while("loading TensorFlow", command_is_starting()),
    silence_native_stderr(command_is_starting()),
):
    import keras
    import tensorflow  # noqa: F401

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"object2vec_tf needs Keras on TensorFlow, and Keras is set to "
        f"{keras.backend.backend()}; set KERAS_BACKEND=tensorflow"
    )

from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.errors import (
    DataError,
    HyperparameterError,
    Interrupted,
    RunDirectoryError,
    UserError,
)
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.model.loading import load
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.text.tokenizer import Tokenizer
from object2vec_tf.text.tokenizer_loading import read_tokenizers

if TYPE_CHECKING:
    from object2vec_tf.training.run import Run, fit

__all__ = [
    "DataError",
    "HyperparameterError",
    "Hyperparameters",
    "Interrupted",
    "Object2Vec",
    "Pairs",
    "Run",
    "RunDirectoryError",
    "Tokenizer",
    "UserError",
    "fit",
    "load",
    "read_pairs",
    "read_tokenizers",
]


def __getattr__(name: str) -> Any:
    """Imports `fit` and `Run` when they are first used (PEP 562).

    Training imports ``export``, which imports this package: without the delay the two
    packages would import each other.
    """
    if name in ("fit", "Run"):
        return getattr(importlib.import_module("object2vec_tf.training.run"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(types.ModuleType):
    """Keeps ``object2vec_tf.fit`` the function.

    Importing the command module of that name would put the module in its place.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name == "fit" and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
