"""Embeddings and scores of a Keras model for objects given in Python."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.data.table_sources import is_table
from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.python_inputs import object_inputs, pair_inputs
from object2vec_tf.inference.ragged_inputs import (
    Predictions,
    RaggedInputs,
    call_limits,
    predict_batches,
)
from object2vec_tf.layers.object_ids import checked_ids
from object2vec_tf.model.keras_data import table_sides
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.tokenizer_loading import Tokenizers

_IDS = tf.RaggedTensorSpec([None, None], tf.int64, ragged_rank=1)


class PythonPrediction:
    """The methods of `Object2Vec` that take objects in Python and return numpy arrays.

    Attributes:
        hyperparameters: The model's hyperparameters.
        tokenizers: The model's tokenizers.
    """

    hyperparameters: Hyperparameters
    tokenizers: Tokenizers

    def embed(self, objects: Any, encoder: int = 0) -> Predictions:
        """Returns the embeddings of objects.

        They equal those of the exported model: objects are truncated at their maximum
        length. Objects of similar length are embedded together, in bounded memory.

        Args:
            objects: A sequence of lists of token ids; an integer array ``[objects,
                time]`` padded with -1; a RaggedTensor; or, for a side with a tokenizer,
                texts and lists of strings.
            encoder: 0 for objects of in0, 1 for objects of in1.

        Returns:
            float32 ``[objects, enc_dim]``.

        Raises:
            DataError: An object is invalid; the message has its position.
            UserError: There is no such encoder.

        Example:
            >>> import object2vec_tf as o2v
            >>> model = o2v.Object2Vec(
            ...     {
            ...         "enc0_network": "pooled_embedding",
            ...         "enc0_vocab_size": 10,
            ...         "enc0_max_seq_len": 3,
            ...         "enc_dim": 4,
            ...     }
            ... )
            >>> model.embed([[3], [4, 5]]).shape
            (2, 4)
            >>> try:
            ...     model.embed([[3], [4, 10]], encoder=1)
            ... except o2v.DataError as error:
            ...     print(error)
            in1[1][1]: expected a token id in [0, 10), or -1 as padding, got 10.
        """
        is_number = isinstance(encoder, int | float | np.number)
        if not is_number or isinstance(encoder, bool) or encoder not in (0, 1):
            raise UserError(f"encoder: expected 0 or 1, got {encoder!r}.")
        inputs = object_inputs(
            objects, f"in{int(encoder)}", self.hyperparameters, self.tokenizers
        )
        return self._predict_inputs(inputs, self.hyperparameters.enc_dim)

    def embed_tokens(self, tokens: RaggedColumn, encoder: int) -> Predictions:
        """Returns the embeddings of objects that are already rows of the token table.

        `embed` would look up integers in the vocabulary of a side with
        ``encX_tokenizer=id``.

        Args:
            tokens: Rows of the token table by object, already truncated.
            encoder: 0 for objects of in0, 1 for objects of in1.

        Returns:
            float32 ``[objects, enc_dim]``.
        """
        inputs = RaggedInputs({f"in{encoder}": tokens})
        return self._predict_inputs(inputs, self.hyperparameters.enc_dim)

    def score(self, pairs: Any) -> Predictions:
        """Returns the scores of pairs, as the exported model does.

        Args:
            pairs: A sequence of pairs ``(in0, in1)``, or a mapping of in0 and in1 to
                objects as `embed` takes them. Or a table, mappings of in0 and in1 in a
                list, `Pairs`, a dataset or a ``PyDataset``, as for ``predict``.

        Returns:
            float32 ``[pairs, num_classes]``, probabilities, for softmax;
            ``[pairs, 1]``, values, for mean_squared_error.

        Raises:
            DataError: A pair is invalid; the message has its position.

        Example:
            >>> import numpy as np
            >>> import object2vec_tf as o2v
            >>> model = o2v.Object2Vec(
            ...     {
            ...         "enc0_network": "pooled_embedding",
            ...         "enc0_vocab_size": 10,
            ...         "enc0_max_seq_len": 3,
            ...         "enc_dim": 4,
            ...     }
            ... )
            >>> scores = model.score([([3], [7]), ([4, 5], [9])])
            >>> scores.shape
            (2, 2)
            >>> columns = {"in0": np.array([[3, -1], [4, 5]]), "in1": [[7], [9]]}
            >>> np.allclose(model.score(columns), scores)
            True
        """
        if isinstance(pairs, Pairs | tf.data.Dataset | keras.utils.PyDataset):
            model: Any = self  # the Keras model that has these methods
            return np.asarray(model.predict(pairs, verbose=0), np.float32)
        if is_table(pairs):
            pairs = table_sides(pairs)
        inputs = pair_inputs(pairs, self.hyperparameters, self.tokenizers)
        return self._predict_inputs(inputs, self.hyperparameters.output_dim)

    def _predict_inputs(self, inputs: RaggedInputs, width: int) -> Predictions:
        """Returns the predictions for inputs, batch by batch of similar lengths."""
        if not len(inputs):
            return np.zeros((0, width), np.float32)
        function = self._prediction_functions[inputs.signature]

        def predict(batch: RaggedInputs) -> Predictions:
            tensors = [
                tf.RaggedTensor.from_row_splits(
                    tf.constant(column.values, tf.int64),
                    column.row_splits,
                    validate=False,
                )
                for column in batch.columns.values()
            ]
            return np.asarray(function(*tensors).numpy())

        return predict_batches(inputs, predict, call_limits(self.hyperparameters))

    @functools.cached_property
    def _prediction_functions(self) -> dict[str, Any]:
        return _compiled_functions(self)


def _compiled_functions(model: Any) -> dict[str, Any]:
    """Returns functions of ragged ids by signature, float32 ``[batch, width]``.

    They compute the same as the signatures of the exported model.
    """

    @tf.function(input_signature=[_IDS], autograph=False)
    @checked_ids()
    def embed_enc0(in0: tf.RaggedTensor) -> tf.Tensor:
        return tf.cast(model.enc0(in0, training=False), tf.float32)

    @tf.function(input_signature=[_IDS], autograph=False)
    @checked_ids()
    def embed_enc1(in1: tf.RaggedTensor) -> tf.Tensor:
        return tf.cast(model.enc1(in1, training=False), tf.float32)

    @tf.function(input_signature=[_IDS, _IDS], autograph=False)
    def predict_pair(in0: tf.RaggedTensor, in1: tf.RaggedTensor) -> tf.Tensor:
        scores = model.score_checked({"in0": in0, "in1": in1})
        return tf.cast(scores, tf.float32)

    return {
        "embed_enc0": embed_enc0,
        "embed_enc1": embed_enc1,
        "predict_pair": predict_pair,
    }
