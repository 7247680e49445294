"""When training stops, and which epoch's model is kept."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class EarlyStopping:
    """Object2Vec's rule, over the losses of the epochs so far.

    From epoch number ``patience`` on (counted from 0), an epoch is bad when its loss is
    not lower by ``tolerance`` than the lowest of the ``patience`` epochs before it. A
    good epoch resets the count of bad ones; training stops when it exceeds
    ``patience``. The epoch kept is the one with the lowest loss of all.

    Attributes:
        patience: Epochs looked back on, and bad epochs in a row that are tolerated.
        tolerance: Absolute fall of the loss that counts as progress.
        losses: The loss of each epoch so far.
        bad: Bad epochs in a row.
    """

    patience: int
    tolerance: float
    losses: list[float] = dataclasses.field(default_factory=list)
    bad: int = 0

    def update(self, loss: float) -> bool:
        """Takes the loss of one more epoch.

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
        """The epoch with the lowest loss, the first of equals."""
        return self.losses.index(min(self.losses))
