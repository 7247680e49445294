"""Kinds of hyperparameter values: types with a range, a parser and a description.

A kind converts a typed value from Python, or a string from a flag or from SageMaker,
into the typed value, or raises ``ValueError`` with what it expected. ``valid``
describes the range in words, for messages, help and docs.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Protocol


class Kind(Protocol):
    """Interface of all kinds."""

    @property
    def valid(self) -> str:
        """Description of the valid values."""

    def parse(self, value: object) -> object:
        """Returns the typed value.

        Raises:
            ValueError: ``value`` is invalid. The message describes valid values.
        """


def _error(kind: Kind, value: object) -> ValueError:
    """Returns the error for an invalid value."""
    return ValueError(f"expected {kind.valid}, got {value!r}")


@dataclasses.dataclass(frozen=True)
class Integer:
    """An integer in ``low..high``, both included; without maximum if high is None."""

    low: int
    high: int | None = None

    @property
    def valid(self) -> str:
        """Description of the range."""
        if self.high is None:
            return f"an integer of {self.low} or more"
        return f"an integer in {self.low}..{self.high}"

    def parse(self, value: object) -> int:
        """Returns ``value`` as an int; strings and whole floats are accepted."""
        try:
            if isinstance(value, str):
                number = int(value)
            elif isinstance(value, bool) or value != int(value):  # type: ignore[call-overload]
                raise _error(self, value)
            else:
                number = int(value)  # type: ignore[call-overload]
        except (TypeError, ValueError, OverflowError) as error:
            raise _error(self, value) from error
        if number < self.low or (self.high is not None and number > self.high):
            raise _error(self, value)
        return number


@dataclasses.dataclass(frozen=True)
class Real:
    """A finite number in ``low..high``, both included."""

    low: float
    high: float

    @property
    def valid(self) -> str:
        """Description of the range."""
        return f"a number in {self.low:g}..{self.high:g}"

    def parse(self, value: object) -> float:
        """Returns ``value`` as a float."""
        if isinstance(value, bool):
            raise _error(self, value)
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError) as error:
            raise _error(self, value) from error
        if math.isnan(number) or not self.low <= number <= self.high:
            raise _error(self, value)
        return number


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of several words."""

    choices: tuple[str, ...]

    @property
    def valid(self) -> str:
        """Description of the choices."""
        return "one of " + ", ".join(self.choices)

    def parse(self, value: object) -> str:
        """Returns the choice."""
        word = value.strip() if isinstance(value, str) else value
        if not isinstance(word, str) or word not in self.choices:
            raise _error(self, value)
        return word


@dataclasses.dataclass(frozen=True)
class Boolean:
    """True or False."""

    @property
    def valid(self) -> str:
        """Description of the choices."""
        return "True or False"

    def parse(self, value: object) -> bool:
        """Returns a bool; SageMaker's strings are accepted in upper and lower case."""
        if isinstance(value, bool):
            return value
        words = {"true": True, "1": True, "false": False, "0": False}
        if isinstance(value, str) and value.strip().lower() in words:
            return words[value.strip().lower()]
        raise _error(self, value)


@dataclasses.dataclass(frozen=True)
class LayerCount:
    """The word auto, or a number of layers in ``low..high``."""

    low: int = 1
    high: int = 4

    @property
    def valid(self) -> str:
        """Description of the choices."""
        return f"auto or an integer in {self.low}..{self.high}"

    def parse(self, value: object) -> int | str:
        """Returns ``"auto"`` or an int."""
        if isinstance(value, str) and value.strip().lower() == "auto":
            return "auto"
        try:
            return Integer(self.low, self.high).parse(value)
        except ValueError as error:
            raise _error(self, value) from error


@dataclasses.dataclass(frozen=True)
class Lengths:
    """Lengths ``min..max``, with ``1 <= min <= max <= high``; an empty string for none.

    Attributes:
        high: The largest length.
    """

    high: int

    @property
    def valid(self) -> str:
        """Description of the valid values."""
        return f"lengths min..max within 1..{self.high}, such as 3..6"

    def parse(self, value: object) -> str:
        """Returns the text ``min..max``; an empty string for none."""
        if not isinstance(value, str):
            raise _error(self, value)
        text = value.strip()
        if not text:
            return text
        match = re.fullmatch(r"([0-9]{1,4})\s*\.\.\s*([0-9]{1,4})", text)
        ends = [int(end) for end in match.groups()] if match else [0, 0]
        if not 1 <= ends[0] <= ends[1] <= self.high:
            raise _error(self, value)
        return f"{ends[0]}..{ends[1]}"


@dataclasses.dataclass(frozen=True)
class FileName:
    """The name of a file in the auxiliary channel, or an empty string for none."""

    pattern: str = r"[A-Za-z0-9._]*"

    @property
    def valid(self) -> str:
        """Description of the pattern."""
        return f"a file name in the auxiliary channel ({self.pattern})"

    def parse(self, value: object) -> str:
        """Returns the name; an empty string for none."""
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise _error(self, value)
        return value


@dataclasses.dataclass(frozen=True)
class OrderedSubset:
    """Different words in a given order: ``"hadamard, concat"``."""

    choices: tuple[str, ...]

    @property
    def valid(self) -> str:
        """Description of the choices."""
        return "a comma-separated list without repeats of " + ", ".join(self.choices)

    def parse(self, value: object) -> str:
        """Returns the words, joined with a comma and a space."""
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or not parts:
            raise _error(self, value)
        words = [part.strip() if isinstance(part, str) else part for part in parts]
        is_known = all(word in self.choices for word in words)
        if not is_known or len(set(words)) != len(words):
            raise _error(self, value)
        return ", ".join(words)
