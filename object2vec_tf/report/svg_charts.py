"""Charts in SVG for a self-contained page: curves, scatter plots and bars.

The functions compute positions and colors; ``templates/*.svg.j2`` hold the markup. Its
CSS classes (``title``, ``axis``, ``grid``, ``frame`` and ``kept``) are those of the
page's style sheet, ``templates/style.css.j2``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from object2vec_tf.report.chart_colors import (
    COLORS,
    LETTER_WIDTH,
    class_colors,
    gradient_colors,
    legend,
)
from object2vec_tf.report.map_names import map_names
from object2vec_tf.report.number_format import number_text, score_text, share_text
from object2vec_tf.report.rendering import render_html

# The size of a scatter plot, and its margins at the left, right and top, in pixels.
_MAP_WIDTH, _MAP_LEFT, _MAP_TOP = 460, 26, 46
_MAX_BARS = 12
_MAX_EPOCH_TICKS = 10
# The least space between the texts of two ticks, in pixels.
_TICK_GAP = 8


@dataclasses.dataclass(frozen=True)
class _Area:
    """The size of a chart and the edges of its plot area, in pixels."""

    width: int = 460
    height: int = 250
    left: int = 62
    right: int = 446
    top: int = 46
    bottom: int = 206


_AREA = _Area()


class _Tick(NamedTuple):
    """A mark on an axis: its position in pixels, and its text."""

    position: float
    text: str


def curves(
    title: str, series: Mapping[str, Sequence[float]], best: int | None = None
) -> Markup:
    """Draws values by epoch, with a line for each series.

    Args:
        title: The name of the values.
        series: Finite values of epochs 1, 2, ... by name; at least one.
        best: The epoch to mark, counted from 0.
    """
    ticks = _round_values(
        min(map(min, series.values())), max(map(max, series.values()))
    )
    low, high = ticks[0], ticks[-1]
    epochs = max(map(len, series.values()))

    def x(epoch: int) -> float:
        return _AREA.left + epoch / max(epochs - 1, 1) * (_AREA.right - _AREA.left)

    def y(value: float) -> float:
        return _AREA.top + (high - value) / (high - low) * (_AREA.bottom - _AREA.top)

    lines = [
        (color, [(x(epoch), y(value)) for epoch, value in enumerate(values)])
        for color, values in zip(COLORS, series.values(), strict=False)
    ]
    ends = "; ".join(
        f"{name} from {score_text(values[0])} to {score_text(values[-1])}"
        for name, values in series.items()
    )
    return render_html(
        "curves.svg.j2",
        area=_AREA,
        title=title,
        description=f"Line chart of {title} in {epochs} epochs: {ends}",
        legend=legend(_AREA.left, dict(zip(series, COLORS, strict=False))),
        y_ticks=[_Tick(y(value), f"{value:,.6g}") for value in ticks],
        x_ticks=[_Tick(x(e - 1), f"{e:,}") for e in _epoch_numbers(epochs)],
        best_x=None if best is None else x(best),
        lines=lines,
    )


def scatter(
    title: str,
    vectors: npt.NDArray[np.float32],
    names: Sequence[str],
    values: npt.NDArray[np.float64],
    value_title: str,
    classes: bool = False,
) -> Markup:
    """Draws the two principal components of vectors, colored by a value.

    Args:
        title: The name of the chart.
        vectors: float ``[points, dim]``.
        names: The name of each point, displayed while the mouse is over it.
        values: The value of each point, ``[points]``.
        value_title: The name of the values.
        classes: Whether the values are classes, each with a color of its own, instead
            of points on a scale.
    """
    components = principal_components(vectors)
    variance = float(vectors.astype(np.float64).var(axis=0).sum()) or 1.0
    shares = components.var(axis=0) / variance
    side = _MAP_WIDTH - 2 * _MAP_LEFT
    colors = (
        class_colors(values, _MAP_LEFT, side)
        if classes
        else gradient_colors(values, _MAP_LEFT)
    )
    positions = [
        (_MAP_LEFT + x * side, _MAP_TOP + (1 - y) * side)
        for x, y in _unit_positions(components).tolist()
    ]
    points = [
        {"x": x, "y": y, "color": color, "name": f"{name} ({number_text(value)})"}
        for (x, y), color, name, value in zip(
            positions, colors.points, names, values.tolist(), strict=True
        )
    ]
    is_colored = colors.legend is not None or colors.gradient is not None
    remark = f"color: {value_title}"
    if not is_colored:
        remark = f"{value_title} of all: {number_text(float(values[0]))}"
    return render_html(
        "scatter.svg.j2",
        title=title,
        remark=remark,
        description=f"Scatter plot of {len(names):,} embeddings of {title}. {remark}",
        width=_MAP_WIDTH,
        left=_MAP_LEFT,
        top=_MAP_TOP,
        side=side,
        legend=colors.legend,
        gradient=colors.gradient,
        axes=[
            f"principal component {number} ({share_text(share)} of the variance)"
            for number, share in enumerate(shares.tolist(), 1)
        ],
        points=points,
        names=map_names(names, positions, _MAP_WIDTH),
    )


def bars(
    title: str,
    values: npt.NDArray[np.generic],
    axis: str,
    max_bars: int = _MAX_BARS,
) -> Markup:
    """Draws how often each value occurs, or each range of values if they are many.

    Args:
        title: The name of the chart.
        values: Finite numbers; at least one.
        axis: The name of the values.
        max_bars: The most values that have a bar of their own.
    """
    counts, names = _histogram(values, max_bars)
    ticks = _round_values(0, float(counts.max()), whole=True)
    width = (_AREA.right - _AREA.left) / len(counts)
    scale = (_AREA.bottom - _AREA.top) / ticks[-1]
    # Ranges have their limits between the bars; values are centered below their bars.
    shift = 0.0 if len(names) > len(counts) else 0.5
    x_ticks = [
        _Tick(_AREA.left + (number + shift) * width, name)
        for number, name in enumerate(names)
    ]
    described = "; ".join(
        f"{name}: {count:,}"
        for name, count in zip(names, counts.tolist(), strict=False)
        if count
    )
    label = f"{axis} from" if shift == 0 else axis
    return render_html(
        "bars.svg.j2",
        area=_AREA,
        title=title,
        description=f"Bar chart of {title}. Pairs by {label} {described}",
        axis=axis,
        color=COLORS[0],
        y_ticks=[_Tick(_AREA.bottom - scale * v, f"{v:,.6g}") for v in ticks],
        x_ticks=_thinned(x_ticks, width),
        bars=[
            {
                "x": _AREA.left + number * width + 1,
                "y": _AREA.bottom - scale * count,
                "width": max(width - 2, 1),
                "height": scale * count,
                "text": f"{count:,}",
            }
            for number, count in enumerate(counts.tolist())
        ],
    )


def principal_components(
    vectors: npt.NDArray[np.float32], count: int = 2
) -> npt.NDArray[np.float64]:
    """Returns the coordinates of vectors along the axes of their largest variance.

    Args:
        vectors: float ``[points, dim]``.
        count: The number of axes. It may exceed the number of points or dimensions;
            the coordinates along the extra axes are 0.

    Returns:
        float ``[points, count]``.
    """
    centered = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    components = centered @ axes[:count].T
    return np.pad(components, [(0, 0), (0, count - components.shape[1])])


def _unit_positions(components: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Maps coordinates, ``[points, 2]``, to the unit square; outliers to its border."""
    # Without clipping, a few outliers would press all other points together.
    low, high = np.quantile(components, (0.01, 0.99), axis=0)
    margin = (high - low) / 4
    low = np.maximum(low - margin, components.min(axis=0))
    high = np.minimum(high + margin, components.max(axis=0))
    span = np.where(high > low, high - low, 1)
    return np.where(high > low, np.clip((components - low) / span, 0, 1), 0.5)


