"""Bodies of JSON Lines: decoding them, and finding the first invalid line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from object2vec_tf.files.object_lines import numbered_lines
from object2vec_tf.inference.request_errors import BadRequest

_Content = TypeVar("_Content")
# The status of invalid bodies; other errors are not those of a line.
_INVALID = 400


def decode_body(
    body: bytes,
    decode: Callable[[bytes, Sequence[str]], _Content],
    names: Sequence[str],
    names_of: Callable[[_Content], Sequence[str]],
) -> _Content:
    r"""Returns the content of a body of JSON Lines.

    Args:
        body: The body, without a byte order mark.
        decode: Decodes lines, all of which must be valid and have the inputs with the
            given names, if there are any.
        names: The names of the inputs that the body must have; empty for any.
        names_of: Returns the names of the inputs of decoded lines.

    Raises:
        BadRequest: A line is invalid. The path is that of the first one.

    Example:
        >>> def decode(body, names):
        ...     if b"bad" in body:
        ...         raise BadRequest("bad", "$[0]")
        >>> decode_body(b"good\n\ngood\nbad\ngood\nbad", decode, (), lambda _: ())
        Traceback (most recent call last):
        object2vec_tf.inference.request_errors.BadRequest: $[2]: bad
    """
    try:
        return decode(body, names)
    except BadRequest as error:
        lines = [line for _, line in numbered_lines(body)]
        if not lines or error.status != _INVALID:
            raise
        whole_body = error
    start, stop = 0, len(lines)
    # The lines before start are valid, and one of those before stop is not.
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            content = decode(b"\n".join(lines[start:middle]), names)
        except BadRequest:
            stop = middle
        else:
            names, start = names or names_of(content), middle
    try:
        decode(lines[start], names)
    except BadRequest as error:
        raise error.at_row(start) from None
    raise whole_body
