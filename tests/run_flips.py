"""Doors of run directories and exported models for the flip test."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xxhash

from export.serving.server import local_backend
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.model.loading import load
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.training.checkpoints import Checkpoints
from tests.bit_flips import copied, frozen
from tests.conftest import ratings_settings

INPUTS = (
    {"in0": [[1, 2], [3], []]},
    {"in1": [[2], [1, 1, 3], []]},
    {"in0": [[1, 2], [3]], "in1": [[2], [4]]},
)


def predictions(model: Any) -> str:
    """Returns a digest of a model's embeddings and scores."""
    digest = xxhash.xxh3_128()
    for rows in INPUTS:
        digest.update(model(RaggedInputs.from_rows(rows)).tobytes())
    return digest.hexdigest()


def transform(runtime: str = "tensorflow") -> Callable[[Path], str]:
    """Returns a door that loads an exported model and predicts."""
    return lambda path: predictions(load_model(path, runtime, 1))


def serve(runtime: str = "tensorflow") -> Callable[[Path], str]:
    """Returns a door that loads an exported model as the gateway does, and predicts."""

    def door(path: Path) -> str:
        backend = local_backend(path, runtime, 1)
        return predictions(backend._model)

    return door


def weights(model: Object2Vec) -> str:
    """Returns a digest of a model's weights, hyperparameters and random states."""
    digest = xxhash.xxh3_128(model.hyperparameters.to_json().encode())
    for variable in model.variables:
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()


def finished(path: Path) -> str:
    """Reads what a run that is finished prints again, and what is exported of it."""
    run = RunDirectory(path)
    identity = run.saved_epochs()
    return frozen([identity, run.results(), run.read_history(), weights(load(path))])


def restored(model: Object2Vec, scratch: Path) -> Callable[[Path], tuple[str, bool]]:
    """Returns a door that restores the newest checkpoint that is intact.

    Args:
        model: A compiled model, whose weights are replaced.
        scratch: A directory for a copy, which the door may change.

    Returns:
        A function that returns a digest of everything that the run resumes from, and
        whether there was a warning.
    """

    def door(path: Path) -> tuple[str, bool]:
        run = RunDirectory(copied(path, scratch))
        epochs = run.saved_epochs()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            state = Checkpoints(run.checkpoints, model).restore(
                run.model, lambda record: record["train"]["mean_squared_error"]
            )
        digest = xxhash.xxh3_128(frozen([epochs, state]).encode())
        for variable in (*model.variables, *model.optimizer.variables):
            digest.update(variable.numpy().tobytes())
        digest.update(weights(load(run.model)).encode())
        return digest.hexdigest(), bool(caught)

    return door


class Stopped(Exception):
    """Ends a run as a crash does."""


def settings(epochs: int) -> dict[str, Any]:
    """Returns the hyperparameters and the data of a small run."""
    pairs = [
        {"in0": [i % 5], "in1": [i % 7, i % 3], "label": float(i % 4)}
        for i in range(40)
    ]
    changes = {"enc0_max_seq_len": 4, "enc1_max_seq_len": 4, "mini_batch_size": 8}
    hyperparameters = ratings_settings() | changes | {"epochs": epochs}
    return {"hyperparameters": hyperparameters, "train": pairs, "verbose": False}
