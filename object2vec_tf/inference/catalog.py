"""The items that an exported model recommends, as its signatures describe them."""

from __future__ import annotations

import dataclasses
import json

import msgspec

from object2vec_tf.errors import UserError
from object2vec_tf.files.sealed_json import parse_object

# The signatures of a model that was exported with items.
RECOMMEND = "recommend"
SCORE_ITEMS = "score_items"
DESCRIBE_ITEMS = "describe_items"
DESCRIBE_CATALOG = "describe_catalog"


@dataclasses.dataclass(frozen=True)
class Catalog:
    """What a client has to know about the items of an exported model.

    Attributes:
        items: The number of items.
        k: The number of items that the signature ``recommend`` returns per row.
        similarity: cosine or inner_product.
        labels: Whether the items have labels.

    Example:
        >>> from object2vec_tf.inference.catalog import Catalog
        >>> catalog = Catalog(items=1682, k=100, similarity="cosine", labels=True)
        >>> catalog.to_json()
        '{"items": 1682, "k": 100, "similarity": "cosine", "labels": true}'
        >>> Catalog.from_json(catalog.to_json(), "runs/movies") == catalog
        True
    """

    items: int
    k: int
    similarity: str
    labels: bool

    def to_json(self) -> str:
        """Returns the catalog as the signature ``describe_catalog`` does."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: bytes | str, name: str) -> Catalog:
        """Returns the catalog that `to_json` wrote.

        Args:
            text: The JSON. Keys that are not attributes are ignored.
            name: The name of the model, for messages.

        Raises:
            UserError: The text is not a catalog.
        """
        try:
            return msgspec.convert(parse_object(text), Catalog)
        except (ValueError, RecursionError, msgspec.ValidationError) as error:
            raise UserError(
                f"{name}: expected the description of a catalog, got {text!r:.200}. "
                "Export the model again."
            ) from error
