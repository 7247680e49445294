"""Pairs as users give them to Keras's methods, as the data that Keras takes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import pyarrow as pa
import tensorflow as tf

from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.data.table_sources import is_table
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.python_inputs import object_inputs
from object2vec_tf.inference.ragged_inputs import PADDING, input_limits
from object2vec_tf.inference.tensor_inputs import as_tensor, clean_side, pair_of
from object2vec_tf.text.tokenizer_loading import Tokenizers


class KerasData(NamedTuple):
    """Arguments of ``fit``, ``evaluate`` or ``predict``.

    Attributes:
        x: The pairs.
        y: The labels; None if x has them.
        sample_weight: The weights; None if x has them, or all pairs count once.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None


class PairData:
    """Converts the data of Keras's methods.

    Args:
        hyperparameters: The model's.
        tokenizers: The model's.
        seed: Seed of the order of `Pairs`.
    """

    def __init__(
        self, hyperparameters: Hyperparameters, tokenizers: Tokenizers, seed: int
    ) -> None:
        self._hyperparameters = hyperparameters
        self._tokenizers = tokenizers
        self._seed = seed

    def convert(
        self,
        data: KerasData,
        *,
        batch_size: int | None = None,
        shuffle: bool = False,
        split: bool = False,
    ) -> KerasData:
        """Returns data as Keras takes them, with clean objects in RaggedTensors.

        Args:
            data: Pairs and labels in memory, `Pairs`, a table, or batches: a dataset,
                ``PyDataset`` or generator. Objects in ``tf.data`` remain as they are:
                the model applies the rule to each batch.
            batch_size: Pairs per batch of `Pairs`.
            shuffle: Whether to shuffle `Pairs`.
            split: Whether Keras will split the data, which it can only in memory.

        Raises:
            DataError: An object is invalid.
            UserError: The data have labels, and ``y`` is given too.
        """
        x = data.x
        if isinstance(x, Pairs) or is_table(x):
            if data.y is not None or data.sample_weight is not None:
                raise UserError(
                    f"y, sample_weight: expected none beside a {type(x).__name__}, "
                    "which has labels and weights. Leave them out."
                )
            pairs = read_pairs(x, self._hyperparameters, tokenizers=self._tokenizers)
            if split:
                return _in_memory(pairs)
            dataset = pairs.dataset(batch_size, shuffle=shuffle, seed=self._seed)
            return KerasData(dataset)
        if isinstance(x, keras.utils.PyDataset):
            return KerasData(_CleanBatches(x, self._batch), *data[1:])
        if isinstance(x, Iterator) and not isinstance(x, tf.data.Iterator):
            return KerasData((self._batch(batch) for batch in x), *data[1:])
        if not is_in_memory(x):
            return data
        inputs = self.inputs(x)
        if not inputs["in0"].nrows():
            raise DataError("inputs: expected at least one pair, got none.")
        return KerasData(inputs, as_array(data.y), as_array(data.sample_weight))

    def inputs(self, x: Any) -> dict[str, Any]:
        """Returns pairs in memory, ragged int ``[pairs, (time)]`` for in0 and in1.

        Args:
            x: A mapping or a pair; see `object2vec_tf.inference.tensor_inputs.pair_of`.

        Raises:
            DataError: An object is invalid, or the sides have different lengths.
        """
        inputs = pair_of(x)
        for name, limits in input_limits(self._hyperparameters).items():
            tokenizer = self._tokenizers[int(name[-1])]
            inputs[name] = clean_side(inputs[name], name, limits, tokenizer)
        counts = [int(inputs[name].nrows()) for name in ("in0", "in1")]
        if counts[0] != counts[1]:
            raise DataError(
                f"in1: expected {counts[0]} objects, one for each of in0, got "
                f"{counts[1]}."
            )
        return inputs

    def objects(
        self, x: Any, *, batch_size: int | None = None, in_memory: bool = False
    ) -> Any:
        """Returns data for ``predict``, which may lack labels.

        Args:
            x: As the data of `convert`. The objects of a table follow the rule of
                `Object2Vec.score`, and its other columns are ignored.
            batch_size: Pairs per batch of `Pairs`.
            in_memory: Whether `Pairs` become tensors rather than batches.

        Raises:
            DataError: An object is invalid.
        """
        if is_table(x) and not isinstance(x, Pairs):
            x = {
                name: as_tensor(
                    object_inputs(
                        objects, name, self._hyperparameters, self._tokenizers
                    ).columns[name]
                )
                for name, objects in table_sides(x).items()
            }
        return self.convert(KerasData(x), batch_size=batch_size, split=in_memory).x

    def _batch(self, batch: Any, padded: bool = False) -> Any:
        """Returns a batch of a generator or of a PyDataset with clean objects.

        Args:
            batch: ``(inputs, labels, weights)``, of which the last ones may be missing.
            padded: Whether objects become arrays padded with -1, which other processes
                can send.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        if not is_in_memory(x):
            return batch
        inputs = self.inputs(x)
        if padded:
            for name, limits in input_limits(self._hyperparameters).items():
                # Tokens may have several ids, and objects more ids than tokens.
                width = limits.max_len if limits.continued_from is None else None
                ids = inputs[name].to_tensor(PADDING, (None, width))
                inputs[name] = ids.numpy()
        return tuple(
            part
            for part in (inputs, as_array(y), as_array(sample_weight))
            if part is not None
        )


class _CleanBatches(keras.utils.PyDataset):
    """The batches of a PyDataset, with clean objects.

    Args:
        batches: The PyDataset.
        clean: Converts a batch.
    """

    def __init__(self, batches: keras.utils.PyDataset, clean: Callable[..., Any]):
        super().__init__(
            workers=batches.workers,
            use_multiprocessing=batches.use_multiprocessing,
            max_queue_size=batches.max_queue_size,
        )
        self._batches = batches
        self._clean = functools.partial(clean, padded=batches.use_multiprocessing)

    @property
    def num_batches(self) -> Any:
        """The number of batches."""
        return self._batches.num_batches

    def __getitem__(self, index: int) -> Any:
        """Returns a batch."""
        return self._clean(self._batches[index])

    def on_epoch_begin(self) -> None:
        """Reports the start of an epoch."""
        self._batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Reports the end of an epoch."""
        self._batches.on_epoch_end()


