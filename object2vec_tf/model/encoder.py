"""Encoder: the functional Keras model of one side of a pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from object2vec_tf.errors import DataError
from object2vec_tf.inference.tensor_inputs import clean_side, is_traced, traced_side
from object2vec_tf.layers.object_ids import ObjectIds, checked_ids, ids_are_checked
from object2vec_tf.registration import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class Encoder(keras.Model):
    """A functional model from the token ids of objects to embeddings.

    Each call drops -1 from the objects, checks their ids, and cuts them at the maximum
    length, as the exported model does. A call and ``predict`` take lists of ids too;
    see `object2vec_tf.inference.python_inputs.object_inputs`.

    Args:
        inputs: Symbolic ids ``[batch, (time)]``.
        outputs: Symbolic embeddings ``[batch, enc_dim]``.
        **kwargs: As for ``keras.Model``.
    """

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns the embeddings of objects, float ``[batch, enc_dim]``.

        Args:
            inputs: A RaggedTensor of ids ``[batch, (time)]``, a dense array padded with
                -1, an array ``[batch]`` of single ids, lists of ids, or symbolic ids.
            *args: As for ``keras.Model``.
            **kwargs: As for ``keras.Model``.

        Raises:
            DataError: An object is invalid; the message has its position.
        """
        if ids_are_checked():
            return super().__call__(inputs, *args, **kwargs)
        objects = self._one_input(inputs)
        if isinstance(objects, keras.KerasTensor):
            return super().__call__(objects, *args, **kwargs)
        ids = self._rule
        limits = (ids.side, ids.limits)
        if is_traced(objects):
            ragged = traced_side(objects, *limits)
        else:
            ragged = clean_side(objects, *limits)
        with checked_ids():
            return super().__call__(ragged, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns the embeddings of objects as ``keras.Model.predict`` does.

        Args:
            x: As for a call; or anything else that Keras takes, such as a dataset.
            *args: As for ``keras.Model.predict``.
            **kwargs: As for ``keras.Model.predict``.
        """
        return super().predict(self._batch(x), *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Returns the embeddings of a batch; see `predict`."""
        return super().predict_on_batch(self._batch(x))

    def _batch(self, x: Any) -> Any:
        """Returns objects in Python as a RaggedTensor; other data as they are."""
        if not _is_objects(x):
            return x
        ids = self._rule
        return clean_side(self._one_input(x), ids.side, ids.limits)

    @property
    def _rule(self) -> ObjectIds:
        (ids,) = (layer for layer in self.layers if isinstance(layer, ObjectIds))
        return ids

    def _one_input(self, inputs: Any) -> Any:
        """Returns the objects in inputs as Keras passes them to functional models."""
        if isinstance(inputs, Mapping):
            name = self._rule.side
            if name not in inputs:
                keys = ", ".join(map(str, inputs))
                raise DataError(f"inputs: expected the key {name}, got {keys}.")
            return inputs[name]
        if isinstance(inputs, list | tuple) and len(inputs) == 1:
            (only,) = inputs
            rank = len(getattr(only, "shape", ()))
            if rank > 1 or isinstance(only, keras.KerasTensor):
                return only
        return inputs


def _is_objects(x: Any) -> bool:
    """Returns whether x has the objects themselves, and is no source of batches."""
    return isinstance(x, list | tuple | Mapping) or hasattr(x, "shape")
