"""Requests in TF Serving's JSON formats: rows or columns of a signature's inputs.

Source: TF Serving's documentation, "RESTful API", and its ``util/json_tensor.cc``.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from object2vec_tf.inference.catalog import RECOMMEND
from object2vec_tf.inference.ragged_inputs import Rows
from object2vec_tf.inference.recommend_requests import (
    RecommendDecoder,
    RecommendRequest,
)
from object2vec_tf.inference.request_codec import RequestDecoder
from object2vec_tf.inference.request_errors import BadRequest, explain_error

DEFAULT_SIGNATURE: Final = "serving_default"
CLASSIFY: Final = "classify"
REGRESS: Final = "regress"

_INPUTS: Final = {
    "embed_enc0": ("in0",),
    "embed_enc1": ("in1",),
    "predict_pair": ("in0", "in1"),
    RECOMMEND: ("in0", "exclude"),
}
# The path of an error in the rows that a request was converted to.
_ROW_PATH: Final = re.compile(r"\$\.instances(?:\[(\d+)\](?:\.(\w+))?)?(.*)")
_EXAMPLE: Final = '{"in0": [1], "in1": [2]}'


class _Body(msgspec.Struct):
    signature_name: str = DEFAULT_SIGNATURE
    instances: msgspec.Raw = msgspec.Raw()
    inputs: msgspec.Raw = msgspec.Raw()
    examples: msgspec.Raw = msgspec.Raw()
    context: msgspec.Raw = msgspec.Raw()


@dataclasses.dataclass(frozen=True)
class TensorRequest:
    """A request for the outputs of a signature.

    Attributes:
        signature: The signature, whose inputs may be text.
        columns: Whether request and response have columns instead of rows.
        rows: Token ids and texts by input name; empty if there are none.
        recommend: The request for recommended items, if the signature is ``recommend``.
    """

    signature: str
    columns: bool
    rows: Rows
    recommend: RecommendRequest | None = None


class TensorDecoder:
    """Decodes requests for the signatures of a model.

    More is accepted than by TF Serving: rows of different lengths, an id without its
    list, whole numbers with a decimal point, and text or ids for each signature.

    Args:
        objects: Decodes the objects of rows.
        recommend: Decodes requests for recommended items, if the model has items.
        texts: The inputs that may be text.
        k: The number of items that the signature ``recommend`` returns.
        is_classifier: Whether the model's scores are probabilities of classes.
    """

    def __init__(
        self,
        objects: RequestDecoder,
        recommend: RecommendDecoder | None = None,
        texts: Collection[str] = (),
        *,
        k: int = 0,
        is_classifier: bool = False,
    ) -> None:
        self._objects = objects
        self._recommend = recommend
        self._k = k
        self._is_classifier = is_classifier
        self._body = msgspec.json.Decoder(_Body)
        self._signatures: dict[str, str] = {}
        for name, inputs in _INPUTS.items():
            if name == RECOMMEND and recommend is None:
                continue
            self._signatures[name] = name
            if set(texts) & set(inputs):
                self._signatures[f"{name}_text"] = name
        self._signatures |= {DEFAULT_SIGNATURE: "predict_pair", "": "predict_pair"}

    def decode(self, body: bytes) -> TensorRequest:
        """Returns the content of a request for predictions.

        Args:
            body: The request's body.

        Raises:
            BadRequest: The body is invalid, or this model cannot answer it.
        """
        content = self._content(body)
        signature = self._signatures.get(content.signature_name)
        if signature is None:
            raise BadRequest(
                f"expected one of {', '.join(filter(None, self._signatures))}, got "
                f'"{content.signature_name}"',
                "$.signature_name",
            )
        columns = bool(bytes(content.inputs))
        if columns == bool(bytes(content.instances)):
            got = "both" if columns else "neither"
            raise BadRequest(f"expected either instances or inputs, got {got}", "$")
        raw = bytes(content.inputs if columns else content.instances)
        names = _INPUTS[signature]
        if not columns and signature != RECOMMEND and _is_plain(raw):
            # Each instance is an object without base64; other keys are ignored.
            return TensorRequest(signature, columns, self._rows(body, names))
        where = "inputs" if columns else "instances"
        convert = _rows_of_columns if columns else _objects
        values = _loads(raw)
        objects, is_named = convert(values, names)
        for i, row in enumerate(objects):
            for name in ("in0", "in1"):
                if name in row:
                    path = _place(where, i, name if is_named else None)
                    row[name] = _without_base64(row[name], path)
        try:
            if signature == RECOMMEND:
                return self._recommended(objects, columns)
            return TensorRequest(signature, columns, self._rows_of(objects, names))
        except BadRequest as error:
            raise _moved(error, where, is_named) from error

    def decode_examples(self, body: bytes, method: str) -> TensorRequest:
        """Returns the content of a request for classes, or for a regression.

        Args:
            body: The request's body.
            method: classify or regress.

        Raises:
            BadRequest: The body is invalid, or this model cannot answer it.
        """
        content = self._content(body)
        signature = f"{method}_pair"
        if self._is_classifier != (method == CLASSIFY):
            other = "classify" if self._is_classifier else "regress"
            raise BadRequest(
                f"this model has no signature {signature}. Use :{other} or :predict"
            )
        if content.signature_name not in (DEFAULT_SIGNATURE, "", signature):
            raise BadRequest(
                f'expected {signature}, got "{content.signature_name}"',
                "$.signature_name",
            )
        if not bytes(content.examples):
            raise BadRequest("expected examples, a list of objects, got none", "$")
        context = _loads(bytes(content.context) or b"{}")
        values = _loads(bytes(content.examples))
        if not isinstance(context, dict):
            raise BadRequest("expected an object of features", "$.context")
        objects, _ = _objects(values, ("in0", "in1"), "examples")
        # A tf.Example without a feature has no values of it, and does not distinguish
        # a value from a list with one.
        objects = [{"in0": [], "in1": []} | context | row for row in objects]
        for row in objects:
            for name in ("in0", "in1"):
                if not isinstance(row[name], list | str):
                    row[name] = [row[name]]
        try:
            rows = self._rows_of(objects, ("in0", "in1"))
        except BadRequest as error:
            raise _moved(error, "examples") from error
        return TensorRequest(signature, False, rows)

    def _content(self, body: bytes) -> _Body:
        try:
            return self._body.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise explain_error(
                error, body, False, {}, expected={"signature_name": "a string"}
            ) from error

    def _rows_of(
        self, objects: Sequence[Mapping[str, Any]], names: Sequence[str]
    ) -> Rows:
        content = [
            {name: row[name] for name in names if name in row} for row in objects
        ]
        return self._rows(json.dumps({"instances": content}).encode(), names)

    def _rows(self, body: bytes, names: Sequence[str]) -> Rows:
        rows = self._objects.decode(body)
        if rows and [*rows] != [*names]:
            raise BadRequest(
                f"expected {' and '.join(names)}, the inputs of the signature, got "
                f"{' and '.join(rows)}. Set signature_name to the signature of these "
                "inputs",
                "$.instances[0]",
            )
        return rows

    def _recommended(
        self, objects: Sequence[dict[str, Any]], columns: bool
    ) -> TensorRequest:
        assert self._recommend
        for row in objects:
            row |= {"k": self._k, "rescore": False}
        body = json.dumps({"instances": objects}).encode()
        request = self._recommend.decode(body)
        return TensorRequest(RECOMMEND, columns, {}, request)


def _is_plain(raw: bytes) -> bool:
    return (
        raw.startswith(b"[")
        and raw[1:].lstrip().startswith(b"{")
        and b'"b64"' not in raw
    )


def _loads(raw: bytes) -> Any:
    def reject(constant: str) -> Any:
        raise BadRequest(
            f"the body is not JSON: expected a number, got {constant}", "$"
        )

    try:
        return json.loads(raw, parse_constant=reject)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}", "$") from error


def _objects(
    values: Any, names: Sequence[str], where: str = "instances"
) -> tuple[list[dict[str, Any]], bool]:
    """Returns instances as objects, and whether they were objects with names."""
    if not isinstance(values, list):
        raise BadRequest("expected a list", f"$.{where}")
    is_named = bool(values) and _is_object(values[0])
    for i, value in enumerate(values):
        if _is_object(value) != is_named:
            kind = "an object" if is_named else "a list"
            raise BadRequest(f"expected {kind}, as before", f"$.{where}[{i}]")
    if is_named or not values:
        return [dict(value) for value in values], True
    if (len(names) > 1 and "exclude" not in names) or where == "examples":
        raise BadRequest(
            f"expected an object with the inputs {' and '.join(names)} of the "
            "signature",
            f"$.{where}[0]",
        )
    return [{names[0]: value} for value in values], False


def _rows_of_columns(
    values: Any, names: Sequence[str]
) -> tuple[list[dict[str, Any]], bool]:
    """Returns columns as objects, and whether they had names."""
    if not isinstance(values, dict) or not _is_object(values):
        if not isinstance(values, list):
            raise BadRequest("expected an object of lists, or a list", "$.inputs")
        return _objects_of_list(values, names)
    required = [name for name in names if name != "exclude"]
    given = [name for name in (*names, "in0", "in1") if name in values]
    if not set(required) <= set(given) or not set(given) <= set(names):
        raise BadRequest(
            f"expected {' and '.join(required)}, the inputs of the signature, got "
            f"{' and '.join(values) or 'none'}. Set signature_name to the signature of "
            "these inputs",
            "$.inputs",
        )
    first = given[0]
    for name in given:
        if not isinstance(values[name], list):
            raise BadRequest("expected a list", f"$.inputs.{name}")
        if len(values[name]) != len(values[first]):
            raise BadRequest(
                f"expected {len(values[first])} rows, as in {first}, got "
                f"{len(values[name])}",
                f"$.inputs.{name}",
            )
    rows = zip(*(values[name] for name in given), strict=True)
    return [dict(zip(given, row, strict=True)) for row in rows], True


def _objects_of_list(
    values: Sequence[Any], names: Sequence[str]
) -> tuple[list[dict[str, Any]], bool]:
    if len(names) > 1 and "exclude" not in names:
        raise BadRequest(
            f"expected an object with the inputs {' and '.join(names)} of the "
            "signature, got a list",
            "$.inputs",
        )
    return [{names[0]: value} for value in values], False


def _is_object(value: Any) -> bool:
    """Returns whether a value is an object, and not a string in base64."""
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) == 1
        and isinstance(value.get("b64"), str)
    )


def _without_base64(value: Any, path: str) -> Any:
    """Returns an object with its strings in base64 decoded."""
    if isinstance(value, list):
        return [_without_base64(x, f"{path}[{i}]") for i, x in enumerate(value)]
    if not _is_base64(value):
        return value
    text = value["b64"]
    try:
        text += "=" * (-len(text) % 4)
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"expected UTF-8 text in base64: {error}", path) from error


def _place(where: str, row: int, name: str | None) -> str:
    """Returns the JSONPath of an object."""
    if where == "inputs":
        return f"$.inputs.{name}[{row}]" if name else f"$.inputs[{row}]"
    return f"$.{where}[{row}].{name}" if name else f"$.{where}[{row}]"


def _moved(error: BadRequest, where: str, is_named: bool = True) -> BadRequest:
    """Returns an error in converted rows with its path in the request."""
    match = _ROW_PATH.fullmatch(error.path)
    if match is None:
        return error
    row, name, rest = match.groups()
    path = f"$.{where}"
    if row is not None:
        path = _place(where, int(row), name if is_named else None)
        if where == "inputs" and name is None and is_named:
            path = "$.inputs"
    return BadRequest(error.reason, path + rest, error.status)
