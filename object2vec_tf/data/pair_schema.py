"""The settings of a model that reading and batching its pairs needs."""

from __future__ import annotations

import dataclasses

from object2vec_tf.data.negative_settings import NO_NEGATIVES, NegativeSettings
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import Column, first_tokens
from object2vec_tf.text.tokenizer import Tokenization
from object2vec_tf.text.tokenizer_loading import tokenization_of

INPUTS = ("in0", "in1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairSchema:
    """The settings that decide how pairs are read, checked and batched.

    Attributes:
        vocab_sizes: All ids of in0, and those of in1, are below these; with subwords,
            the ids of n-grams too.
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
        continued_from: Ids of in0 and of in1 from these on belong to the token before
            them; None if every id is a token.
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
    continued_from: tuple[int | None, int | None] = (None, None)

    @classmethod
    def from_hyperparameters(cls, hyperparameters: Hyperparameters) -> PairSchema:
        """Returns the schema of the pairs of a model."""
        has_classes = hyperparameters.output_layer == "softmax"
        limits = [hyperparameters.id_limits(encoder) for encoder in (0, 1)]
        return cls(
            vocab_sizes=(limits[0].size, limits[1].size),
            max_lengths=(limits[0].max_len, limits[1].max_len),
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
            continued_from=(limits[0].continued_from, limits[1].continued_from),
        )

    @classmethod
    def of(cls, settings: Hyperparameters | PairSchema) -> PairSchema:
        """Returns a schema as it is, or the schema of hyperparameters."""
        if isinstance(settings, PairSchema):
            return settings
        return cls.from_hyperparameters(settings)

    def keys_of(self, column: Column, side: int) -> Column:
        """Returns the tokens that make two objects the same object.

        Args:
            column: Token ids of objects.
            side: 0 for those of in0, 1 for those of in1.
        """
        if self.object_key != "first_token":
            return column
        return first_tokens(column, self.continued_from[side])

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
    return tokenization_of(hyperparameters, encoder)
