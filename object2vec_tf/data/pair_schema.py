"""The settings of a model that reading and batching its pairs needs."""

from __future__ import annotations

import dataclasses

from object2vec_tf.data.negative_settings import NO_NEGATIVES, NegativeSettings
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import Column, first_tokens
from object2vec_tf.text.tokenizer import Tokenization

INPUTS = ("in0", "in1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairSchema:
    """The settings that decide how pairs are read, checked and batched.

    Attributes:
        vocab_sizes: Vocabulary sizes of in0 and in1. Token ids are below them.
        max_lengths: Maximum number of tokens of an object of in0 and of in1.
        output_layer: ``softmax`` for class labels, another value for real labels.
        num_classes: Number of classes; None if labels are real numbers.
        tokenizations: How the text of in0 and in1 becomes tokens; None for an input
            that contains token ids.
        batch_size: Pairs per batch, by default.
        bucket_width: Bucket width of shuffled batches, by default; see
            `object2vec_tf.data.batch_plan.plan_batches`.
        needs_frequencies: Whether shuffled batches contain the log frequencies of
            objects.
        object_key: ``tokens`` if objects with the same tokens are the same object,
            ``first_token`` if objects with the same first token are.
        negatives: The settings of negatives in shuffled batches.
    """

    vocab_sizes: tuple[int, int]
    max_lengths: tuple[int, int]
    output_layer: str
    num_classes: int | None = None
    tokenizations: tuple[Tokenization | None, Tokenization | None] = (None, None)
    batch_size: int = 32
    bucket_width: int = 0
    needs_frequencies: bool = False
    object_key: str = "tokens"
    negatives: NegativeSettings = NO_NEGATIVES

    @classmethod
    def from_hyperparameters(cls, hyperparameters: Hyperparameters) -> PairSchema:
        """Returns the schema of the pairs of a model."""
        has_classes = hyperparameters.output_layer == "softmax"
        return cls(
            vocab_sizes=(
                hyperparameters.enc0_vocab_size,
                hyperparameters.enc1_vocab_size,
            ),
            max_lengths=(
                hyperparameters.enc0_max_seq_len,
                hyperparameters.enc1_max_seq_len,
            ),
            output_layer=hyperparameters.output_layer,
            num_classes=hyperparameters.num_classes if has_classes else None,
            tokenizations=(
                _tokenization(hyperparameters, 0),
                _tokenization(hyperparameters, 1),
            ),
            batch_size=hyperparameters.mini_batch_size,
            bucket_width=hyperparameters.bucket_width,
            needs_frequencies=hyperparameters.needs_frequencies,
            object_key=hyperparameters.object_key,
            negatives=NegativeSettings.of(hyperparameters),
        )

    @classmethod
    def of(cls, settings: Hyperparameters | PairSchema) -> PairSchema:
        """Returns a schema as it is, or the schema of hyperparameters."""
        if isinstance(settings, PairSchema):
            return settings
        return cls.from_hyperparameters(settings)

    def keys_of(self, column: Column) -> Column:
        """Returns the tokens that make two objects the same object.

        Args:
            column: Token ids of objects.
        """
        return first_tokens(column) if self.object_key == "first_token" else column

    @property
    def text_inputs(self) -> tuple[str, ...]:
        """The names of the inputs that contain text."""
        return tuple(
            name
            for name, tokenization in zip(INPUTS, self.tokenizations, strict=True)
            if tokenization is not None
        )


def _tokenization(
    hyperparameters: Hyperparameters, encoder: int
) -> Tokenization | None:
    if f"in{encoder}" not in hyperparameters.texts:
        return None
    return Tokenization(
        hyperparameters.of_encoder(encoder, "tokenizer"),
        hyperparameters.of_encoder(encoder, "lowercase"),
        hyperparameters.of_encoder(encoder, "unicode_normalization"),
        hyperparameters.of_encoder(encoder, "num_oov_buckets"),
    )
