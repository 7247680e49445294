"""Keras's methods of `Object2Vec`, which take objects as users have them."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.ragged_inputs import input_limits
from object2vec_tf.inference.tensor_inputs import integers, is_traced, pair_of
from object2vec_tf.layers.object_ids import clean_ids
from object2vec_tf.model.keras_data import (
    KerasData,
    PairData,
    can_shuffle,
    is_in_memory,
)
from object2vec_tf.text.tokenizer_loading import Tokenizers

# The formats of `KerasMethods.export`: the module and the function that write each.
_EXPORTERS = {
    "tf_saved_model": ("export.saved_model", "export_saved_model"),
    "onnx": ("export.onnx_model", "export_onnx"),
}


class KerasMethods(keras.Model):
    """Keras's methods, with pairs in more forms.

    Pairs are ``{"in0": objects, "in1": objects}`` or ``(in0, in1)``, as a list or a
    tuple. A list or tuple of two is always these two sides. The objects of a side are
    lists of ids, an array padded with -1, an array of single ids, or a RaggedTensor.
    In all of them, -1 is dropped, and objects are cut at their maximum length. `Pairs`
    and tables have labels and weights of their own.

    Attributes:
        hyperparameters: The model's hyperparameters.
        tokenizers: The model's tokenizers.
        seed: Seed of the order in which `Pairs` are trained.
    """

    hyperparameters: Hyperparameters
    tokenizers: Tokenizers
    seed: int

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Scores pairs; see ``call``.

        Args:
            inputs: Pairs as described for this class, also symbolic ones.
            *args: As for ``keras.Model``.
            **kwargs: As for ``keras.Model``.

        Raises:
            DataError: An object is invalid; the message has its position.
        """
        pairs = pair_of(inputs)
        sides = [pairs[name] for name in ("in0", "in1")]
        if any(map(is_traced, sides)):
            pairs |= {name: integers(pairs[name], name) for name in ("in0", "in1")}
        elif not any(isinstance(side, keras.KerasTensor) for side in sides):
            pairs = self._pair_data.inputs(pairs)
        return super().__call__(pairs, *args, **kwargs)

    @property
    def _pair_data(self) -> PairData:
        return PairData(self.hyperparameters, self.tokenizers, self.seed)

    def clean_inputs(self, inputs: Any) -> dict[str, Any]:
        """Returns pairs without padding, cut at their maximum length; also in graphs.

        Args:
            inputs: Tensors of in0 and in1, as a mapping or a pair.

        Returns:
            RaggedTensors of integers ``[batch, (time)]``, and other inputs as they are.
        """
        pairs = pair_of(inputs)
        for name, limits in input_limits(self.hyperparameters).items():
            pairs[name] = clean_ids(pairs[name], limits, name)
        return pairs

    def clean_data(self, data: Any) -> tuple[Any, Any, Any]:
        """Returns a batch of ``fit`` or ``evaluate`` as inputs, labels and weights."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        return self.clean_inputs(x), y, sample_weight

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Trains the model, as ``keras.Model.fit`` does.

        Args:
            x: Pairs as described for this class; `Pairs` or a table; or a dataset,
                ``PyDataset`` or generator of batches ``(inputs, labels)`` or
                ``(inputs, labels, weights)``.
            y: The labels, if x has none.
            batch_size: Pairs per batch; for `Pairs` and tables by default
                ``mini_batch_size``.
            epochs: Number of epochs.
            verbose: As for ``keras.Model.fit``.
            callbacks: As for ``keras.Model.fit``.
            validation_split: Fraction of the last pairs to validate on.
            validation_data: ``(x, y)``, ``(x, y, sample_weight)``, or anything that x
                can be and that has labels.
            shuffle: Whether to shuffle pairs that are in memory.
            class_weight: As for ``keras.Model.fit``.
            sample_weight: The weight of each pair.
            **kwargs: As for ``keras.Model.fit``.

        Returns:
            Keras's history.

        Raises:
            DataError: An object is invalid; the message has its position.
        """
        data = self._pair_data.convert(
            KerasData(x, y, sample_weight),
            batch_size=batch_size,
            shuffle=shuffle,
            split=bool(validation_split) and validation_data is None,
        )
        if validation_data is not None:
            size = kwargs.get("validation_batch_size") or batch_size
            validation_data = self._validation_data(validation_data, size)
        return super().fit(
            data.x,
            data.y,
            # Keras rejects the argument beside a dataset.
            batch_size=batch_size if is_in_memory(data.x) else None,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            # Keras warns of other data, which it does not shuffle.
            shuffle=shuffle and can_shuffle(data.x),
            class_weight=class_weight,
            sample_weight=data.sample_weight,
            **kwargs,
        )

    def _validation_data(self, data: Any, batch_size: int | None) -> Any:
        if isinstance(data, list | tuple) and len(data) in (1, 2, 3):
            data = KerasData(*data)
        else:
            data = KerasData(data)
        converted = self._pair_data.convert(data, batch_size=batch_size)
        if converted.y is None:
            return converted.x
        return converted if converted.sample_weight is not None else converted[:2]

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Returns the loss and the metrics, as ``keras.Model.evaluate`` does.

        Args:
            x: As for `fit`.
            y: As for `fit`.
            batch_size: As for `fit`.
            verbose: As for ``keras.Model.evaluate``.
            sample_weight: As for `fit`.
            **kwargs: As for ``keras.Model.evaluate``.

        Raises:
            DataError: An object is invalid; the message has its position.
        """
        if not kwargs.get("_use_cached_eval_dataset"):  # in fit, which converted them
            data = KerasData(x, y, sample_weight)
            x, y, sample_weight = self._pair_data.convert(data, batch_size=batch_size)
            batch_size = batch_size if is_in_memory(x) else None
        return super().evaluate(
            x,
            y,
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            **kwargs,
        )

    def predict(
        self, x: Any, batch_size: int | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Returns the scores of pairs, as ``keras.Model.predict`` does.

        Args:
            x: As for `fit`; batches may lack labels, and then are ``(inputs,)``.
            batch_size: As for `fit`.
            *args: As for ``keras.Model.predict``.
            **kwargs: As for ``keras.Model.predict``.

        Returns:
            An array ``[pairs, num_classes]`` or ``[pairs, 1]``.

        Raises:
            DataError: An object is invalid; the message has its position.
        """
        x = self._pair_data.objects(x, batch_size=batch_size)
        batch_size = batch_size if is_in_memory(x) else None
        return super().predict(x, batch_size, *args, **kwargs)

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, **kwargs: Any
    ) -> Any:
        """Trains on a batch of pairs in memory; see ``keras.Model.train_on_batch``."""
        data = self._pair_data.convert(KerasData(x, y, sample_weight), split=True)
        return super().train_on_batch(*data, **kwargs)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, **kwargs: Any
    ) -> Any:
        """Measures one batch of pairs in memory; see ``keras.Model.test_on_batch``."""
        data = self._pair_data.convert(KerasData(x, y, sample_weight), split=True)
        return super().test_on_batch(*data, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Scores one batch of pairs in memory; see ``keras.Model.predict_on_batch``."""
        return super().predict_on_batch(self._pair_data.objects(x, in_memory=True))

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str | None = None,
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> Path:
        """Writes the model for TF Serving, or as ONNX graphs.

        Args:
            filepath: The directory of versions; the next free number is used.
            format: tf_saved_model (the default; see `export.export_saved_model`) or
                onnx.
            verbose: Whether to print the path; by default not.
            input_signature: None: the signatures are always the same.
            **kwargs: As for `export.export_saved_model`.

        Returns:
            The path of the version.

        Raises:
            UserError: An argument is invalid.
        """
        format = "tf_saved_model" if format is None else format
        if format not in _EXPORTERS:
            raise UserError(
                f"format: expected one of {', '.join(_EXPORTERS)}, got {format!r}."
            )
        if input_signature is not None:
            raise UserError(
                "input_signature: expected None, since the signatures of an exported "
                "model are always the same: in0 and in1 are int64 [batch, time]. Leave "
                "it out."
            )
        module, name = _EXPORTERS[format]
        # The package `export` imports this one.
        write = getattr(importlib.import_module(module), name)
        try:
            inspect.signature(write).bind(self, filepath, **kwargs)
        except TypeError as error:
            raise UserError(f"export: {error}. Leave the argument out.") from error
        path: Path = write(self, filepath, **kwargs)
        if verbose:
            print(f"Saved the model at {path}")
        return path
