"""The interface between the gateway and the model, in this process or on a server."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

from export.serving.dynamic_batching import Outputs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.catalog import Catalog
from object2vec_tf.inference.ragged_inputs import Predictions, Rows
from object2vec_tf.inference.signature_defs import SignatureDefs


class Unavailable(Exception):
    """The model is not available now; the request may be sent again.

    Args:
        message: What is wrong.
        status: The HTTP status of the response.
    """

    def __init__(self, message: str, status: int = 503) -> None:
        super().__init__(message)
        self.status = status


class VersionGone(Unavailable):
    """The version of the model that began to answer a request is not served anymore."""


class Rejected(Exception):
    """The model rejected the request as invalid."""


class Response(NamedTuple):
    """The outputs of a signature.

    Attributes:
        outputs: Arrays by name, one row per row of the inputs.
        version: The version that computed them; None if the backend has only one.
    """

    outputs: Outputs
    version: int | None


class Backend(Protocol):
    """Computes predictions for rows of token ids.

    Attributes:
        hyperparameters: The model's; None until it has been reached.
        version: The number of the model's version; None if it is not known.
    """

    hyperparameters: Hyperparameters | None
    version: int | None

    @property
    def texts(self) -> Collection[str]:
        """The inputs that may be text."""

    async def predict(self, rows: Rows) -> Predictions:
        """Returns embeddings or scores, float32 ``[rows, width]``.

        Args:
            rows: Token ids, known to be in the vocabularies; at least one row.

        Raises:
            Unavailable: The model is not available now.
            Rejected: The model rejected the request as invalid.
        """

    async def tokenize(self, rows: Rows) -> tuple[Rows, int]:
        """Returns the objects as token ids, and the number of unknown tokens.

        Args:
            rows: Objects, at least one of which is text.

        Raises:
            Unavailable: The model is not available now.
        """

    async def catalog(self) -> Catalog | None:
        """Returns the description of the items that the model recommends, if any.

        Raises:
            Unavailable: The model is not available now.
        """

    async def signature_defs(self) -> SignatureDefs:
        """Returns the model's signatures, as TF Serving describes them in JSON.

        Raises:
            Unavailable: The model is not available now.
        """

    async def call(
        self, signature: str, rows: Rows, version: int | None = None
    ) -> Response:
        """Returns the outputs of a signature that recommends or describes items.

        Args:
            signature: The signature.
            rows: Its inputs by name: rows of ids or positions, at least one.
            version: The version to ask, as an earlier response names it.

        Raises:
            Unavailable: The model is not available now.
            VersionGone: The version is not.
            Rejected: The model rejected the request as invalid.
        """

    async def check(self) -> None:
        """Checks that the model is available, and updates ``hyperparameters``.

        Raises:
            Unavailable: It is not.
        """

    async def close(self) -> None:
        """Releases threads and connections."""
