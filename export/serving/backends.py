"""What answers a request: the model in this process, or a server behind it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.ragged_inputs import Predictions, Rows


class Unavailable(Exception):
    """The model cannot be asked now; the request may be sent again.

    Args:
        message: What is wrong.
        status: The HTTP status that says so.
    """

    def __init__(self, message: str, status: int = 503) -> None:
        super().__init__(message)
        self.status = status


class Rejected(Exception):
    """The model was asked and says that the request is wrong."""


class Backend(Protocol):
    """Answers rows of token ids.

    Attributes:
        hyperparameters: The model's, None while it has not been reached.
    """

    hyperparameters: Hyperparameters | None

    @property
    def texts(self) -> Collection[str]:
        """The inputs that may be text."""

    async def answer(self, rows: Rows) -> Predictions:
        """Returns embeddings or scores, float32 ``[rows, width]``.

        Args:
            rows: Token ids, known to be in the vocabularies; at least one row.

        Raises:
            Unavailable: The model cannot be asked now.
            Refused: The model says that the request is wrong.
        """

    async def tokenize(self, rows: Rows) -> tuple[Rows, int]:
        """Returns objects as token ids, and how many tokens are unknown.

        Args:
            rows: Objects of which some are text.

        Raises:
            Unavailable: The model cannot be asked now.
        """

    async def check(self) -> None:
        """Asks whether the model would answer, and learns what it is.

        Raises:
            Unavailable: It would not.
        """

    async def close(self) -> None:
        """Lets go of what it holds."""
