"""The colors of charts and their legends.

Every color has a contrast of at least 3 to the page, light or dark, as WCAG 2.2 asks of
graphics. So charts need no second set of colors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from object2vec_tf.report.number_format import number_text

# Distinguishable with most kinds of color blindness (after Okabe and Ito).
COLORS: Final = (
    "#1f77b4",
    "#d9760a",
    "#23956a",
    "#c5508f",
    "#938200",
    "#8566c4",
    "#d9482b",
    "#14949a",
    "#97714a",
    "#5b83f0",
)
OTHERS_COLOR: Final = "#868686"
# RGB from the lowest value to the highest.
GRADIENT: Final = ((47, 111, 214), (190, 60, 130), (218, 124, 18))
_GRADIENT_CELLS, _GRADIENT_STEP = 24, 5
# The estimated width of a letter of a legend or an axis, in pixels.
LETTER_WIDTH: Final = 6.2
_DOT_WIDTH: Final = 26
_OTHERS: Final = "others"


class LegendEntry(NamedTuple):
    """A dot and a name in a legend; the position is in pixels."""

    x: float
    name: str
    color: str


class Gradient(NamedTuple):
    """The legend of a scale of values.

    Attributes:
        x: The left end of the strip of colors, in pixels.
        step: The width of each color, in pixels.
        colors: The colors, from the lowest value to the highest.
        low: The lowest value.
        high: The highest value.
    """

    x: float
    step: int
    colors: list[str]
    low: str
    high: str


class PointColors(NamedTuple):
    """The colors of points, and their legend.

    Attributes:
        points: The color of each point.
        legend: The classes with a color of their own; None if values are a scale.
        gradient: The scale; None for classes, and if all values are equal.
    """

    points: list[str]
    legend: list[LegendEntry] | None
    gradient: Gradient | None


def legend(x: float, colors: Mapping[str, str]) -> list[LegendEntry]:
    """Lays out a legend from left to right, starting at ``x`` pixels."""
    entries = []
    for name, color in colors.items():
        entries.append(LegendEntry(x, name, color))
        x += _entry_width(name)
    return entries


def class_colors(
    values: npt.NDArray[np.float64], x: float, width: float
) -> PointColors:
    """Colors classes; those that have no place in the legend share one color.

    Args:
        values: The class of each point.
        x: The left end of the legend, in pixels.
        width: Its width, in pixels.
    """
    classes, counts = np.unique(values, return_counts=True)
    by_count = classes[np.lexsort((classes, -counts))].tolist()
    widths = np.cumsum([_entry_width(f"{value:.0f}") for value in by_count])
    shown = min(len(COLORS), len(classes))
    if widths[shown - 1] + _entry_width(_OTHERS) * (shown < len(classes)) > width:
        shown = int(np.searchsorted(widths, width - _entry_width(_OTHERS), "right"))
    colors = dict(zip(sorted(by_count[:shown]), COLORS, strict=False))
    names = {f"{value:.0f}": color for value, color in colors.items()}
    if len(classes) > shown:
        names[_OTHERS] = OTHERS_COLOR
    points = [colors.get(value, OTHERS_COLOR) for value in values.tolist()]
    return PointColors(points, legend(x, names), None)


def gradient_colors(values: npt.NDArray[np.float64], x: float) -> PointColors:
    """Colors values from the lowest to the highest.

    Args:
        values: The value of each point.
        x: The left end of the legend, in pixels.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:  # a scale from 1 to 1 would say nothing
        return PointColors([COLORS[0]] * len(values), None, None)
    low_text, high_text = number_text(low), number_text(high)
    gradient = Gradient(
        x=x + 6 + LETTER_WIDTH * len(low_text),
        step=_GRADIENT_STEP,
        colors=[_color(i / (_GRADIENT_CELLS - 1)) for i in range(_GRADIENT_CELLS)],
        low=low_text,
        high=high_text,
    )
    shares = (values - low) / (high - low)
    return PointColors([_color(share) for share in shares.tolist()], None, gradient)


def _entry_width(name: str) -> float:
    return _DOT_WIDTH + LETTER_WIDTH * len(name)


def _color(share: float) -> str:
    """Returns the color at a share, from 0 to 1, of the gradient."""
    position = share * (len(GRADIENT) - 1)
    index = min(int(position), len(GRADIENT) - 2)
    low, high = GRADIENT[index], GRADIENT[index + 1]
    mixed = [
        round(a + (b - a) * (position - index)) for a, b in zip(low, high, strict=True)
    ]
    return "#{:02x}{:02x}{:02x}".format(*mixed)
