"""Early stopping, and the choice of the best epoch."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class EarlyStopping:
    """Object2Vec's rule, over the losses of the epochs so far.

    From epoch ``patience`` on (counted from 0), an epoch is bad if its loss is not at
    least ``tolerance`` below the lowest loss of the ``patience`` epochs before it. A
    good epoch resets the count of bad epochs; training stops when the count exceeds
    ``patience``. The best epoch is the one with the lowest loss of all.

    Attributes:
        patience: Number of earlier epochs to compare with, and of consecutive bad
            epochs to tolerate.
        tolerance: Absolute decrease of the loss that counts as progress.
        losses: The loss of each epoch so far.
        bad: Number of consecutive bad epochs.
    """

    patience: int
    tolerance: float
    losses: list[float] = dataclasses.field(default_factory=list)
    bad: int = 0

    def update(self, loss: float) -> bool:
        """Adds the loss of an epoch.

        Returns:
            Whether training stops.
        """
        if len(self.losses) >= self.patience:
            progress = min(self.losses[-self.patience :]) - loss
            self.bad = self.bad + 1 if progress < self.tolerance else 0
        self.losses.append(loss)
        return self.bad > self.patience

    @property
    def best_epoch(self) -> int:
        """Index of the epoch with the lowest loss; the first one of equals."""
        return self.losses.index(min(self.losses))
