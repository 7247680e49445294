"""The SavedModel: its signatures, its versions, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import tensorflow as tf

from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.whole_files import whole_directory

# Drops out of a row wherever it stands: dense requests are padded with it.
PADDING = -1


class _Signatures(tf.Module):
    """The variables of a model, and the functions a server calls.

    Keras's own ``export()`` turns a ragged input into a dense one whose padding is
    read as tokens, and ``ExportArchive.track`` writes the weights twice.
    """

    def __init__(self, model: Object2Vec) -> None:
        super().__init__()
        self._model_variables = [variable.value for variable in model.variables]
        hyperparameters = model.hyperparameters
        limits = [
            (
                f"in{i}",
                hyperparameters.of_encoder(i, "vocab_size"),
                hyperparameters.of_encoder(i, "max_seq_len"),
            )
            for i in (0, 1)
        ]
        in0, in1 = (
            tf.TensorSpec([None, None], tf.int64, name=name) for name, _, _ in limits
        )

        @tf.function(input_signature=[in0])
        def embed_enc0(in0: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"embeddings": model.enc0(_tokens(in0, *limits[0]), training=False)}

        @tf.function(input_signature=[in1])
        def embed_enc1(in1: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"embeddings": model.enc1(_tokens(in1, *limits[1]), training=False)}

        @tf.function(input_signature=[in0, in1])
        def predict_pair(in0: tf.Tensor, in1: tf.Tensor) -> dict[str, tf.Tensor]:
            inputs = {"in0": _tokens(in0, *limits[0]), "in1": _tokens(in1, *limits[1])}
            return {"scores": model(inputs, training=False)}

        self.embed_enc0 = embed_enc0
        self.embed_enc1 = embed_enc1
        self.predict_pair = predict_pair

    def by_name(self) -> dict[str, Any]:
        """Returns the signatures of the SavedModel."""
        return {
            "embed_enc0": self.embed_enc0,
            "embed_enc1": self.embed_enc1,
            "predict_pair": self.predict_pair,
            "serving_default": self.predict_pair,
        }


def _tokens(
    ids: tf.Tensor, name: str, vocab_size: int, max_len: int
) -> tf.RaggedTensor:
    """Returns the tokens of padded rows, cut at ``max_len``, every id checked."""
    given = tf.not_equal(ids, PADDING)
    wrong = tf.where(given & ((ids < 0) | (ids >= vocab_size)))
    first = wrong[:1]
    check = tf.debugging.Assert(
        tf.equal(tf.size(wrong), 0),
        [
            tf.strings.reduce_join(
                tf.strings.format(
                    f"{name}: id {{}} at row and position {{}} is not in "
                    f"[0, {vocab_size})",
                    (tf.gather_nd(ids, first), first),
                )
            )
        ],
    )
    with tf.control_dependencies([check]):
        tokens = tf.ragged.boolean_mask(ids, given)
    return tokens[:, :max_len]


def export_saved_model(model: Object2Vec, directory: str | os.PathLike[str]) -> Path:
    """Writes a SavedModel for TF Serving.

    Signatures: ``embed_enc0`` (in0 -> embeddings), ``embed_enc1`` (in1 -> embeddings),
    ``predict_pair`` (in0, in1 -> scores; also ``serving_default``). Inputs are int64
    ``[batch, time]``, in which -1 is dropped wherever it stands; embeddings are float32
    ``[batch, enc_dim]``, scores float32 ``[batch, num_classes]`` or ``[batch, 1]``.

    Args:
        model: The model.
        directory: Where versions are kept; the next free number is taken. A version
            appears whole, under its number, or not at all.

    Returns:
        The path of the version written.
    """
    root = Path(directory)
    versions = [
        int(entry.name)
        for entry in (root.iterdir() if root.exists() else ())
        if entry.name.isdecimal()
    ]
    path = root / str(max(versions, default=0) + 1)
    module = _Signatures(model)
    with whole_directory(path) as temporary:
        tf.saved_model.save(module, str(temporary), signatures=module.by_name())
    return path
