"""The range of one hyperparameter in a search: an interval of numbers, or choices."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import optuna

from object2vec_tf.hyperparameters import Specification
from object2vec_tf.hyperparameters.kinds import Integer, LayerCount, Real

# A logarithmic scale cannot contain 0. It starts at this fraction of the upper end.
_MIN_FRACTION_OF_HIGH = 1e-6
# Real numbers are rounded to this many digits, so that they are easy to read.
_SIGNIFICANT_DIGITS = 4


class Dimension(Protocol):
    """The methods of every range."""

    def suggest(self, trial: optuna.trial.BaseTrial, name: str) -> Any:
        """Returns a trial's value of the hyperparameter ``name``."""

    def contains(self, value: Any) -> bool:
        """Whether ``suggest`` can return this value."""


@dataclasses.dataclass(frozen=True)
class Numbers:
    """The numbers from ``low`` to ``high``, both included.

    Attributes:
        low: The lower end.
        high: The upper end.
        is_integer: Whether only integers are drawn.
        log_scale: Whether values are drawn on a logarithmic scale.
    """

    low: float
    high: float
    is_integer: bool
    log_scale: bool

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"

    @property
    def lowest(self) -> float:
        """The lowest number that can be drawn: above 0 on a logarithmic scale."""
        if self.log_scale and self.low == 0:
            return self.high * _MIN_FRACTION_OF_HIGH
        return self.low

    def suggest(self, trial: optuna.trial.BaseTrial, name: str) -> float:
        """Returns a trial's value of the hyperparameter ``name``."""
        if self.is_integer:
            low, high = int(self.lowest), int(self.high)
            return trial.suggest_int(name, low, high, log=self.log_scale)
        value = trial.suggest_float(name, self.lowest, self.high, log=self.log_scale)
        rounded = float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
        return min(max(rounded, self.lowest), self.high)

    def contains(self, value: Any) -> bool:
        """Whether a value is a number within the range."""
        return isinstance(value, int | float) and self.lowest <= value <= self.high


@dataclasses.dataclass(frozen=True)
class Choices:
    """One of a few values.

    Attributes:
        choices: The values.
    """

    choices: tuple[Any, ...]

    def __str__(self) -> str:
        return "|".join(map(str, self.choices))

    def suggest(self, trial: optuna.trial.BaseTrial, name: str) -> Any:
        """Returns a trial's value of the hyperparameter ``name``."""
        return trial.suggest_categorical(name, self.choices)

    def contains(self, value: Any) -> bool:
        """Whether a value is one of the choices."""
        return value in self.choices


def tunable_dimension(specification: Specification) -> Dimension | None:
    """Returns the range that AWS tunes over; None if AWS does not tune it."""
    if specification.tunable is None:
        return None
    if isinstance(specification.tunable[0], str):
        return Choices(specification.tunable)
    return _numbers(specification, *specification.tunable)


def parse_dimension(specification: Specification, text: str) -> Dimension:
    """Returns the range that a user wrote: ``1e-4..1e-2`` or ``tanh|relu``.

    Raises:
        ValueError: The text is not a range. The message says what is expected.
    """
    kind = specification.kind
    low, dots, high = text.partition("..")
    if dots and isinstance(kind, Integer | LayerCount | Real):
        ends = [kind.parse(end.strip()) for end in (low, high)]
        if not all(isinstance(end, int | float) for end in ends):
            raise ValueError(f"expected two numbers, got {text!r}")
        numbers = _numbers(specification, *ends)
        if not numbers.low < numbers.high:
            raise ValueError(f"expected the lower number first, got {text!r}")
        return numbers
    choices = tuple(kind.parse(choice.strip()) for choice in text.split("|"))
    if len({*choices}) < 2 or len({*choices}) < len(choices):
        raise ValueError(f"expected LOW..HIGH or ONE|ANOTHER, got {text!r}")
    return Choices(choices)


def _numbers(specification: Specification, low: Any, high: Any) -> Numbers:
    is_integer = isinstance(specification.kind, Integer | LayerCount)
    return Numbers(low, high, is_integer, specification.log_scale)
