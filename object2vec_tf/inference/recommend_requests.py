"""Requests for recommended items, and the bodies of their responses."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import orjson

from object2vec_tf.files.object_lines import BOM
from object2vec_tf.inference.answer_parts import list_parts, row_slices
from object2vec_tf.inference.catalog import Catalog
from object2vec_tf.inference.finite import require_finite
from object2vec_tf.inference.instance_decoder import InstanceDecoder
from object2vec_tf.inference.line_bodies import decode_body
from object2vec_tf.inference.ragged_inputs import PADDING, Rows
from object2vec_tf.inference.request_codec import (
    JSON,
    JSON_LINES,
    RequestDecoder,
)
from object2vec_tf.inference.request_errors import BadRequest, explain_error
from object2vec_tf.ragged.token_ids import IdLimits

DEFAULT_K: Final = 10
# The maximum number of items in a response; each takes about 100 bytes.
MAX_ITEMS: Final = 100_000
# The numbers that take about as many bytes as an item.
ITEM_VALUES: Final = 10


@dataclasses.dataclass(frozen=True)
class RecommendRequest:
    """A request for recommended items.

    Attributes:
        objects: The objects in in0: token ids, or text.
        k: The number of items that each object asks for.
        exclude: The positions of items that each object does not want.
        rescore: Whether each object wants its items ordered by the comparator's score.
    """

    objects: Sequence[Any]
    k: Sequence[int]
    exclude: Sequence[Sequence[int]]
    rescore: Sequence[bool]

    def check_size(self, max_items: int) -> None:
        """Rejects a request whose response would be too large.

        Args:
            max_items: The maximum number of objects times the largest ``k``.

        Raises:
            BadRequest: 413, the response would have more items.
        """
        k = max(self.k, default=0)
        if len(self.k) * k > max_items:
            raise BadRequest(
                f"expected at most {max_items} items in a response, got "
                f"{len(self.k)} objects with k={k}. Send fewer objects per request, "
                "ask for fewer items, or start the gateway with a larger "
                "--max_recommended_items.",
                status=413,
            )

    @staticmethod
    def concatenate(requests: Sequence[RecommendRequest]) -> RecommendRequest:
        """Returns all objects of several requests as one."""
        fields = (field.name for field in dataclasses.fields(RecommendRequest))
        columns = [[getattr(request, name) for request in requests] for name in fields]
        return RecommendRequest(
            *(list(itertools.chain.from_iterable(column)) for column in columns)
        )


class RecommendDecoder:
    """Decodes requests for recommended items, and checks every value.

    Args:
        objects: Decodes objects.
        limits: The limits of the objects of each input, by name.
        catalog: The items.
        texts: The inputs that may be text too.
        external_ids: The inputs that contain ids of any kind.
        output_dim: The number of scores of a pair.

    Example:
        >>> from object2vec_tf.inference.catalog import Catalog
        >>> from object2vec_tf.inference.recommend_requests import RecommendDecoder
        >>> from object2vec_tf.ragged.token_ids import IdLimits
        >>> catalog = Catalog(items=1682, k=100, similarity="cosine", labels=False)
        >>> limits = {"in0": IdLimits(944, 1)}
        >>> decoder = RecommendDecoder(limits, catalog, output_dim=1)
        >>> request = decoder.decode(b'{"instances": [{"in0": [5], "exclude": [3]}]}')
        >>> request.objects, request.k, request.exclude, request.rescore
        ([[5]], [10], [[3]], [False])
    """

    def __init__(
        self,
        limits: Mapping[str, IdLimits],
        catalog: Catalog,
        texts: Collection[str] = (),
        external_ids: Collection[str] = (),
        *,
        output_dim: int,
    ) -> None:
        limits = {"in0": limits["in0"]}
        external_ids = {"in0"} & set(external_ids)
        self._objects = RequestDecoder(limits, texts, external_ids)
        self._limits, self._texts = limits, texts
        self._classes = output_dim if output_dim > 2 else 0
        self._expected = {
            **self._objects.expected,
            "k": f"an integer from 1 to {catalog.k}, the k of the export",
            "exclude": "a list of positions of items, or a single position",
            "exclude[]": f"a position of an item, from 0 to {catalog.items - 1}",
            "rescore": "true or false",
        }
        self._default_k = min(DEFAULT_K, catalog.k)
        position: Any = _whole_number(PADDING, catalog.items - 1)
        options = {
            "k": _whole_number(1, catalog.k),
            "exclude": list[position] | position,
            "rescore": bool,
        }
        self._decoder = InstanceDecoder(limits, texts, external_ids, options)

    def decode(
        self,
        body: bytes,
        media_type: str = JSON,
        max_lens: tuple[int, int] | None = None,
        max_values: int | None = None,
    ) -> RecommendRequest:
        """Returns the content of a request.

        Args:
            body: The request's body.
            media_type: application/json or application/jsonlines.
            max_lens: The request's own maximum lengths of in0 and in1.
            max_values: The maximum number of positions to exclude, those that all
                objects have in common counted for each of them; None for any.

        Raises:
            BadRequest: The body is invalid, or this model cannot answer it.
        """
        if media_type != JSON_LINES:
            return self._request(body, False, max_lens, max_values)
        return decode_body(
            body.removeprefix(BOM),
            lambda lines, _: self._request(lines, True, max_lens, max_values),
            (),
            _none,
        )

    def _request(
        self,
        body: bytes,
        lines: bool,
        max_lens: tuple[int, int] | None,
        max_values: int | None,
    ) -> RecommendRequest:
        try:
            instances = self._decoder.decode(body, lines)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise explain_error(
                error,
                body,
                lines,
                self._limits,
                self._texts,
                expected=self._expected,
                example='{"in0": [1], "k": 10}',
            ) from error
        path = "$" if lines else "$.instances"
        if lines and not instances:
            raise BadRequest(
                'expected one object per line, such as {"in0": [1], "k": 10}, got an '
                "empty body",
                "$",
            )
        self._check(instances, path)
        excluded = [_given(row.exclude, []) for row in instances]
        self._check_excluded(excluded, max_values)
        objects = self._objects.checked([row.in0 for row in instances], "in0", path)
        return RecommendRequest(
            self.truncate(objects, max_lens),
            [int(_given(row.k, self._default_k)) for row in instances],
            list(map(_positions, excluded)),
            [_given(row.rescore, False) for row in instances],
        )

    def truncate(
        self, objects: Sequence[Any], max_lens: tuple[int, int] | None = None
    ) -> Sequence[Any]:
        """Truncates token ids to their maximum length; text is left as it is.

        Args:
            objects: The objects in in0.
            max_lens: The request's own maximum lengths of in0 and in1.
        """
        rows: Rows = {"in0": objects}
        return self._objects.truncate(rows, max_lens)["in0"]

    def check_size(self, count: int, k: int, max_values: int | None) -> None:
        """Rejects a request whose response would be too large.

        Args:
            count: The number of objects.
            k: The number of items of each.
            max_values: The maximum number of values of the response; None for any.

        Raises:
            BadRequest: 413, the response would have more values.
        """
        if max_values is not None and 2 * count * k > max_values:
            raise BadRequest(
                f"expected at most {max_values} values in a response, got {count} "
                f"objects with {k} items and their scores. Send at most "
                f"{max_values // (2 * k)} objects per request, or start the gateway "
                "with a larger --max_response_values.",
                status=413,
            )

    def _check_excluded(self, excluded: Sequence[Any], max_values: int | None) -> None:
        if max_values is None:
            return
        count = sum(len(row) for row in excluded if isinstance(row, list))
        if count > max_values:
            raise BadRequest(
                f"expected at most {max_values} positions to exclude in a request, got "
                f"{count} for {len(excluded)} objects. Send fewer objects per request.",
                status=413,
            )

    def _check(self, instances: Sequence[Any], path: str) -> None:
        for i, instance in enumerate(instances):
            if instance.in0 is msgspec.UNSET:
                raise BadRequest(
                    "expected in0, for which items are recommended, got no in0",
                    f"{path}[{i}]",
                )
            if instance.rescore is True and self._classes:
                raise BadRequest(
                    "expected false, since this model has no single score of a pair "
                    f"but {self._classes} class probabilities, got true",
                    f"{path}[{i}].rescore",
                )


def _none(request: RecommendRequest) -> tuple[str, ...]:
    """Returns no names: all objects have in0 only."""
    return ()


def _whole_number(lowest: int, highest: int) -> Any:
    """Returns the type of an integer, which may be written as 3.0."""
    integer = Annotated[int, msgspec.Meta(ge=lowest, le=highest)]
    decimal = Annotated[float, msgspec.Meta(ge=lowest, le=highest, multiple_of=1)]
    return integer | decimal


def _given(value: Any, default: Any) -> Any:
    return default if value is msgspec.UNSET else value


def _positions(exclude: Any) -> list[int]:
    """Returns the positions of excluded items, without padding."""
    positions = exclude if isinstance(exclude, list) else [exclude]
    return [int(position) for position in positions if position != PADDING]


@dataclasses.dataclass(frozen=True)
class RecommendedItem:
    """An item of a response.

    Attributes:
        position: The position of the item.
        score: The similarity, or the comparator's score.
        line: The item's JSON object, as it is in its file.
        label: Its label; None if the items have no labels.
    """

    position: int
    score: float
    line: bytes
    label: str | None

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object of the item, for orjson."""
        fields: dict[str, Any] = {
            "position": self.position,
            "score": self.score,
            "item": orjson.Fragment(self.line),
        }
        if self.label is not None:
            fields["label"] = self.label
        return fields


