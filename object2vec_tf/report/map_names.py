"""Places the names of some points of a scatter plot, so that none covers another."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

# The most names, and the most characters of each.
_MAX_NAMES: Final = 14
_MAX_LENGTH: Final = 24
# The estimated sizes of letters, and the space around a name, in pixels.
_LETTER_WIDTH, _WIDE_WIDTH, _FULL_WIDTH = 5.7, 8.5, 11.0
_LETTER_HEIGHT, _MARGIN = 11.0, 4.0
_WIDE_LETTERS: Final = frozenset('mw<>=+@%&"…')
# The distance between a point and its name, in pixels.
_GAP: Final = 5.0


class MapName(NamedTuple):
    """A name next to a point; the position is in pixels."""

    x: float
    y: float
    anchor: str
    text: str


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: _Box) -> bool:
        return (
            self.left < other.right + _MARGIN
            and other.left < self.right + _MARGIN
            and self.top < other.bottom + _MARGIN
            and other.top < self.bottom + _MARGIN
        )


def map_names(
    names: Sequence[str],
    positions: Iterable[tuple[float, float]],
    right: float,
) -> list[MapName]:
    """Chooses the first points whose names fit, and places these names.

    Numbers are left out: token ids say nothing to a reader.

    Args:
        names: The name of each point, the most important ones first.
        positions: The position of each point, in pixels.
        right: The right end of the chart, which no name crosses.
    """
    placed: list[MapName] = []
    boxes: list[_Box] = []
    for name, (x, y) in zip(names, positions, strict=True):
        if len(placed) == _MAX_NAMES:
            break
        if not any(letter.isalpha() for letter in name):
            continue
        text = _shortened(name)
        width = sum(map(_width, text))
        is_left = x + _GAP + width > right
        left = x - _GAP - width if is_left else x + _GAP
        half = _LETTER_HEIGHT / 2
        box = _Box(left, y - half, left + width, y + half)
        if left < 0 or any(map(box.overlaps, boxes)):
            continue
        boxes.append(box)
        anchor = "end" if is_left else "start"
        placed.append(MapName(x - _GAP if is_left else x + _GAP, y + 3.5, anchor, text))
    return placed


def _width(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return _FULL_WIDTH
    is_wide = letter.isupper() or letter in _WIDE_LETTERS
    return _WIDE_WIDTH if is_wide else _LETTER_WIDTH


def _shortened(name: str) -> str:
    if len(name) <= _MAX_LENGTH:
        return name
    return name[: _MAX_LENGTH - 1].rstrip() + "…"
