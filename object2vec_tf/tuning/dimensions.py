"""One hyperparameter's range in a search: numbers between two ends, or choices."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import optuna

from object2vec_tf.hyperparameters import Specification
from object2vec_tf.hyperparameters.kinds import Integer, LayerCount, Real

# A logarithmic scale has no 0: it begins at this share of its upper end.
_LEAST_SHARE = 1e-6
# Real numbers are drawn with so many digits, for people to read.
_DIGITS = 4


class Dimension(Protocol):
    """What every range can do."""

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """Returns a trial's value of the hyperparameter ``name``."""

    def holds(self, value: Any) -> bool:
        """Whether a value can be drawn."""


@dataclasses.dataclass(frozen=True)
class Numbers:
    """The numbers from ``low`` to ``high``, both included.

    Attributes:
        low: The lower end.
        high: The upper end.
        is_whole: Whether only whole numbers are drawn.
        by_factors: Whether they are drawn on a logarithmic scale.
    """

    low: float
    high: float
    is_whole: bool
    log_scale: bool

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"

    @property
    def lowest(self) -> float:
        """The least number that is drawn."""
        if self.log_scale and self.low == 0:
            return self.high * _LEAST_SHARE
        return self.low

    def suggest(self, trial: optuna.Trial, name: str) -> float:
        """Returns a trial's value."""
        if self.is_whole:
            low, high = int(self.lowest), int(self.high)
            return trial.suggest_int(name, low, high, log=self.log_scale)
        drawn = trial.suggest_float(name, self.lowest, self.high, log=self.log_scale)
        return min(max(float(f"{drawn:.{_DIGITS}g}"), self.lowest), self.high)

    def holds(self, value: Any) -> bool:
        """Whether a value can be drawn."""
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

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """Returns a trial's value."""
        return trial.suggest_categorical(name, self.choices)

    def holds(self, value: Any) -> bool:
        """Whether a value can be drawn."""
        return value in self.choices


def tunable_dimension(specification: Specification) -> Dimension | None:
    """Returns the range AWS tunes over; None where it does not."""
    if specification.tunable is None:
        return None
    if isinstance(specification.tunable[0], str):
        return Choices(specification.tunable)
    return _numbers(specification, *specification.tunable)


def written_dimension(specification: Specification, text: str) -> Dimension:
    """Returns the range a user wrote: ``1e-4..1e-2`` or ``tanh|relu``.

    Raises:
        ValueError: It is none; the message says what would be.
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
    is_whole = isinstance(specification.kind, Integer | LayerCount)
    return Numbers(low, high, is_whole, specification.log_scale)