def recommendation_parts(
    predictions: Sequence[Sequence[RecommendedItem]], media_type: str
) -> Iterator[bytes]:
    r"""Yields the body of a response in parts.

    Args:
        predictions: The items of each object, best first.
        media_type: application/json or application/jsonlines.

    Example:
        >>> from object2vec_tf.inference.recommend_requests import (
        ...     RecommendedItem,
        ...     recommendation_parts,
        ... )
        >>> item = RecommendedItem(17, 0.5, b'{"in1": [18]}', "Heat")
        >>> (part,) = recommendation_parts([[item]], "application/jsonlines")
        >>> part.decode()
        '{"items":[{"position":17,"score":0.5,"item":{"in1": [18]},"label":"Heat"}]}\n'
    """
    for items in predictions:
        require_finite(np.array([item.score for item in items]), "scores")

    def objects(first: int, last: int) -> list[dict[str, Any]]:
        rows = predictions[first:last]
        return [{"items": [item.to_dict() for item in items]} for items in rows]

    width = ITEM_VALUES * max(map(len, predictions), default=0)
    if media_type == JSON:
        return list_parts(len(predictions), width, objects, b'{"predictions":[', b"]}")
    return (
        b"".join(orjson.dumps(row, option=_NUMPY) + b"\n" for row in objects(*rows))
        for rows in row_slices(len(predictions), width)
    )


# Numbers of numpy: float32 is written with as few digits as identify it.
_NUMPY: Final = orjson.OPT_SERIALIZE_NUMPY