def _histogram(
    values: npt.NDArray[np.generic], max_bars: int
) -> tuple[npt.NDArray[np.generic], list[str]]:
    """Counts how often values occur or, if they are many, ranges of values.

    Args:
        values: Finite numbers; at least one.
        max_bars: The most values that are counted one by one.

    Returns:
        The counts, and the text below each bar or, for ranges, of the limits between
        the bars.
    """
    distinct, counts = np.unique(values, return_counts=True)
    integers = np.issubdtype(distinct.dtype, np.integer)
    if integers and distinct[-1] - distinct[0] < max_bars:
        # Values that do not occur have a bar of height 0.
        every = np.arange(distinct[0], distinct[-1] + 1)
        counts = np.bincount(distinct - distinct[0], counts, len(every))
        return counts.astype(np.int64), [str(value) for value in every.tolist()]
    if integers or len(distinct) > max_bars:
        limits = _round_values(
            float(distinct[0]), float(distinct[-1]), _MAX_BARS - 2, integers
        )
        counts, _ = np.histogram(distinct, limits, weights=counts)
        return counts, [f"{limit:,.6g}" for limit in limits]
    return counts, [f"{value:,.6g}" for value in distinct.tolist()]


def _thinned(ticks: Sequence[_Tick], distance: float) -> list[_Tick]:
    """Returns the first of the ticks and every further one that has enough space.

    Args:
        ticks: Marks at equal distances.
        distance: The distance between two of them, in pixels.
    """
    widest = LETTER_WIDTH * max(len(tick.text) for tick in ticks) + _TICK_GAP
    return list(ticks[:: max(1, math.ceil(widest / distance))])


def _epoch_numbers(epochs: int) -> list[int]:
    """Returns the first epoch, and round numbers up to the last one.

    Example:
        >>> _epoch_numbers(4), _epoch_numbers(50)
        ([1, 2, 3, 4], [1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50])
    """
    rough = epochs / _MAX_EPOCH_TICKS
    unit = 10 ** max(math.floor(math.log10(rough)), 0)
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
    return [1, *range(max(step, 2), epochs + 1, step)]


def _round_values(
    low: float, high: float, intervals: int = 5, whole: bool = False
) -> list[float]:
    """Returns round numbers at equal distances that enclose a range.

    Args:
        low: The start of the range.
        high: The end of the range.
        intervals: About how many intervals the range is divided into.
        whole: Whether all numbers must be integers.
    """
    if low == high:
        low, high = (0.0, high) if high > 0 else (low, 0.0) if low < 0 else (0.0, 1.0)
    rough = (high - low) / intervals
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # The format removes rounding errors in the last digits: 0.30000000000000004.
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]
