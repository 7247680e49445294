"""Object2Vec: the Keras model of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.distributed.padded_batch import PaddedInputs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.hyperparameters.arguments import as_hyperparameters
from object2vec_tf.layers.object_ids import checked_ids
from object2vec_tf.layers.outside_tables import check_can_train
from object2vec_tf.layers.precision import check_policy
from object2vec_tf.layers.table_placement import WHOLE_TABLES, TablePlacement
from object2vec_tf.layers.token_embedding import as_ragged, concat_rows
from object2vec_tf.layers.unique_rows import unique_rows
from object2vec_tf.losses.in_batch_softmax import in_batch_metrics, in_batch_softmax
from object2vec_tf.model.builders import (
    comparator_network,
    encoder_network,
    encoding_layer,
    layer_seeds,
    token_embedding,
    token_embedding_of,
    token_weights,
)
from object2vec_tf.model.default_metrics import (
    check_default_metrics,
    default_loss,
    default_metrics,
)
from object2vec_tf.model.freezing import (
    check_something_is_trained,
    parse_parts,
    trainable_flags,
)
from object2vec_tf.model.keras_methods import KerasMethods
from object2vec_tf.model.keras_state import KerasState
from object2vec_tf.model.negative_samplers import make_negative_sampler
from object2vec_tf.model.objectives import make_objective
from object2vec_tf.model.prediction import PythonPrediction
from object2vec_tf.model.static_encoding import encode_padded
from object2vec_tf.model.subword_vocabularies import set_vocabularies
from object2vec_tf.model.token_tables import TokenTables
from object2vec_tf.model.train_step import evaluation_step, train_step
from object2vec_tf.optimizers import optimizer_for
from object2vec_tf.optimizers.loss_scaling import with_loss_scaling
from object2vec_tf.registration import PACKAGE
from object2vec_tf.text.text_assets import IdWords
from object2vec_tf.text.tokenizer_loading import Tokenizers


@keras.saving.register_keras_serializable(package=PACKAGE)
class Object2Vec(TokenTables, PythonPrediction, KerasState, KerasMethods):
    """Two encoders, a comparator and an MLP that score pairs of objects.

    ``compile``, ``fit``, ``evaluate``, ``predict``, ``save`` and ``load_model`` are
    Keras's. `embed` and `score` take lists, arrays or texts and return numpy arrays. A
    training step sums the gradients of repeated tokens, adds weight decay,
    and adds the negatives that the hyperparameters ask for.

    Args:
        hyperparameters: The hyperparameters, or a mapping of them.
        seed: Seed of initial weights, dropout and negatives.
        tokenizers: Tokenizers of in0 and of in1; None for a side of token ids. They are
            saved with the model and exported with it.
        frozen: Parts whose weights are not trained: enc0, enc1, comparator. A token
            table that both encoders share is frozen with either of them.
        id_words: Contents of the vocabulary files of in0 and of in1, for sides of token
            ids. They are saved with the model. A model that starts with its weights
            matches token vectors by them.
        placement: Where the rows of token tables are kept; in variables of the model
            by default. It is not saved with the model.
        **kwargs: ``name`` and ``dtype`` of a Keras layer. With ``mixed_bfloat16`` or
            ``mixed_float16``, convolutions, the products of LSTMs and the MLP have 16
            bits; weights, embeddings, scores and losses remain float32.

    Attributes:
        enc0: Functional model from token ids ``[batch, (time)]`` of in0 to embeddings
            ``[batch, enc_dim]``.
        enc1: The same for in1.
        comparator: Functional model from two embeddings to scores.
        tokenizers: As given.
        frozen: The frozen parts.
        id_words: As given.

    Example:
        >>> import object2vec_tf as o2v
        >>> import tensorflow as tf
        >>> model = o2v.Object2Vec(
        ...     {
        ...         "enc0_network": "pooled_embedding",
        ...         "enc0_vocab_size": 10,
        ...         "enc0_max_seq_len": 3,
        ...         "enc_dim": 4,
        ...     }
        ... )
        >>> pairs = {
        ...     "in0": tf.ragged.constant([[1], [2, 3]]),
        ...     "in1": tf.ragged.constant([[4, 5, 6], [7]]),
        ... }
        >>> model(pairs).shape
        TensorShape([2, 2])
        >>> model.enc0(pairs["in0"]).shape
        TensorShape([2, 4])
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters | Mapping[str, Any],
        *,
        seed: int = 0,
        tokenizers: Tokenizers = (None, None),
        frozen: Sequence[str] = (),
        id_words: IdWords = (None, None),
        placement: TablePlacement = WHOLE_TABLES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.placement = placement
        policy = self.dtype_policy
        check_policy(policy)
        hyperparameters = as_hyperparameters(hyperparameters)
        self.hyperparameters = hyperparameters
        self.seed = seed
        self.tokenizers = tokenizers
        self.id_words = id_words
        self.frozen = parse_parts(frozen)
        check_something_is_trained(hyperparameters, self.frozen)
        seeds = layer_seeds(seed)
        tokens = [
            token_embedding(hyperparameters, encoder, next(seeds), policy, placement)
            for encoder in (0, 1)
        ]
        weights = token_weights(hyperparameters, policy, placement)
        if hyperparameters.tied_token_embedding_weight:
            tokens[1] = tokens[0]
        self.enc0 = encoder_network(
            hyperparameters, 0, tokens[0], next(seeds), policy, weights[0]
        )
        shared = encoding_layer(self.enc0) if hyperparameters.tied_encoders else None
        self.enc1 = encoder_network(
            hyperparameters, 1, tokens[1], next(seeds), policy, weights[1], shared
        )
        self.comparator = comparator_network(hyperparameters, next(seeds), policy)
        set_vocabularies(tokens, hyperparameters, tokenizers)
        for part in self.frozen:
            getattr(self, part).trainable = False
        self.constructed_flags = MappingProxyType(trainable_flags(self))
        self.negative_seeds = keras.random.SeedGenerator(next(seeds))
        self.in_batch_softmax = in_batch_softmax(hyperparameters, policy)
        self.in_batch_metrics = in_batch_metrics() if self.in_batch_softmax else ()
        self.objective = make_objective(
            self.in_batch_softmax,
            self.in_batch_metrics,
            hyperparameters.popularity_correction,
        )
        self.negative_sampler = make_negative_sampler(
            hyperparameters, self.negative_seeds
        )
        self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Does nothing, since the constructor creates all weights."""

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
        """Scores pairs.

        Args:
            inputs: ``{"in0": ids, "in1": ids}`` or ``(ids, ids)``. The ids are
                RaggedTensors of integers ``[batch, (time)]``, lists of lists, or arrays
                padded with -1; see `object2vec_tf.model.keras_methods.KerasMethods`.
            training: Whether dropout applies.

        Returns:
            float ``[batch, num_classes]``, probabilities, for softmax;
            ``[batch, 1]``, values, for mean_squared_error.
        """
        return self.comparator(list(self.encode(inputs, training)), training=training)

    def encode(
        self, inputs: Mapping[str, Any], training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes both objects of pairs.

        Args:
            inputs: Tensors, as for `call`.
            training: Whether dropout applies.

        Returns:
            Encodings of in0 and of in1, float ``[batch, enc_dim]`` each.
        """
        return self.encode_checked(self.clean_inputs(inputs), training)

    def encode_checked(
        self, inputs: Mapping[str, Any], training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes both objects of pairs without padding and invalid ids.

        Args:
            inputs: RaggedTensors of in0 and in1 whose objects are cut at their maximum
                length, or a batch in the static layout, `PaddedInputs`.
            training: Whether dropout applies.

        Returns:
            Encodings of in0 and of in1, float ``[batch, enc_dim]`` each.
        """
        if isinstance(inputs, PaddedInputs):
            return encode_padded((self.enc0, self.enc1), inputs, training)
        with checked_ids():
            return self._encode_ragged(inputs, training)

    def score_checked(self, inputs: Mapping[str, Any]) -> Any:
        """Scores pairs without padding and invalid ids; see `encode_checked`."""
        encodings = self.encode_checked(inputs, training=False)
        return self.comparator(list(encodings), training=False)

    def _encode_ragged(
        self, inputs: Mapping[str, Any], training: bool | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        in0, in1 = inputs["in0"], inputs["in1"]
        if training and self.encoders_share_weights:
            # Both sides are looked up, encoded and updated together.
            in0, in1 = as_ragged(in0), as_ragged(in1)
            encodings = self.enc0(concat_rows(in0, in1), training=True)
            first, second = tf.split(encodings, [in0.nrows(), in1.nrows()])
            return first, second
        return self.encode_side(0, in0, training), self.encode_side(1, in1, training)

    def encode_for_training(
        self, inputs: Mapping[str, Any]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Does the same as `encode_checked`, with dropout."""
        return self.encode_checked(inputs, training=True)

    def encode_side(self, encoder: int, ids: Any, training: bool | None) -> Any:
        """Encodes each distinct object of one side once, if that saves work.

        A pooled encoder looks up each distinct token once anyway. Dropout must be drawn
        for each pair.

        Args:
            encoder: 0 or 1.
            ids: `checked_ids`, RaggedTensor ``[batch, (time)]``.
            training: Whether dropout applies.
        """
        encode = (self.enc0, self.enc1)[encoder]
        pooled = self.hyperparameters.network(encoder) == "pooled_embedding"
        if pooled or (training and self.hyperparameters.dropout):
            return encode(ids, training=training)
        objects, index = unique_rows(as_ragged(ids))
        return tf.gather(encode(objects, training=training), index)

    @property
    def encoders_share_weights(self) -> bool:
        """Whether both sides are encoded with the same weights."""
        hyperparameters = self.hyperparameters
        return hyperparameters.tied_encoders or (
            hyperparameters.tied_token_embedding_weight
            and all(hyperparameters.network(i) == "pooled_embedding" for i in (0, 1))
        )

    def load_assets(self, path: str) -> None:
        """Reads the vocabularies; Keras calls this when it loads the model."""
        super().load_assets(path)
        tokens = [token_embedding_of(encoder) for encoder in (self.enc0, self.enc1)]
        set_vocabularies(tokens, self.hyperparameters, self.tokenizers)

    def set_output_bias(self, value: npt.ArrayLike) -> None:
        """Sets the bias of the output layer: the mean of labels, or log class shares.

        Training then starts from the differences between pairs. Adam needs a thousand
        steps to move a bias by 3 at a learning rate of 0.003; in these steps the token
        vectors would learn the mean, and unlearn it later. With many negatives, large
        gradients of the first steps would also slow Adam down for a thousand steps.
        (Lin et al. 2017, "Focal Loss for Dense Object Detection", start so in 4.1.)

        Args:
            value: A number for regression, ``[num_classes]`` for classes.

        Raises:
            ValueError: The shape is another one.
        """
        bias, values = self.comparator.get_layer("output").bias, np.ravel(value)
        if values.shape != bias.shape:
            raise ValueError(f"value: expected {bias.shape[0]} numbers, got {value!r}.")
        bias.assign(values)

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        *,
        metrics: Any = None,
        steps_per_epoch: int | None = None,
        jit_compile: bool = False,
        auto_scale_loss: bool = True,
        **kwargs: Any,
    ) -> None:
        """Configures training, by default as the hyperparameters say.

        Args:
            optimizer: By default the hyperparameters' optimizer. Those of
                ``object2vec_tf.optimizers`` can update token tables row by row.
            loss: By default cross-entropy or squared error, as the output layer needs.
                A loss of one-hot labels needs ``metrics`` of them.
            metrics: By default cross_entropy, accuracy and, with two classes, auc; or
                mean_squared_error. All have sample weights. (Keras ignores sample
                weights in ``metrics`` and uses them in ``weighted_metrics``.)
            steps_per_epoch: Number of steps per epoch, which warm-up and decay of the
                learning rate need.
            jit_compile: False, since XLA cannot compile ragged inputs.
            auto_scale_loss: Whether to scale losses under the policy ``mixed_float16``;
                see `object2vec_tf.optimizers.LossScaling`.
            **kwargs: As for ``keras.Model.compile``.
        """
        if loss is None:
            loss = default_loss(self.hyperparameters)
        if metrics is None and "weighted_metrics" not in kwargs:
            check_default_metrics(loss)
            kwargs["weighted_metrics"] = default_metrics(self.hyperparameters)
        optimizer = optimizer or optimizer_for(self.hyperparameters, steps_per_epoch)
        if auto_scale_loss and self.compute_dtype == "float16":
            optimizer = with_loss_scaling(optimizer)
        super().compile(
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
            **kwargs,
        )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Configures training as it was when the model was saved."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def get_compile_config(self) -> Any:
        """Returns the configuration that `compile_from_config` takes."""
        return super().get_compile_config()

    def train_step(self, data: Any) -> dict[str, Any]:
        """Updates the weights by one batch; used by ``fit``.

        Args:
            data: ``(inputs, labels)`` or ``(inputs, labels, sample_weight)``.

        Returns:
            The metrics so far, by name.
        """
        check_can_train(self.placement)
        train_step(self, self.clean_data(data))
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measures one batch; used by ``evaluate``.

        Args:
            data: As for `train_step`.

        Returns:
            The metrics so far, by name.
        """
        evaluation_step(self, self.clean_data(data))
        return self.get_metrics_result()

    def train_batch(self, data: Any) -> None:
        """Does the same as `train_step`, without computing the metrics' values.

        Runs use it and compute the values once for many batches. Their objects have no
        padding and no invalid ids, and are cut at their maximum length.
        """
        train_step(self, data)

    def test_batch(self, data: Any) -> None:
        """Does the same as `test_step`, without computing the metrics' values."""
        evaluation_step(self, data)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = {
            **super().get_config(),
            "hyperparameters": self.hyperparameters.to_dict(),
            "seed": self.seed,
        }
        return {**config, "frozen": list(self.frozen)} if self.frozen else config
