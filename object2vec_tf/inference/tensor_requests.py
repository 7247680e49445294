"""Requests in TF Serving's JSON formats: rows or columns of a signature's inputs.

Source: TF Serving's documentation, "RESTful API", and its ``util/json_tensor.cc``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Sequence
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
from object2vec_tf.inference.tensor_objects import (
    PAIR,
    RequestObjects,
    objects_of_columns,
    objects_of_rows,
    shortened,
)

DEFAULT_SIGNATURE: Final = "serving_default"
CLASSIFY: Final = "classify"
REGRESS: Final = "regress"

_INPUTS: Final = {
    "embed_enc0": ("in0",),
    "embed_enc1": ("in1",),
    "predict_pair": ("in0", "in1"),
    RECOMMEND: ("in0", "exclude"),
}


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

    def decode(self, body: bytes, max_values: int | None = None) -> TensorRequest:
        """Returns the content of a request for predictions.

        Args:
            body: The request's body.
            max_values: The maximum number of values of the response; None for any.

        Raises:
            BadRequest: The body is invalid, or this model cannot answer it.
        """
        content = self._content(body)
        signature = self._signatures.get(content.signature_name)
        if signature is None:
            raise BadRequest(
                f"expected one of {', '.join(filter(None, self._signatures))}, got "
                f'"{shortened(content.signature_name)}"',
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
            rows = self._rows(body, names, max_values)
            return TensorRequest(signature, columns, rows)
        values = _loads(raw)
        objects = (
            objects_of_columns(values, names)
            if columns
            else objects_of_rows(values, names)
        )
        if signature == RECOMMEND:
            recommend = self._recommended(objects, max_values)
            return TensorRequest(RECOMMEND, columns, {}, recommend)
        return TensorRequest(signature, columns, self._rows_of(objects, max_values))

    def decode_examples(
        self, body: bytes, method: str, max_values: int | None = None
    ) -> TensorRequest:
        """Returns the content of a request for classes, or for a regression.

        Args:
            body: The request's body.
            method: classify or regress.
            max_values: The maximum number of values of the response, and of ids that
                the context adds to the examples; None for any.

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
                f'expected {signature}, got "{shortened(content.signature_name)}"',
                "$.signature_name",
            )
        if not bytes(content.examples):
            raise BadRequest("expected examples, a list of objects, got none", "$")
        context = _loads(bytes(content.context) or b"{}")
        values = _loads(bytes(content.examples))
        if not isinstance(context, dict):
            raise BadRequest("expected an object of features", "$.context")
        objects = objects_of_rows(values, PAIR, "examples")
        # A tf.Example without a feature has no values of it, and does not distinguish
        # a value from a list with one.
        added: dict[str, Any] = {"in0": [], "in1": []} | context
        added = {name: _listed(added[name]) for name in PAIR}
        size = max(map(len, added.values()))
        if max_values is not None and objects.count * size > max_values:
            raise BadRequest(
                f"expected a context that adds at most {max_values} ids to the "
                f"examples, got {size} for each of {objects.count}. Send at most "
                f"{max_values // size} examples per request",
                "$.context",
                status=413,
            )

        def row(number: int) -> dict[str, Any]:
            own = objects.row(number)
            return added | {name: _listed(own[name]) for name in PAIR if name in own}

        examples = dataclasses.replace(objects, row=row, size=size + 1)
        return TensorRequest(signature, False, self._rows_of(examples, max_values))

    def _content(self, body: bytes) -> _Body:
        try:
            return self._body.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise explain_error(
                error, body, False, {}, expected={"signature_name": "a string"}
            ) from error

    def _rows_of(self, objects: RequestObjects, max_values: int | None) -> Rows:
        self._objects.check_size(objects.names, objects.count, max_values)
        rows: dict[str, list[Any]] = {name: [] for name in objects.names}
        for part in objects.parts():
            content = [
                {name: row[name] for name in objects.names if name in row}
                for row in part.rows
            ]
            body = json.dumps({"instances": content}).encode()
            try:
                decoded = self._rows(body, objects.names)
            except BadRequest as error:
                raise part.moved(error) from error
            for name, values in decoded.items():
                rows[name] += values
        return rows if objects.count else {}

    def _rows(
        self, body: bytes, names: Sequence[str], max_values: int | None = None
    ) -> Rows:
        rows = self._objects.decode(body, max_values=max_values)
        if rows and [*rows] != [*names]:
            raise BadRequest(
                f"expected {' and '.join(names)}, the inputs of the signature, got "
                f"{' and '.join(rows)}. Set signature_name to the signature of these "
                "inputs",
                "$.instances[0]",
            )
        return rows

    def _recommended(
        self, objects: RequestObjects, max_values: int | None
    ) -> RecommendRequest:
        assert self._recommend
        self._recommend.check_size(objects.count, self._k, max_values)
        requests = []
        for part in objects.parts():
            rows = [row | {"k": self._k, "rescore": False} for row in part.rows]
            body = json.dumps({"instances": rows}).encode()
            try:
                requests.append(self._recommend.decode(body))
            except BadRequest as error:
                raise part.moved(error) from error
        return RecommendRequest.concatenate(requests)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | str) else [value]


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
