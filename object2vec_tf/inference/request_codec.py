"""Object2Vec's wire format: media types, request bodies and response bodies.

Source: the Amazon SageMaker developer guide, "Object2Vec Inference Formats".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import orjson

from object2vec_tf.files.object_lines import BOM
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.answer_parts import joined, row_slices
from object2vec_tf.inference.finite import require_finite
from object2vec_tf.inference.instance_decoder import InstanceDecoder, object_rows
from object2vec_tf.inference.line_bodies import decode_body
from object2vec_tf.inference.ragged_inputs import Predictions, Rows, output_name
from object2vec_tf.inference.request_errors import (
    BadRequest,
    OtherInputs,
    explain_error,
)
from object2vec_tf.inference.text_inputs import is_text
from object2vec_tf.ragged.token_ids import IdLimits, token_end

JSON = "application/json"
JSON_LINES = "application/jsonlines"
MEDIA_TYPES = (JSON, JSON_LINES)

_MAX_SEQLENS = re.compile(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*")
_MAX_SEQ_LEN = 5000
# Longer headers are parsed again for each request, so that the caches stay small.
_MAX_CACHED = 256


class RequestDecoder:
    """Decodes requests and checks every id against its vocabulary.

    Args:
        limits: The limits of the objects of each input, by name.
        texts: The inputs that may be text too.
        external_ids: The inputs that contain ids of any kind. Unless they are in texts,
            the model's runtime cannot look them up.
        widths: The number of values of a row of each output, by name.

    Attributes:
        expected: The values that ids of any kind may have, for `explain_error`.
    """

    def __init__(
        self,
        limits: Mapping[str, IdLimits],
        texts: Collection[str] = (),
        external_ids: Collection[str] = (),
        *,
        widths: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._limits = limits
        self._texts = texts
        self._external_ids = external_ids
        self._widths = widths
        self.expected: dict[str, str] = {}
        for name in external_ids:
            self.expected[name] = "a list of ids, integers or strings, or a single id"
            self.expected[f"{name}[]"] = "an integer or a string"
        self._decoder = InstanceDecoder(limits, texts, external_ids)

    def decode(
        self,
        body: bytes,
        media_type: str = JSON,
        max_lens: tuple[int, int] | None = None,
        max_values: int | None = None,
        names: Sequence[str] | None = None,
    ) -> Rows:
        """Returns the objects of a request by input name: token ids, or text.

        Ids of any kind are returned as lists of strings.

        Args:
            body: The request's body.
            media_type: application/json or application/jsonlines.
            max_lens: The request's own maximum lengths of in0 and in1; the model's
                apply too.
            max_values: The maximum number of values of the response; None for any.
            names: The inputs that the lines of a file must have, empty for any; None
                for the body of a request, which may start with a byte order mark.

        Raises:
            BadRequest: The body is invalid, or this model cannot answer it. Of JSON
                Lines, the path is that of the first invalid line.
        """
        if media_type == JSON_LINES:
            rows = decode_body(
                body if names is not None else body.removeprefix(BOM),
                lambda lines, found: self._rows_of_lines(lines, found, max_values),
                names or (),
                tuple,
            )
        else:
            rows = self._rows(body, False, max_values)
        return self.truncate(rows, max_lens)

    def _rows_of_lines(
        self, body: bytes, names: Sequence[str], max_values: int | None
    ) -> Rows:
        """Returns the objects of lines; all have the inputs with these names."""
        rows = self._rows(body, True, max_values)
        if not rows:
            raise BadRequest(
                'expected one object per line, such as {"in0": [1]}, got an empty body',
                "$",
            )
        if names and tuple(rows) != tuple(names):
            raise _other_inputs(names, tuple(rows), "$[0]")
        return rows

    def _rows(self, body: bytes, lines: bool, max_values: int | None) -> Rows:
        try:
            instances = self._decoder.decode(body, lines)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise explain_error(
                error, body, lines, self._limits, self._texts, expected=self.expected
            ) from error
        path = "$" if lines else "$.instances"
        names = _input_names(instances, path)
        self.check_size(names, len(instances), max_values)
        rows = {name: [getattr(row, name) for row in instances] for name in names}
        for name in names:
            rows[name] = self.checked(rows[name], name, path, b"-" in body)
        return rows

    def check_size(
        self, names: Collection[str], rows: int, max_values: int | None
    ) -> None:
        """Rejects a request whose response would be too large.

        Args:
            names: The inputs of the request.
            rows: The number of its objects.
            max_values: The maximum number of values of the response; None for any.

        Raises:
            BadRequest: 413, the response would have more values.
        """
        width = self._widths.get(output_name(dict.fromkeys(names)), 0)
        if max_values is not None and rows * width > max_values:
            raise BadRequest(
                f"expected at most {max_values} values in a response, got {rows} "
                f"objects with {width} values each. Send at most {max_values // width} "
                "objects per request, or start the gateway with a larger "
                "--max_response_values.",
                status=413,
            )

    def checked(
        self, objects: Sequence[Any], name: str, path: str, padded: bool = True
    ) -> list[Any]:
        """Returns decoded objects without padding; ids of any kind as strings.

        Args:
            objects: The objects of one input.
            name: Its name.
            path: The JSONPath of the list of objects.
            padded: Whether there may be padding.

        Raises:
            BadRequest: A list contains both ids and strings, or the model's runtime
                cannot look ids up.
        """
        if name in self._external_ids:
            if name not in self._texts:
                raise BadRequest(
                    f"{name}: expected a runtime that looks ids up in the vocabulary, "
                    "got onnxruntime. Use the TensorFlow runtime",
                    path,
                )
            return [_item_texts(row) for row in objects]
        rows = object_rows(objects, padded)
        if name in self._texts:
            _check_kinds(objects, name, path)
        return rows

    def truncate(self, rows: Rows, max_lens: tuple[int, int] | None = None) -> Rows:
        """Truncates token ids to their maximum lengths; text is left as it is.

        Args:
            rows: The objects by input name.
            max_lens: The request's own maximum lengths of in0 and in1.
        """
        own = dict(zip(("in0", "in1"), max_lens or (_MAX_SEQ_LEN,) * 2, strict=True))
        return {
            name: _truncated(
                objects,
                min(own[name], self._limits[name].max_len),
                self._limits[name].continued_from,
            )
            for name, objects in rows.items()
        }


def output_widths(hyperparameters: Hyperparameters) -> dict[str, int]:
    """Returns the number of values of a row of each output, by name."""
    return {
        "embeddings": int(hyperparameters.enc_dim),
        "scores": int(hyperparameters.output_dim),
    }


def _item_texts(row: Any) -> list[str]:
    """Returns an id of any kind, or a list of them, as a list of strings."""
    return [str(item) for item in row] if isinstance(row, list) else [str(row)]


def _input_names(instances: Sequence[Any], path: str) -> list[str]:
    """Returns the inputs that all instances have."""
    names: list[str] = []
    for i, instance in enumerate(instances):
        own = [n for n in ("in0", "in1") if getattr(instance, n) is not msgspec.UNSET]
        if not own:
            raise BadRequest(
                "expected in0 or in1 for an embedding, or both for a score, got "
                "neither",
                f"{path}[{i}]",
            )
        if i and own != names:
            raise _other_inputs(names, own, f"{path}[{i}]")
        names = own
    return names


def _other_inputs(names: Sequence[str], own: Sequence[str], path: str) -> OtherInputs:
    return OtherInputs(
        f"expected {' and '.join(names)} as in the objects before, got "
        f"{' and '.join(own)}. Send embeddings of in0, embeddings of in1 and "
        "scores in separate requests.",
        path,
    )


def _check_kinds(objects: Sequence[Any], name: str, path: str) -> None:
    """Rejects lists that contain both ids and strings."""
    for i, row in enumerate(objects):
        if isinstance(row, str | int) or len({type(item) for item in row}) < 2:
            continue
        other = next(j for j, item in enumerate(row) if type(item) is not type(row[0]))
        raise BadRequest(
            "expected only token ids or only strings in a list, got both",
            f"{path}[{i}].{name}[{other}]",
        )


def _truncated(
    objects: Sequence[Any], max_len: int, continued_from: int | None
) -> list[Any]:
    return [
        row
        if len(row) <= max_len or is_text(row)
        else row[: token_end(row, max_len, continued_from)]
        for row in objects
    ]


def parse_content_type(header: str) -> tuple[str, tuple[int, int] | None]:
    """Returns the media type and the ``infer_max_seqlens`` of a Content-Type header.

    Args:
        header: For example ``application/json; infer_max_seqlens=50,100``. An empty
            header means JSON.

    Raises:
        BadRequest: 415 for another media type or charset, 400 for invalid lengths.
    """
    if len(header) > _MAX_CACHED:
        return _parse_content_type.__wrapped__(header)
    return _parse_content_type(header)


@functools.lru_cache
def _parse_content_type(header: str) -> tuple[str, tuple[int, int] | None]:
    media_type, *parameters = [part.strip() for part in header.split(";")]
    media_type = media_type.lower() or JSON
    if media_type not in MEDIA_TYPES:
        raise BadRequest(
            f"Content-Type: expected {JSON} or {JSON_LINES}, got {media_type}",
            status=415,
        )
    max_lens = None
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        name, value = name.strip().lower(), value.strip().strip('"')
        if name == "charset" and value.lower() not in ("utf-8", "utf8", "us-ascii"):
            raise BadRequest(
                f"Content-Type: charset: expected UTF-8, got {value}", status=415
            )
        if name == "infer_max_seqlens":
            max_lens = _parse_max_seqlens(value)
    return media_type, max_lens


def _parse_max_seqlens(text: str) -> tuple[int, int]:
    match = _MAX_SEQLENS.fullmatch(text)
    lengths = tuple(map(int, match.groups())) if match else ()
    if len(lengths) != 2 or not all(1 <= length <= _MAX_SEQ_LEN for length in lengths):
        raise BadRequest(
            "Content-Type: infer_max_seqlens: expected two integers in "
            f"1..{_MAX_SEQ_LEN}, for in0 and in1, such as 50,100, got {text}"
        )
    return lengths[0], lengths[1]


def response_media_type(accept: str, request_type: str) -> str:
    """Returns the media type of the response.

    Args:
        accept: The request's Accept header; empty if there is none.
        request_type: The request's media type, which is also the response's unless
            Accept asks for another one.

    Raises:
        BadRequest: 406, no acceptable media type is available.
    """
    if len(accept) > _MAX_CACHED:
        return _response_media_type.__wrapped__(accept, request_type)
    return _response_media_type(accept, request_type)


@functools.lru_cache
def _response_media_type(accept: str, request_type: str) -> str:
    ranges: list[tuple[float, str]] = []
    for part in filter(None, (part.strip() for part in accept.split(","))):
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
    if not accept.strip():
        return request_type
    for _, media_range in sorted(ranges, key=lambda pair: -pair[0]):
        if media_range in MEDIA_TYPES:
            return media_range
        if media_range in ("*/*", "application/*", "*"):
            return request_type
    raise BadRequest(
        f"Accept: expected {JSON} or {JSON_LINES}, got {accept}", status=406
    )


def encode_predictions(predictions: Predictions, output: str, media_type: str) -> bytes:
    """Returns the body of a response.

    Args:
        predictions: Embeddings or scores, float32 ``[rows, width]``.
        output: The name of the output: embeddings or scores.
        media_type: application/json or application/jsonlines.
    """
    return b"".join(prediction_parts(predictions, output, media_type))


def prediction_parts(
    predictions: Predictions, output: str, media_type: str
) -> Iterator[bytes]:
    """Yields the body of a response in parts of bounded size.

    Args:
        predictions: Embeddings or scores, float32 ``[rows, width]``.
        output: The name of the output: embeddings or scores.
        media_type: application/json or application/jsonlines.

    Raises:
        BadRequest: 500, a prediction is not a finite number.
    """
    require_finite(predictions, output)
    start, end = f'{{"{output}":['.encode(), b"]}"
    between = b"," if media_type == JSON else b"\n"
    next_object = end + between + start

    def objects(first: int, last: int) -> bytes:
        array = np.ascontiguousarray(predictions[first:last])
        lists = orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
        return start + lists[2:-2].replace(b"],[", next_object) + end

    slices = row_slices(*predictions.shape)
    parts = (objects(first, last) for first, last in slices)
    if media_type == JSON:
        return joined(parts, b'{"predictions":[', b"]}")
    return (part + b"\n" for part in parts)
