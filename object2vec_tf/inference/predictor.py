"""Models in this process: a SavedModel, or its ONNX graphs."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.model_store import ONNX, find_exported, parse_description
from object2vec_tf.inference.onnx_predictor import OnnxPredictor
from object2vec_tf.inference.ragged_inputs import (
    Ids,
    Predictions,
    RaggedInputs,
    Rows,
    in_row_order,
    output_name,
)
from object2vec_tf.inference.text_inputs import Row, put, text_batches
from object2vec_tf.inference.warmup_requests import HYPERPARAMETERS, read_warm_up
from object2vec_tf.text.tokenizer import load_text_ops


class Predictor(Protocol):
    """Answers objects at once.

    Attributes:
        hyperparameters: The model's.
        texts: The inputs that may be text.
    """

    hyperparameters: Hyperparameters
    texts: Collection[str]

    def __call__(self, objects: RaggedInputs) -> Predictions:
        """Returns embeddings or scores, float32 ``[rows, width]``."""

    def tokenize(self, rows: Rows) -> tuple[Rows, int]:
        """Returns objects as token ids, and how many tokens are unknown."""

    def warm_up(self, first: str = "") -> None:
        """Answers requests of all kinds once.

        Args:
            first: The output that is asked for first: embeddings or scores.
        """


class SavedModelPredictor:
    """A SavedModel in this process; a `Predictor`.

    Args:
        path: The SavedModel.

    Raises:
        UserError: It cannot be loaded, or is not one of ours.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        _load_text_ops(path)
        try:
            self._module = tf.saved_model.load(str(path))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"{path}: cannot be loaded: {error}; export the model again"
            ) from error
        # Signatures hold their variables only as long as the module is held.
        self._signatures = self._module.signatures
        if "describe" not in self._signatures:
            raise UserError(
                f"{path}: not a SavedModel of object2vec_tf; export the model with "
                "python -m export"
            )
        text = self._signatures["describe"](rows=tf.zeros(1, tf.int64))
        self.hyperparameters = parse_description(
            text["hyperparameters"][0].numpy(), str(path)
        )
        self.texts: Collection[str] = self.hyperparameters.texts

    def warm_up(self, first: str = "") -> None:
        """See `Predictor`."""
        requests = list(read_warm_up(self._path))
        outputs = {name: s.structured_outputs for name, s in self._signatures.items()}
        requests.sort(key=lambda request: first not in outputs[request[0]])
        for name, inputs in requests:
            self._signatures[name](**inputs)

    def __call__(self, objects: RaggedInputs) -> Predictions:
        """See `Predictor`."""
        batches = list(objects.batches())
        answers = []
        for rows in batches:
            part = objects.take(rows)
            answers.append(self.run_signature(part.signature, part.padded()))
        return in_row_order(batches, answers)

    def tokenize(self, rows: Rows) -> tuple[Rows, int]:
        """See `Predictor`."""
        tokenized: dict[str, list[Row]] = {}
        unknown = 0
        for name, side in rows.items():
            tokenized[name] = list(side)
            for places, texts in text_batches(side):
                tokenize = self._signatures[f"tokenize_{name}"]
                answer = tokenize(**{name: tf.constant(texts, tf.string)})
                unknown += int(answer["unknown"].numpy().sum())
                put(tokenized[name], places, answer["ids"].numpy())
        return tokenized, unknown

    def run_signature(self, signature: str, inputs: Mapping[str, Ids]) -> Predictions:
        """Returns what a signature answers to its inputs, padded with -1."""
        tensors = {name: tf.constant(ids) for name, ids in inputs.items()}
        answer = self._signatures[signature](**tensors)[output_name(inputs)]
        return np.asarray(answer.numpy())


def _load_text_ops(path: Path) -> None:
    """Registers the ops that a model of text needs, before it is loaded."""
    try:
        text = (path / HYPERPARAMETERS).read_text(encoding="utf-8")
        if parse_description(text, str(path)).texts:
            load_text_ops()
    except OSError:
        pass  # told below, if it is not a model of ours


def load_model(model: str | os.PathLike[str], runtime: str = "tensorflow") -> Predictor:
    """Returns an exported model, loaded into this process.

    Args:
        model: A run, an exported model or a directory of versions.
        runtime: tensorflow or onnx.

    Raises:
        UserError: There is no such model.
    """
    if runtime == "onnx":
        return OnnxPredictor(find_exported(model, ONNX))
    return SavedModelPredictor(find_exported(model))
