"""Object2Vec: the Keras model of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from object2vec_tf.distributed.batch_shard import FullBatch, batch_shard_of
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.hyperparameters.arguments import as_hyperparameters
from object2vec_tf.layers.token_embedding import TokenEmbedding, as_ragged, concat_rows
from object2vec_tf.layers.unique_rows import unique_rows
from object2vec_tf.losses.in_batch_softmax import (
    in_batch_metrics,
    in_batch_softmax,
    positive_mask,
)
from object2vec_tf.losses.negative_sampling import (
    add_negatives,
    frequency_negatives,
    hard_negatives,
    uniform_negatives,
)
from object2vec_tf.losses.smoothed_cross_entropy import SmoothedCrossEntropy
from object2vec_tf.model.batch_encodings import Encodings
from object2vec_tf.model.builders import (
    comparator_network,
    encoder_network,
    layer_seeds,
    token_embedding,
)
from object2vec_tf.optimizers import optimizer_for
from object2vec_tf.optimizers.gradients import add_weight_decay
from object2vec_tf.registration import PACKAGE
from object2vec_tf.text.tokenizer import Tokenizer
from object2vec_tf.text.tokenizer_loading import (
    Tokenizers,
    make_tokenizer,
    shared_tokenizers,
)

# Of a dataset's inputs: the logarithms of the shares of pairs that have the same in0,
# and the same in1, float [batch, 2].
LOG_FREQUENCIES = "log_frequencies"
_NOT_DECAYED = ("bias", "log_temperature")
# Where a saved model keeps the vocabulary of in0 and of in1.
_VOCABULARY = "vocabulary{}"


@keras.saving.register_keras_serializable(package=PACKAGE)
class Object2Vec(keras.Model):
    """Two encoders, a comparator and an MLP that scores pairs of objects.

    ``compile``, ``fit``, ``evaluate``, ``predict``, ``save`` and ``load_model`` are
    Keras's. A training step sums the gradients of repeated tokens, adds the
    hyperparameters' weight decay, and makes their negatives.

    Args:
        hyperparameters: The settings, or a mapping of them.
        seed: Fixes initial weights, dropout and negatives.
        tokenizers: What makes token ids of in0 and of in1 where they are text; they are
            saved with the model, and go into what is exported.

    Attributes:
        enc0: Functional model from ids ``[batch, (time)]`` to embeddings
            ``[batch, enc_dim]``.
        enc1: The same for in1.
        comparator: Functional model from two embeddings to scores.
        tokenizers: As given; None for a side of ids.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters | Mapping[str, Any],
        *,
        seed: int = 0,
        tokenizers: Tokenizers = (None, None),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        hyperparameters = as_hyperparameters(hyperparameters)
        self.hyperparameters = hyperparameters
        self.seed = seed
        self.tokenizers = tokenizers
        seeds = layer_seeds(seed)
        tokens = [
            token_embedding(hyperparameters, encoder, next(seeds)) for encoder in (0, 1)
        ]
        if hyperparameters.tied_token_embedding_weight:
            tokens[1] = tokens[0]
        self.enc0, self.enc1 = (
            encoder_network(hyperparameters, encoder, tokens[encoder], next(seeds))
            for encoder in (0, 1)
        )
        self.comparator = comparator_network(hyperparameters, next(seeds))
        self.negative_seeds = keras.random.SeedGenerator(next(seeds))
        self.in_batch_softmax = in_batch_softmax(hyperparameters)
        self.in_batch_metrics = in_batch_metrics() if self.in_batch_softmax else ()
        self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Does nothing: all weights are created by the constructor."""

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
        """Scores pairs.

        Args:
            inputs: ``{"in0": ids, "in1": ids}``, RaggedTensors of integers
                ``[batch, (time)]``.
            training: Whether dropout applies.

        Returns:
            float ``[batch, num_classes]``, probabilities, for softmax;
            ``[batch, 1]``, values, for mean_squared_error.
        """
        return self.comparator(self._encode(inputs, training), training=training)

    def _encode(self, inputs: Mapping[str, Any], training: bool | None) -> list[Any]:
        in0, in1 = inputs["in0"], inputs["in1"]
        if training and self._encoders_are_one:
            # Tokens of both sides are then looked up, and their rows updated, once.
            in0, in1 = as_ragged(in0), as_ragged(in1)
            encodings = self.enc0(concat_rows(in0, in1), training=True)
            return list(tf.split(encodings, [in0.nrows(), in1.nrows()]))
        return [
            self._encode_once(encoder, ids, training)
            for encoder, ids in enumerate((in0, in1))
        ]

    def _encodings(self, share: FullBatch, inputs: Mapping[str, Any]) -> Encodings:
        """Returns the encodings that a training step learns from.

        Of several replicas, each makes a pooled encoder's of the whole batch: what they
        exchange are then gradients of encodings, one a side and pair, where gradients
        of token vectors are about as many as a pair has tokens.
        """
        if not share.of_several:
            made = self._encode(inputs, training=True)
            return Encodings(share, (made[0], made[1]))
        whole = self.encoders_of_whole_batches
        sides = [as_ragged(inputs[name]) for name in ("in0", "in1")]
        for i in whole:
            sides[i] = share.gathered_ids(sides[i])
        made = self._encode({"in0": sides[0], "in1": sides[1]}, training=True)
        own, every = list(made), [None, None]
        for i in whole:
            if self._looks_around[i]:
                every[i] = share.learnt(made[i])
                own[i] = share.own(every[i])
            else:
                own[i] = share.learnt_own(made[i])
        return Encodings(share, (own[0], own[1]), (every[0], every[1]))

    @property
    def _looks_around(self) -> tuple[bool, bool]:
        """Whether a pair's step takes other pairs' in0, and in1."""
        settings = self.hyperparameters
        softmax, negatives = self.in_batch_softmax, settings.negative_sampling_rate > 0
        hard = negatives and settings.negative_mining == "hard"
        return softmax is not None or hard, softmax is not None or negatives

    @property
    def encoders_of_whole_batches(self) -> tuple[int, ...]:
        """Which encoders each of several replicas applies to the whole batch.

        None that shares its table with hcnn or bilstm: of the gradient of one table, a
        replica would have a part that is the batch's and one that is its own share's.
        """
        if self.hyperparameters.tied_token_embedding_weight:
            return (0, 1) if self._encoders_are_one else ()
        networks = [self.hyperparameters.network(encoder) for encoder in (0, 1)]
        return tuple(i for i in (0, 1) if networks[i] == "pooled_embedding")

    def _encode_once(self, encoder: int, ids: Any, training: bool | None) -> Any:
        """Encodes each distinct object once, where an encoding is worth more.

        pooled_embedding looks up each distinct token once as it is. Dropout is to be
        drawn for each pair.
        """
        encode = (self.enc0, self.enc1)[encoder]
        pooled = self.hyperparameters.network(encoder) == "pooled_embedding"
        if pooled or (training and self.hyperparameters.dropout):
            return encode(ids, training=training)
        rows, places = unique_rows(as_ragged(ids))
        return tf.gather(encode(rows, training=training), places)

    def set_token_vectors(self, encoder: int, vectors: Any) -> None:
        """Gives an encoder's tokens their vectors, such as pretrained ones.

        Args:
            encoder: 0 or 1; the same where the table is tied.
            vectors: float ``[vocab_size, token_embedding_dim]``.
        """
        network = (self.enc0, self.enc1)[encoder]
        layers = [each for each in network.layers if isinstance(each, TokenEmbedding)]
        layers[0].embeddings.assign(vectors)

    def save_assets(self, path: str) -> None:
        """Writes the vocabularies beside the weights, when Keras saves the model."""
        for i, tokenizer in enumerate(self.tokenizers):
            if tokenizer is not None:
                (Path(path) / _VOCABULARY.format(i)).write_bytes(tokenizer.data)

    def load_assets(self, path: str) -> None:
        """Reads the vocabularies again, when Keras loads the model."""
        held: list[Tokenizer | None] = [None, None]
        for i in (0, 1) if path else ():
            file = Path(path) / _VOCABULARY.format(i)
            if file.exists():
                held[i] = make_tokenizer(
                    self.hyperparameters, i, file.read_bytes(), file.name
                )
        self.tokenizers = shared_tokenizers(held[0], held[1])

    @property
    def _encoders_are_one(self) -> bool:
        """Whether both sides are encoded by the same weights."""
        return self.hyperparameters.tied_token_embedding_weight and all(
            self.hyperparameters.network(i) == "pooled_embedding" for i in (0, 1)
        )

    def set_output_bias(self, value: float) -> None:
        """Sets what an untrained regression model answers, about, to every pair.

        At the labels' mean, training starts with what tells pairs apart. Adam needs a
        thousand steps to move a bias by 3 at a learning rate of 0.003, in which the
        token vectors would learn the mean instead, and unlearn it later.

        Raises:
            ValueError: The model classifies.
        """
        if self.hyperparameters.output_layer == "softmax":
            raise ValueError("set_output_bias is for output_layer=mean_squared_error")
        self.comparator.get_layer("output").bias.assign([value])

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        *,
        metrics: Any = None,
        steps_per_epoch: int | None = None,
        jit_compile: bool = False,
        **kwargs: Any,
    ) -> None:
        """Sets up training; what is left out comes from the hyperparameters.

        Args:
            optimizer: By default the hyperparameters' optimizer. One of
                ``object2vec_tf.optimizers`` updates token tables by row.
            loss: By default the output layer's: cross-entropy or squared error.
            metrics: By default cross_entropy and accuracy, or mean_squared_error, in
                which pairs count as often as they weigh. (In Keras ``metrics`` know no
                sample weights, and ``weighted_metrics`` do.)
            steps_per_epoch: Steps in an epoch, by which the hyperparameters' learning
                rate warms up and decays, where it does.
            jit_compile: XLA cannot compile ragged inputs, hence False.
            **kwargs: As for ``keras.Model.compile``.
        """
        softmax = self.hyperparameters.output_layer == "softmax"
        if loss is None:
            loss = (
                SmoothedCrossEntropy(self.hyperparameters.label_smoothing)
                if softmax
                else keras.losses.MeanSquaredError(name="mean_squared_error")
            )
        if metrics is None and "weighted_metrics" not in kwargs:
            kwargs["weighted_metrics"] = (
                [
                    keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy"),
                    keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
                ]
                if softmax
                else [keras.metrics.MeanSquaredError(name="mean_squared_error")]
            )
        super().compile(
            optimizer=optimizer or optimizer_for(self.hyperparameters, steps_per_epoch),
            loss=loss,
            metrics=metrics,
            jit_compile=jit_compile,
            **kwargs,
        )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Sets up training as it was when the model was saved."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def get_compile_config(self) -> Any:
        """Returns what `compile_from_config` takes."""
        return super().get_compile_config()

    def train_step(self, data: Any) -> dict[str, Any]:
        """Learns from one batch; ``fit`` and our own loop both come here.

        Args:
            data: ``(inputs, labels)`` or ``(inputs, labels, sample_weight)``. Inputs
                with a share of a batch (`object2vec_tf.distributed.batch_shard`) are
                learnt from together with the other replicas'.

        Returns:
            The metrics so far, by name.
        """
        inputs, labels, weight = keras.utils.unpack_x_y_sample_weight(data)
        rate = self.hyperparameters.negative_sampling_rate
        share, seen, weights = batch_shard_of(inputs), labels, weight
        with tf.GradientTape() as tape:
            encodings = self._encodings(share, inputs)
            loss, found = self._in_batch_loss(encodings, inputs, labels, weight)
            if found:  # the comparator learns from encodings as they come
                encodings = encodings.constant()
            first, second = encodings.own
            if rate:
                pool = encodings.of_batch(1)
                partners = self._negatives(encodings, inputs, pool, labels)
                first, second, seen = add_negatives(
                    first, second, labels, partners, pool
                )
                if weight is not None:  # negatives weigh what their pair does
                    copies = tf.size(seen) // tf.maximum(tf.size(labels), 1)
                    weights = tf.tile(weight, [copies])
            scores = self.comparator([first, second], training=True)
            mean = self.compute_loss(inputs, seen, scores, weights, training=True)
            loss += share.part(mean)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, [variable.value for variable in variables])
        gradients = self._summed(share, variables, gradients)
        self.optimizer.apply_gradients(
            [
                (self._decayed(gradient, variable), variable)
                for gradient, variable in zip(gradients, variables, strict=True)
                if gradient is not None  # at dropout=1, of which `fit` warns
            ]
        )
        self._update_metrics(share, loss, seen, scores, weights)
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measures one batch; ``evaluate`` and our own loop both come here.

        Args:
            data: As for `train_step`.

        Returns:
            The metrics so far, by name.
        """
        inputs, labels, weight = keras.utils.unpack_x_y_sample_weight(data)
        share = batch_shard_of(inputs)
        own = self._encode(inputs, training=False)
        encodings = Encodings(share, (own[0], own[1]))
        scores = self.comparator(own, training=False)
        loss, _ = self._in_batch_loss(encodings, inputs, labels, weight, training=False)
        mean = self.compute_loss(inputs, labels, scores, weight, training=False)
        self._update_metrics(share, loss + share.part(mean), labels, scores, weight)
        return self.get_metrics_result()

    def _in_batch_loss(
        self,
        encodings: Encodings,
        inputs: Mapping[str, Any],
        labels: Any,
        weight: Any,
        training: bool = True,
    ) -> tuple[tf.Tensor, bool]:
        """Returns what the in-batch softmax costs, and whether it is the objective."""
        if self.in_batch_softmax is None:
            return tf.constant(0.0), False
        share = encodings.share
        corrected = self.hyperparameters.popularity_correction
        costs, hits = self.in_batch_softmax(
            *(encodings.of_batch(side) for side in (0, 1)),
            _known(share, inputs, labels),
            _log_frequencies(share, inputs) if corrected and training else None,
        )
        costs, hits, labels, weight = (
            share.counted(each)
            for each in (share.own(costs), share.own(hits), labels, weight)
        )
        looking = tf.cast(labels > 0, costs.dtype)
        if weight is not None:
            looking *= tf.cast(weight, costs.dtype)
        for metric, values in zip(self.in_batch_metrics, (costs, hits), strict=True):
            metric.update_state(values, sample_weight=looking)
        cost, pairs = tf.reduce_sum(looking * costs), tf.reduce_sum(looking)
        return tf.math.divide_no_nan(cost, share.total(pairs)), True

    def _negatives(
        self,
        encodings: Encodings,
        inputs: Mapping[str, Any],
        pool: tf.Tensor,
        labels: Any,
    ) -> Any:
        """Returns the partners, of the batch's in1, with which pairs make negatives."""
        settings, share = self.hyperparameters, encodings.share
        rate, seeds = settings.negative_sampling_rate, self.negative_seeds
        if settings.negative_mining == "hard":
            known = _known(share, inputs, labels)
            partners = hard_negatives(encodings.of_batch(0), pool, known, rate, seeds)
        elif settings.negative_frequency_power < 1:
            power = settings.negative_frequency_power
            log_frequencies = _log_frequencies(share, inputs)[1]
            partners = frequency_negatives(log_frequencies, power, rate, seeds)
        else:
            partners = uniform_negatives(tf.shape(pool)[0], rate, seeds)
        return share.own_partners(partners)

    def _update_metrics(
        self, share: FullBatch, loss: Any, labels: Any, scores: Any, weight: Any
    ) -> None:
        own = {id(metric) for metric in self.in_batch_metrics}  # have been told
        labels, scores, weight = (
            share.counted(each) for each in (labels, scores, weight)
        )
        for metric in self.metrics:
            if metric.name == "loss":
                pairs = tf.shape(scores)[0]
                metric.update_state(share.mean(loss), sample_weight=pairs)
            elif id(metric) not in own:
                metric.update_state(labels, scores, sample_weight=weight)

    def _summed(
        self, share: FullBatch, variables: Sequence[Any], gradients: list[Any]
    ) -> list[Any]:
        """Returns the batch's gradients, repeated tokens summed."""
        takes_rows = getattr(self.optimizer, "takes_rows", False)
        # Each lookup's rows are distinct; two of one table may share some.
        once = self._encoders_are_one or (
            not self.hyperparameters.tied_token_embedding_weight
        )
        whole = {
            id(variable)
            for encoder in self.encoders_of_whole_batches
            for variable in (self.enc0, self.enc1)[encoder].variables
        }
        return share.reduce_gradients(
            gradients, takes_rows, once, [id(each) in whole for each in variables]
        )

    def _decayed(self, gradient: Any, variable: keras.Variable) -> Any:
        """Returns the gradient with the weight's decay, where it has any."""
        decay = self.hyperparameters.weight_decay
        if decay and not variable.path.endswith(_NOT_DECAYED):
            return add_weight_decay(gradient, variable, decay)
        return gradient

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "hyperparameters": self.hyperparameters.to_dict(),
            "seed": self.seed,
        }


def _known(share: FullBatch, inputs: Mapping[str, Any], labels: Any) -> tf.Tensor:
    """Returns which in0 and in1 of the batch are partners, bool ``[batch, batch]``."""
    in0, in1 = (share.gathered_ids(as_ragged(inputs[name])) for name in ("in0", "in1"))
    return positive_mask(in0, in1, share.gathered(labels))


def _log_frequencies(
    share: FullBatch, inputs: Mapping[str, Any]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns those of in0 and of in1, of the batch's pairs.

    Raises:
        ValueError: The dataset does not tell them.
    """
    if LOG_FREQUENCIES not in inputs:
        raise ValueError(
            f"inputs lack {LOG_FREQUENCIES!r}, float [batch, 2], which "
            "popularity_correction and negative_frequency_power need; Pairs.dataset "
            "gives them"
        )
    return tuple(tf.unstack(share.gathered(inputs[LOG_FREQUENCIES]), axis=1))
