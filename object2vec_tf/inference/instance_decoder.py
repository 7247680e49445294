"""Decodes the objects of requests from JSON: token ids, ids of any kind, and text.

Token ids are usually written as integers. msgspec checks these while it parses. Only
what it rejects is parsed again, with ids that may be written as 3.0.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

import msgspec

from object2vec_tf.files.object_lines import (
    MAX_EXACT_FLOAT,
    LineError,
    count_objects,
    decode_object,
    numbered_lines,
)
from object2vec_tf.inference.ragged_inputs import PADDING
from object2vec_tf.inference.request_errors import BadRequest, token_message
from object2vec_tf.ragged.token_ids import IdLimits
from object2vec_tf.text.json_objects import decode_lines


class InstanceDecoder:
    r"""Decodes bodies of instances; every token id is -1 or in its vocabulary.

    Args:
        limits: The limits of the objects of each input, by name.
        texts: The inputs that may be text too.
        external_ids: The inputs that contain ids of any kind.
        options: Further fields and their types. The body of JSON may have them too, for
            all instances that lack them.

    Example:
        >>> from object2vec_tf.inference.instance_decoder import InstanceDecoder
        >>> from object2vec_tf.ragged.token_ids import IdLimits
        >>> decoder = InstanceDecoder({"in0": IdLimits(10, 3)})
        >>> [row.in0 for row in decoder.decode(b'{"in0": 5}\n{"in0": [6.0]}', True)]
        [5, [6]]
    """

    def __init__(
        self,
        limits: Mapping[str, IdLimits],
        texts: Collection[str] = (),
        external_ids: Collection[str] = (),
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._limits = limits
        self._texts = texts
        self._external_ids = external_ids
        self._options = options

    def decode(self, body: bytes, lines: bool) -> Sequence[Any]:
        """Returns the instances of a body, with integers as ids.

        Fields that neither an instance nor its body has are ``msgspec.UNSET``.

        Args:
            body: The body.
            lines: Whether it is JSON Lines.

        Raises:
            BadRequest: A number is no id, or a line is not one object. The path of
                JSON Lines need not be that of the first invalid line.
            msgspec.DecodeError: The body is invalid in another way.
            RecursionError: It is nested too deeply.
            UnicodeDecodeError: It is not UTF-8.
        """
        if not lines:
            return self._decode(body, lines)
        count = count_objects(body)
        if count is not None:
            try:
                instances = self._decode(body, lines)
                if len(instances) == count:
                    return instances
            except (msgspec.DecodeError, BadRequest):
                pass  # perhaps a value that another one of the same name replaces
        return self._decode(self._last_values(body), lines)

    def _last_values(self, body: bytes) -> bytes:
        """Returns lines that have every field once."""
        names = [*self._limits, *self._options]
        lines = []
        for row, (_, line) in enumerate(numbered_lines(body)):
            try:
                fields = decode_object(line)
            except LineError as error:
                self._check_fields(line)
                raise BadRequest(str(error), f"$[{row}]") from None
            members = [
                b'"%b":%b' % (n.encode(), fields[n]) for n in names if n in fields
            ]
            lines.append(b"{%b}" % b",".join(members))
        return b"\n".join(lines)

    def _check_fields(self, line: bytes) -> None:
        """Checks the fields of an invalid line, as far as it can be read.

        Raises:
            msgspec.ValidationError: A field has a wrong value.
        """
        try:
            self._strict.decode(line, True)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass

    def _decode(self, body: bytes, lines: bool) -> Sequence[Any]:
        try:
            return self._strict.decode(body, lines)
        except msgspec.ValidationError:
            instances = self._lenient.decode(body, lines)
        path = "$" if lines else "$.instances"
        for i, instance in enumerate(instances):
            for name in self._limits:
                value = getattr(instance, name)
                if value is not msgspec.UNSET:
                    place = f"{path}[{i}].{name}"
                    setattr(instance, name, self._integers(value, name, place))
        return instances

    @functools.cached_property
    def _strict(self) -> _Decoders:
        return self._decoders(
            lambda size: Annotated[int, msgspec.Meta(ge=PADDING, lt=size)], int
        )

    @functools.cached_property
    def _lenient(self) -> _Decoders:
        return self._decoders(lambda size: int | float, int | float)

    def _decoders(self, token: Any, number: Any) -> _Decoders:
        """Returns decoders.

        Args:
            token: Returns the type of a token id, for a vocabulary size.
            number: The type of a number that is an id of any kind.
        """
        fields: list[Any] = []
        for name, limits in self._limits.items():
            item: Any = token(limits.size)
            if name in self._external_ids:
                item = number | str
            elif name in self._texts:
                item = item | str
            objects: Any = list[item] | item | msgspec.UnsetType
            fields.append((name, objects, msgspec.UNSET))
        # msgspec ignores all keys that are not fields.
        options: list[Any] = [
            (name, kind | msgspec.UnsetType, msgspec.UNSET)
            for name, kind in self._options.items()
        ]
        return _Decoders(fields, options)

    def _integers(self, value: Any, name: str, place: str) -> Any:
        """Returns an object with integers in place of whole numbers."""
        if not isinstance(value, list):
            return self._integer(value, name, place)
        return [
            self._integer(item, name, f"{place}[{position}]")
            for position, item in enumerate(value)
        ]

    def _integer(self, item: Any, name: str, place: str) -> Any:
        if isinstance(item, str):
            return item
        if isinstance(item, float):
            if not item.is_integer():
                problem = "Expected `int`, got `float`"
                raise self._error(item, name, problem, place)
            if abs(item) < MAX_EXACT_FLOAT or name not in self._external_ids:
                item = int(item)
            else:
                raise self._error(item, name, "Expected `int`", place)
        if name not in self._external_ids:
            if item < PADDING:
                raise self._error(item, name, f"Expected `int` >= {PADDING}", place)
            if item >= self._limits[name].size:
                raise self._error(item, name, "Expected `int` <= 0", place)
        return item

    def _error(self, item: Any, name: str, problem: str, place: str) -> BadRequest:
        got = f", got {json.dumps(item)}"
        if name in self._external_ids:
            message = f"expected an integer or a string{got}"
            if item.is_integer():  # a float from 2**53 on
                message += ", which is not exact. Write it without a decimal point"
        else:
            message = token_message(name, problem, got, self._limits, self._texts)
        return BadRequest(message, place)


class _Decoders:
    """The decoders of a line with an instance, and of a body with instances.

    Args:
        fields: The fields of an instance, as ``msgspec.defstruct`` takes them.
        options: The fields of an instance or of its body.
    """

    def __init__(self, fields: Sequence[Any], options: Sequence[Any]) -> None:
        instance: Any = msgspec.defstruct("Instance", [*fields, *options], gc=False)
        body: Any = msgspec.defstruct("Body", [("instances", list[instance]), *options])
        self._options = [name for name, _, _ in options]
        self._line = msgspec.json.Decoder(instance)
        self._body = msgspec.json.Decoder(body)

    def decode(self, body: bytes, lines: bool) -> Sequence[Any]:
        """Returns the instances of a body; see `InstanceDecoder.decode`."""
        if lines:
            return decode_lines(self._line, body)
        content = self._body.decode(body)
        instances: Sequence[Any] = content.instances
        for name in self._options:
            common = getattr(content, name)
            if common is not msgspec.UNSET:
                for instance in instances:
                    if getattr(instance, name) is msgspec.UNSET:
                        setattr(instance, name, common)
        return instances


def object_rows(objects: Sequence[Any], padded: bool = True) -> list[Any]:
    """Returns decoded token ids as lists without padding; texts as they are.

    Args:
        objects: Lists, single ids and texts.
        padded: Whether there may be padding.

    Example:
        >>> from object2vec_tf.inference.instance_decoder import object_rows
        >>> object_rows([[3, -1, 4], 5, -1, "a text"])
        [[3, 4], [5], [], 'a text']
    """
    rows = list(objects)
    if {*map(type, rows)} - {list, str}:
        rows = [[row] if isinstance(row, int) else row for row in rows]
    if padded and any(type(row) is list and PADDING in row for row in rows):
        rows = [
            [item for item in row if item != PADDING] if type(row) is list else row
            for row in rows
        ]
    return rows