def table_sides(table: Any) -> dict[str, Any]:
    """Returns the objects of a table of pairs, or of a list of mappings.

    Raises:
        DataError: It lacks one of the sides.

    Example:
        >>> from object2vec_tf.model.keras_data import table_sides
        >>> table_sides([{"in0": 5, "in1": [7, 8]}, {"in0": [6], "in1": []}])
        {'in0': [5, [6]], 'in1': [[7, 8], []]}
    """
    sides: dict[str, Any] = {}
    is_rows = isinstance(table, list | tuple)
    if not is_rows and not hasattr(table, "__getitem__"):
        table = pa.table(table)
    for name in ("in0", "in1"):
        try:
            sides[name] = [row[name] for row in table] if is_rows else table[name]
        except Exception as error:  # each library has its own
            raise DataError(
                f"{type(table).__name__}: expected in0 and in1, found no {name}."
            ) from error
    return sides


def is_in_memory(x: Any) -> bool:
    """Returns whether x has the objects of pairs, and is no source of batches."""
    return isinstance(x, list | tuple | Mapping) or hasattr(x, "__array__")


def can_shuffle(x: Any) -> bool:
    """Returns whether Keras can shuffle data itself."""
    return is_in_memory(x) or isinstance(x, keras.utils.PyDataset)


def as_array(values: Any) -> Any:
    """Returns labels or weights as an array or tensor, without an axis of length 1.

    Args:
        values: A list, array, tensor or column of a table; None stays None.

    Example:
        >>> from object2vec_tf.model.keras_data import as_array
        >>> as_array([[1], [0]])
        array([1, 0])
    """
    if values is None or isinstance(values, Mapping):
        return values
    if not tf.is_tensor(values):
        values = np.asarray(values)
    if len(values.shape) == 2 and values.shape[-1] == 1:
        return values[:, 0]
    return values


def _in_memory(pairs: Pairs) -> KerasData:
    """Returns all pairs as tensors."""
    rows = np.arange(len(pairs))
    inputs = {name: as_tensor(c.take(rows)) for name, c in pairs.columns.items()}
    weights = None if pairs.weights is None else np.asarray(pairs.weights)
    return KerasData(inputs, np.asarray(pairs.labels), weights)
