"""The kinds of value a hyperparameter takes: how each is parsed and described.

A kind turns whatever it is handed (a typed value from Python, a string from a flag
or from SageMaker) into the typed value, or raises ``ValueError`` saying what it
expected. ``valid`` is the same range in words, for messages, help and docs.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Protocol


class Kind(Protocol):
    """What every kind of value can do."""

    @property
    def valid(self) -> str:
        """The valid values, in words."""

    def parse(self, value: object) -> object:
        """Returns the typed value.

        Raises:
            ValueError: ``value`` is not valid; the message says what would be.
        """


def _refuse(kind: Kind, value: object) -> ValueError:
    return ValueError(f"expected {kind.valid}, got {value!r}")


@dataclasses.dataclass(frozen=True)
class Integer:
    """An integer in ``low..high``, both included; no upper end where high is None."""

    low: int
    high: int | None = None

    @property
    def valid(self) -> str:
        """The range in words."""
        if self.high is None:
            return f"an integer of {self.low} or more"
        return f"an integer in {self.low}..{self.high}"

    def parse(self, value: object) -> int:
        """Returns ``value`` as an int; strings and whole floats are accepted."""
        try:
            if isinstance(value, str):
                number = int(value)
            elif isinstance(value, bool) or value != int(value):  # type: ignore[call-overload]
                raise _refuse(self, value)
            else:
                number = int(value)  # type: ignore[call-overload]
        except (TypeError, ValueError, OverflowError) as error:
            raise _refuse(self, value) from error
        if number < self.low or (self.high is not None and number > self.high):
            raise _refuse(self, value)
        return number


@dataclasses.dataclass(frozen=True)
class Real:
    """A finite number in ``low..high``, both included."""

    low: float
    high: float

    @property
    def valid(self) -> str:
        """The range in words."""
        return f"a number in {self.low:g}..{self.high:g}"

    def parse(self, value: object) -> float:
        """Returns ``value`` as a float."""
        if isinstance(value, bool):
            raise _refuse(self, value)
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError) as error:
            raise _refuse(self, value) from error
        if math.isnan(number) or not self.low <= number <= self.high:
            raise _refuse(self, value)
        return number


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of a few words."""

    choices: tuple[str, ...]

    @property
    def valid(self) -> str:
        """The choices in words."""
        return "one of " + ", ".join(self.choices)

    def parse(self, value: object) -> str:
        """Returns the choice."""
        word = value.strip() if isinstance(value, str) else value
        if not isinstance(word, str) or word not in self.choices:
            raise _refuse(self, value)
        return word


@dataclasses.dataclass(frozen=True)
class Boolean:
    """True or False."""

    @property
    def valid(self) -> str:
        """The choices in words."""
        return "True or False"

    def parse(self, value: object) -> bool:
        """Returns a bool; the strings SageMaker sends are accepted in any case."""
        if isinstance(value, bool):
            return value
        words = {"true": True, "1": True, "false": False, "0": False}
        if isinstance(value, str) and value.strip().lower() in words:
            return words[value.strip().lower()]
        raise _refuse(self, value)


@dataclasses.dataclass(frozen=True)
class LayerCount:
    """The word auto, or a number of layers."""

    low: int = 1
    high: int = 4

    @property
    def valid(self) -> str:
        """The choices in words."""
        return f"auto or an integer in {self.low}..{self.high}"

    def parse(self, value: object) -> int | str:
        """Returns ``"auto"`` or an int."""
        if isinstance(value, str) and value.strip().lower() == "auto":
            return "auto"
        try:
            return Integer(self.low, self.high).parse(value)
        except ValueError as error:
            raise _refuse(self, value) from error


@dataclasses.dataclass(frozen=True)
class FileName:
    """The name of a file in the auxiliary channel, or nothing."""

    pattern: str = r"[A-Za-z0-9._]*"

    @property
    def valid(self) -> str:
        """The pattern in words."""
        return f"a file name in the auxiliary channel ({self.pattern})"

    def parse(self, value: object) -> str:
        """Returns the name, the empty string for none."""
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise _refuse(self, value)
        return value


@dataclasses.dataclass(frozen=True)
class OrderedSubset:
    """Some of a few words, in an order, none twice: ``"hadamard, concat"``."""

    choices: tuple[str, ...]

    @property
    def valid(self) -> str:
        """The choices in words."""
        return "a comma-separated list without repeats of " + ", ".join(self.choices)

    def parse(self, value: object) -> str:
        """Returns the words joined with a comma and a space."""
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or not parts:
            raise _refuse(self, value)
        words = [part.strip() if isinstance(part, str) else part for part in parts]
        known = all(word in self.choices for word in words)
        if not known or len(set(words)) != len(words):
            raise _refuse(self, value)
        return ", ".join(words)
