"""The objects of a request in TF Serving's formats: rows, or columns of inputs."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from object2vec_tf.inference.request_errors import BadRequest

PAIR: Final = ("in0", "in1")
# The path of an error in the rows that a request was converted to.
_ROW_PATH: Final = re.compile(r"\$\.instances(?:\[(\d+)\](?:\.(\w+))?)?(.*)")
# Requests are converted in parts with this many values, which take about 10 MB.
_PART_VALUES: Final = 1 << 14
# Longer texts are abbreviated in messages.
_MAX_SHOWN: Final = 60
_MAX_SHOWN_NAMES: Final = 10


@dataclasses.dataclass(frozen=True)
class RequestObjects:
    """The objects of a request, which are converted a part at a time.

    A row of a column takes two bytes, and more than 300 as a dictionary.

    Attributes:
        where: The key of the request: inputs, instances or examples.
        names: The inputs of the signature.
        is_named: Whether the names of the inputs are in the request.
        count: The number of objects.
        row: Returns the object with a number.
        size: About the number of values of an object.
    """

    where: str
    names: Sequence[str]
    is_named: bool
    count: int
    row: Callable[[int], dict[str, Any]]
    size: int = 1

    def parts(self) -> Iterator[ObjectsPart]:
        """Yields the objects in parts; strings in base64 are decoded."""
        step = max(_PART_VALUES // self.size, 1)
        for start in range(0, self.count, step):
            numbers = range(start, min(start + step, self.count))
            yield ObjectsPart(
                self, start, [self._decoded(number) for number in numbers]
            )

    def _decoded(self, number: int) -> dict[str, Any]:
        row = self.row(number)
        for name in () if self.where == "examples" else PAIR:
            if name in row:
                place = _place(self.where, number, name if self.is_named else None)
                row[name] = _without_base64(row[name], place)
        return row


@dataclasses.dataclass(frozen=True)
class ObjectsPart:
    """Some of the objects of a request.

    Attributes:
        objects: All objects.
        start: The number of the first of these.
        rows: These objects.
    """

    objects: RequestObjects
    start: int
    rows: list[dict[str, Any]]

    def moved(self, error: BadRequest) -> BadRequest:
        """Returns an error in these rows with its path in the request."""
        match = _ROW_PATH.fullmatch(error.path)
        if match is None:
            return error
        row, name, rest = match.groups()
        where, is_named = self.objects.where, self.objects.is_named
        path = f"$.{where}"
        if row is not None:
            number = self.start + int(row)
            path = _place(where, number, name if is_named else None)
            if where == "inputs" and name is None and is_named:
                path = "$.inputs"
        return BadRequest(error.reason, path + rest, error.status)


def objects_of_rows(
    values: Any, names: Sequence[str], where: str = "instances"
) -> RequestObjects:
    """Returns instances, which may be objects with names, as objects."""
    if not isinstance(values, list):
        raise BadRequest("expected a list", f"$.{where}")
    is_named = bool(values) and _is_object(values[0])
    for i, value in enumerate(values):
        if _is_object(value) != is_named:
            kind = "an object" if is_named else "a list"
            raise BadRequest(f"expected {kind}, as before", f"$.{where}[{i}]")
    if is_named or not values:
        return RequestObjects(
            where, names, True, len(values), lambda i: dict(values[i])
        )
    if (len(names) > 1 and "exclude" not in names) or where == "examples":
        raise BadRequest(
            f"expected an object with the inputs {' and '.join(names)} of the "
            "signature",
            f"$.{where}[0]",
        )
    return RequestObjects(
        where, names, False, len(values), lambda i: {names[0]: values[i]}
    )


def objects_of_columns(values: Any, names: Sequence[str]) -> RequestObjects:
    """Returns columns, which may have names, as objects."""
    if not isinstance(values, dict) or not _is_object(values):
        if not isinstance(values, list):
            raise BadRequest("expected an object of lists, or a list", "$.inputs")
        return _objects_of_list(values, names)
    required = [name for name in names if name != "exclude"]
    given = [name for name in (*names, "in0", "in1") if name in values]
    if not set(required) <= set(given) or not set(given) <= set(names):
        got = ", ".join(map(str, [*values][:_MAX_SHOWN_NAMES])) or "none"
        raise BadRequest(
            f"expected {' and '.join(required)}, the inputs of the signature, got "
            f"{shortened(got)}. Set signature_name to the signature of these inputs",
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

    def row(number: int) -> dict[str, Any]:
        return {name: values[name][number] for name in given}

    return RequestObjects("inputs", names, True, len(values[first]), row)


def _objects_of_list(values: Sequence[Any], names: Sequence[str]) -> RequestObjects:
    if len(names) > 1 and "exclude" not in names:
        raise BadRequest(
            f"expected an object with the inputs {' and '.join(names)} of the "
            "signature, got a list",
            "$.inputs",
        )
    return RequestObjects(
        "inputs", names, False, len(values), lambda i: {names[0]: values[i]}
    )


def shortened(text: str) -> str:
    """Returns a text of a message, abbreviated if it is long."""
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."


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
