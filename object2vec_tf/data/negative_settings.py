"""The settings of negatives that batches of pairs depend on."""

from __future__ import annotations

import dataclasses

from object2vec_tf.hyperparameters import Hyperparameters


@dataclasses.dataclass(frozen=True, kw_only=True)
class NegativeSettings:
    """The settings of negatives that the pipeline of batches needs.

    Attributes:
        rate: Negatives per pair.
        mining: ``random`` or ``hard``.
        frequency_power: Random negatives are drawn in proportion to frequency ** power.
        excludes_known: Whether known pairs are excluded.
        in_batch: Whether the objective is the in-batch softmax.
    """

    rate: int = 0
    mining: str = "random"
    frequency_power: float = 1.0
    excludes_known: bool = False
    in_batch: bool = False

    @classmethod
    def of(cls, hyperparameters: Hyperparameters) -> NegativeSettings:
        """Returns the settings of a model."""
        return cls(
            rate=hyperparameters.negative_sampling_rate,
            mining=hyperparameters.negative_mining,
            frequency_power=hyperparameters.negative_frequency_power,
            excludes_known=hyperparameters.negative_exclude_known,
            in_batch=hyperparameters.objective == "in_batch_softmax",
        )

    @property
    def are_used(self) -> bool:
        """Whether training compares an object with those of other pairs."""
        return self.rate > 0 or self.in_batch

    @property
    def draws(self) -> bool:
        """Whether the pipeline draws the negatives, rather than the model."""
        return self.rate > 0 and self.excludes_known and self.mining == "random"

    @property
    def lists_known(self) -> bool:
        """Whether batches contain the known pairs among their objects."""
        is_hard = self.rate > 0 and self.mining == "hard"
        return self.excludes_known and (self.in_batch or is_hard)

    def compares_objects(self, is_training: bool) -> bool:
        """Whether steps compare the objects of a batch, and ask for its known pairs.

        Args:
            is_training: Whether batches are trained on; others have no negatives.
        """
        is_hard = self.rate > 0 and self.mining == "hard"
        return self.in_batch or (is_hard and is_training)


NO_NEGATIVES = NegativeSettings()
