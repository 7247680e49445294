"""Object2Vec's wire format: media types, requests in, answers out.

Source: the Amazon SageMaker developer guide, "Object2Vec Inference Formats".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import orjson

from object2vec_tf.inference.ragged_inputs import Predictions, Rows
from object2vec_tf.inference.request_errors import BadRequest, explain_error
from object2vec_tf.inference.text_inputs import is_text

JSON = "application/json"
JSON_LINES = "application/jsonlines"
MEDIA_TYPES = (JSON, JSON_LINES)

_MAX_LENS = re.compile(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*")
_LONGEST = 5000


class RequestDecoder:
    """Reads requests, every id checked against its vocabulary on the way.

    Args:
        limits: The vocabulary size and the most tokens of each input, by name.
        texts: The inputs that may be text too.
    """

    def __init__(
        self, limits: Mapping[str, tuple[int, int]], texts: Collection[str] = ()
    ) -> None:
        self._limits = limits
        self._texts = texts
        # Keys that are no field are passed over.
        fields: list[Any] = []
        for name, (vocab_size, _) in limits.items():
            token = Annotated[int, msgspec.Meta(ge=0, lt=vocab_size)]
            ids: Any = list[token] | msgspec.UnsetType
            if name in texts:
                ids = list[token | str] | str | msgspec.UnsetType
            fields.append((name, ids, msgspec.UNSET))
        instance: Any = msgspec.defstruct("Instance", fields, gc=False)
        body: Any = msgspec.defstruct("Body", [("instances", list[instance])])
        self._lines: msgspec.json.Decoder[Any] = msgspec.json.Decoder(instance)
        self._body: msgspec.json.Decoder[Any] = msgspec.json.Decoder(body)

    def decode(
        self,
        body: bytes,
        media_type: str = JSON,
        max_lens: tuple[int, int] | None = None,
    ) -> Rows:
        """Returns the objects of a request, by input name: token ids, or text.

        Args:
            body: The request's body.
            media_type: application/json or application/jsonlines.
            max_lens: Where in0 and in1 are cut in this request, beside the model's own.

        Raises:
            BadRequest: It is not a request, or not one that this model can answer.
        """
        try:
            if media_type == JSON:
                instances = self._body.decode(body).instances
            else:
                instances = self._lines.decode_lines(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            lines = media_type == JSON_LINES
            raise explain_error(
                error, body, lines, self._limits, self._texts
            ) from error
        if not instances and media_type == JSON_LINES:
            raise BadRequest(
                'the body is empty; send a line an object, such as {"in0": [1]}', "$"
            )
        place = "$" if media_type == JSON_LINES else "$.instances"
        names = _names(instances, place)
        rows = {name: [getattr(each, name) for each in instances] for name in names}
        for name in names:
            if name in self._texts:
                _check_kinds(rows[name], name, place)
        return self.cut(rows, max_lens)

    def cut(self, rows: Rows, max_lens: tuple[int, int] | None = None) -> Rows:
        """Returns objects cut at the most tokens that they may have; text as it is."""
        longest = dict(zip(("in0", "in1"), max_lens or (_LONGEST,) * 2, strict=True))
        return {
            name: _cut(side, min(longest[name], self._limits[name][1]))
            for name, side in rows.items()
        }


def _names(instances: Sequence[Any], place: str) -> list[str]:
    """Returns the inputs that all instances have."""
    names: list[str] = []
    for i, instance in enumerate(instances):
        own = [n for n in ("in0", "in1") if getattr(instance, n) is not msgspec.UNSET]
        if not own:
            raise BadRequest(
                "expected in0 or in1, to be embedded, or both, to be scored",
                f"{place}[{i}]",
            )
        if i and own != names:
            raise BadRequest(
                f"has {' and '.join(own)}, where those before it have "
                f"{' and '.join(names)}; embeddings of each side and scores go into "
                "requests of their own",
                f"{place}[{i}]",
            )
        names = own
    return names


def _check_kinds(rows: Sequence[Any], name: str, place: str) -> None:
    """Refuses lists that hold both ids and strings."""
    for i, row in enumerate(rows):
        if isinstance(row, str) or len({type(item) for item in row}) < 2:
            continue
        other = next(j for j, item in enumerate(row) if type(item) is not type(row[0]))
        raise BadRequest(
            "expected token ids alone, or strings alone, in a list",
            f"{place}[{i}].{name}[{other}]",
        )


def _cut(rows: Sequence[Any], longest: int) -> list[Any]:
    return [
        row if len(row) <= longest or is_text(row) else row[:longest] for row in rows
    ]


@functools.lru_cache
def content_type(header: str) -> tuple[str, tuple[int, int] | None]:
    """Returns a Content-Type's media type and its ``infer_max_seqlens``.

    Args:
        header: For example ``application/json; infer_max_seqlens=50,100``; JSON where
            it is empty.

    Raises:
        BadRequest: 415 for another type, 400 for lengths that are none.
    """
    media_type, *parameters = [part.strip() for part in header.split(";")]
    media_type = media_type.lower() or JSON
    if media_type not in MEDIA_TYPES:
        raise BadRequest(
            f"Content-Type {media_type} is not known here; send {JSON} or {JSON_LINES}",
            status=415,
        )
    max_lens = None
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        name, value = name.strip().lower(), value.strip().strip('"')
        if name == "charset" and value.lower() not in ("utf-8", "utf8", "us-ascii"):
            raise BadRequest(
                f"charset {value} is not known here; send UTF-8", status=415
            )
        if name == "infer_max_seqlens":
            max_lens = _max_lens(value)
    return media_type, max_lens


def _max_lens(text: str) -> tuple[int, int]:
    match = _MAX_LENS.fullmatch(text)
    lengths = tuple(map(int, match.groups())) if match else ()
    if len(lengths) != 2 or not all(1 <= length <= _LONGEST for length in lengths):
        raise BadRequest(
            f"infer_max_seqlens={text} in Content-Type: expected two integers in "
            f"1..{_LONGEST}, for in0 and in1, such as infer_max_seqlens=50,100"
        )
    return lengths[0], lengths[1]


@functools.lru_cache
def accepted(header: str, otherwise: str) -> str:
    """Returns the media type of the answer.

    Args:
        header: The request's Accept, empty where there is none.
        otherwise: The request's media type, which answers what asks for anything.

    Raises:
        BadRequest: 406, what is asked for is not had.
    """
    ranges: list[tuple[float, str]] = []
    for part in filter(None, (part.strip() for part in header.split(","))):
        media_range, *parameters = [text.strip().lower() for text in part.split(";")]
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if quality > 0:
            ranges.append((quality, media_range))
    if not header.strip():
        return otherwise
    for _, media_range in sorted(ranges, key=lambda pair: -pair[0]):
        if media_range in MEDIA_TYPES:
            return media_range
        if media_range in ("*/*", "application/*", "*"):
            return otherwise
    raise BadRequest(
        f"Accept {header} cannot be had here; ask for {JSON} or {JSON_LINES}",
        status=406,
    )


def encode_predictions(predictions: Predictions, output: str, media_type: str) -> bytes:
    """Returns the body of a response.

    Args:
        predictions: Embeddings or scores, float32 ``[rows, width]``.
        output: The name of the output: embeddings or scores.
        media_type: application/json or application/jsonlines.
    """
    array = np.ascontiguousarray(predictions)
    lists = orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
    start, end = f'{{"{output}":['.encode(), b"]}"
    between = b"," if media_type == JSON else b"\n"
    objects = start + lists[2:-2].replace(b"],[", end + between + start) + end
    if not len(predictions):
        objects = b""
    if media_type == JSON:
        return b'{"predictions":[' + objects + b"]}"
    return objects + b"\n" if objects else b""
