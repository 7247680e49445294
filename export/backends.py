"""Where objects are answered: in this process, or by TF Serving over gRPC."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from export.objects import Objects
from export.saved_model import HYPERPARAMETERS
from export.warm_up import read_warm_up
from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters

Answers = npt.NDArray[np.float32]


class Unavailable(Exception):
    """The model cannot be asked now; the request may be sent again.

    Args:
        message: What is wrong.
        status: The HTTP status that says so.
    """

    def __init__(self, message: str, status: int = 503) -> None:
        super().__init__(message)
        self.status = status


class Backend(Protocol):
    """Answers objects.

    Attributes:
        hyperparameters: The model's.
    """

    hyperparameters: Hyperparameters

    async def answer(self, objects: Objects) -> Answers:
        """Returns embeddings or scores, float32 ``[rows, width]``.

        Raises:
            Unavailable: The model cannot be asked now.
        """

    async def check(self) -> None:
        """Raises `Unavailable` unless the model answers."""

    async def close(self) -> None:
        """Lets go of what it holds."""


class LocalModel:
    """A SavedModel in this process.

    Attributes:
        hyperparameters: The model's.
        path: The SavedModel.

    Args:
        path: The SavedModel.
        first: The kind of output that is warmed up first: embeddings or scores.
        warm: Whether the SavedModel's warm-up requests are run.
    """

    def __init__(self, path: Path, *, first: str = "", warm: bool = True) -> None:
        self.path = path
        self.hyperparameters = read_hyperparameters(path)
        # The signatures hold their variables only as long as the module is held.
        self._module = tf.saved_model.load(str(path))
        self._signatures = self._module.signatures
        if warm:
            self._warm_up(first)

    def _warm_up(self, first: str) -> None:
        requests = list(read_warm_up(self.path))
        requests.sort(key=lambda request: first not in self._outputs(request[0]))
        for name, inputs in requests:
            self._signatures[name](**inputs)

    def _outputs(self, signature: str) -> str:
        return " ".join(self._signatures[signature].structured_outputs)

    def __call__(self, objects: Objects) -> Answers:
        """Returns embeddings or scores, float32 ``[rows, width]``."""
        parts = list(objects.batches())
        if len(parts) == 1:
            return self._ask(objects)
        answers = None
        for rows in parts:
            part = self._ask(objects.take(rows))
            if answers is None:
                answers = np.empty((len(objects), part.shape[1]), np.float32)
            answers[rows] = part
        assert answers is not None
        return answers

    def _ask(self, objects: Objects) -> Answers:
        inputs = {name: tf.constant(ids) for name, ids in objects.padded().items()}
        answer = self._signatures[objects.signature](**inputs)[objects.output]
        return np.asarray(answer.numpy())


def read_hyperparameters(path: Path) -> Hyperparameters:
    """Returns the hyperparameters of a SavedModel of ours.

    Raises:
        UserError: It is another kind of SavedModel.
    """
    try:
        text = (path / HYPERPARAMETERS).read_text(encoding="utf-8")
        return Hyperparameters.from_mapping(json.loads(text))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not a SavedModel of object2vec_tf ({HYPERPARAMETERS} cannot be "
            f"read: {error}); export the model with python -m export"
        ) from error


def limits(hyperparameters: Hyperparameters) -> dict[str, Any]:
    """Returns ``{"in0": (vocab_size, max_seq_len), "in1": ...}``."""
    return {
        f"in{encoder}": (
            hyperparameters.of_encoder(encoder, "vocab_size"),
            hyperparameters.of_encoder(encoder, "max_seq_len"),
        )
        for encoder in (0, 1)
    }
