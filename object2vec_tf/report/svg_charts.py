"""Figures as SVG, to stand in a page that needs nothing else.

Their text has the classes ``title`` and ``axis``, their rules ``grid``: the page gives
them colours.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

# Told apart by most colour-blind eyes, on white and on black (after Okabe and Ito).
_COLORS = (
    "#1f77b4",
    "#e08214",
    "#2a9d6f",
    "#c5508f",
    "#5fb3e6",
    "#b8a200",
    "#d9482b",
    "#8566c4",
    "#7a5b3a",
    "#17a2a8",
)
_OTHERS = "#999999"
# From the lowest value to the highest.
_GRADIENT = ((30, 90, 200), (190, 60, 130), (245, 160, 30))
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 460, 250, 62, 14, 46, 44
_MAP, _EDGE, _HEAD = 460, 26, 46
_MOST_BARS = 12


def curves(
    title: str, series: Mapping[str, Sequence[float]], kept: int | None = None
) -> str:
    """Returns a chart of values by epoch, a line for each series.

    Args:
        title: What the values are.
        series: Finite values of epochs 1, 2, ... by name; one at least.
        kept: The epoch, from 0, whose model is kept; it gets a mark.
    """
    values = [value for line in series.values() for value in line]
    rules = _ticks(min(values), max(values))
    low, high = rules[0], rules[-1]
    most = max(map(len, series.values()))

    def across(epoch: float) -> float:
        return _LEFT + epoch / max(most - 1, 1) * (_WIDTH - _LEFT - _RIGHT)

    def down(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        *_title(_LEFT, title, "" if kept is None else "dashed: the epoch kept"),
        *_legend(_LEFT, dict(zip(series, _COLORS, strict=False))),
        *(_rule(down(value), value) for value in rules),
        _text((_LEFT + _WIDTH) / 2, _HEIGHT - 6, "epoch", "middle"),
    ]
    step = max(1, math.ceil(most / 10))
    for epoch in range(0, most, step):
        parts.append(_text(across(epoch), _HEIGHT - 24, str(epoch + 1), "middle"))
    if kept is not None:
        x = f"{across(kept):.1f}"
        parts.append(
            f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" '
            'class="kept"/>'
        )
    for color, line in zip(_COLORS, series.values(), strict=False):
        points = [f"{across(i):.1f},{down(v):.1f}" for i, v in enumerate(line)]
        x, y = points[-1].split(",")
        parts.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" '
            f'stroke-width="2"/><circle cx="{x}" cy="{y}" r="3" fill="{color}"/>'
        )
    return _svg(_WIDTH, _HEIGHT, parts)


def scatter(
    title: str,
    vectors: npt.NDArray[np.float32],
    names: Sequence[str],
    values: npt.NDArray[np.float64],
    meaning: str,
    classes: bool = False,
) -> str:
    """Returns a map of vectors: their two principal components, coloured by a value.

    Args:
        title: What the points are.
        vectors: float ``[points, dim]``.
        names: What each point is, shown under the mouse.
        values: What colours them.
        meaning: What the values are.
        classes: Whether they are numbers of classes, of which each has a colour, and
            not more or less of something.
    """
    places = principal_components(vectors)
    total = float(vectors.astype(np.float64).var(axis=0).sum()) or 1.0
    shares = places.var(axis=0) / total
    # The few that stand far out would press all others into a spot.
    low, high = np.quantile(places, (0.01, 0.99), axis=0)
    margin = (high - low) / 4
    low = np.maximum(low - margin, places.min(axis=0))
    high = np.minimum(high + margin, places.max(axis=0))
    span = np.where(high > low, high - low, 1)
    places = np.where(high > low, np.clip((places - low) / span, 0, 1), 0.5)
    top, side = _HEAD, _MAP - 2 * _EDGE
    colors, legend = _of_classes(values) if classes else _of_values(values)
    parts = [
        *_title(_EDGE, title, f"coloured by {meaning}"),
        *legend,
        f'<rect x="{_EDGE - 8}" y="{top - 8}" width="{side + 16}" '
        f'height="{side + 16}" class="frame"/>',
        _text(_MAP / 2, top + side + 24, _axis(1, shares), "middle"),
        f'<g transform="rotate(-90)">'
        f"{_text(-(top + side / 2), 12, _axis(2, shares), 'middle')}</g>",
    ]
    for (x, y), name, color, value in zip(places, names, colors, values, strict=True):
        parts.append(
            f'<circle cx="{_EDGE + x * side:.1f}" cy="{top + (1 - y) * side:.1f}" '
            f'r="3" fill="{color}"><title>{html.escape(name)} ({value:.3g})</title>'
            "</circle>"
        )
    return _svg(_MAP, top + side + 32, parts)


def bars(
    title: str, values: npt.NDArray[np.generic], axis: str, most: int = _MOST_BARS
) -> str:
    """Returns a chart of how often values occur, in some ranges where there are many.

    Args:
        title: What is counted.
        values: Finite numbers, one at least.
        axis: What they are.
        most: Up to how many values have a bar of their own.
    """
    found, counts = np.unique(values, return_counts=True)
    whole = np.issubdtype(found.dtype, np.integer)
    if whole and found[-1] - found[0] < most:
        every = np.arange(found[0], found[-1] + 1)
        counts = np.bincount(found - found[0], counts, len(every)).astype(np.int64)
        names = [str(value) for value in every.tolist()]
    elif whole or len(found) > most:
        rules = _ticks(float(found[0]), float(found[-1]), _MOST_BARS - 2, whole)
        counts, _ = np.histogram(found, rules, weights=counts)
        names = [f"{rule:.6g}" for rule in rules]
        names = [name if i % 2 == 0 else "" for i, name in enumerate(names)]
    else:
        names = [f"{value:.6g}" for value in found.tolist()]
    heights = _ticks(0, float(counts.max()), whole=True)
    tall, wide = _HEIGHT - _TOP - _BOTTOM, (_WIDTH - _LEFT - _RIGHT) / len(counts)
    parts = [
        *_title(_LEFT, title),
        *(_rule(_TOP + tall * (1 - v / heights[-1]), v) for v in heights),
        _text((_LEFT + _WIDTH) / 2, _HEIGHT - 6, axis, "middle"),
    ]
    # Ranges have their names between them, values below them.
    shift = 0.0 if len(names) > len(counts) else 0.5
    for number, name in enumerate(names):
        x = _LEFT + (number + shift) * wide
        parts.append(_text(x, _HEIGHT - 26, name, "middle"))
    for number, count in enumerate(counts.tolist()):
        height = tall * count / heights[-1]
        parts.append(
            f'<rect x="{_LEFT + number * wide + 1:.1f}" y="{_TOP + tall - height:.1f}" '
            f'width="{max(wide - 2, 1):.1f}" height="{height:.1f}" '
            f'fill="{_COLORS[0]}"><title>{count:,}</title></rect>'
        )
    return _svg(_WIDTH, _HEIGHT, parts)


def principal_components(
    vectors: npt.NDArray[np.float32], count: int = 2
) -> npt.NDArray[np.float64]:
    """Returns the coordinates of vectors along the axes of their largest variance.

    Args:
        vectors: float ``[points, dim]``.
        count: How many axes, for which there may be fewer points or dimensions.

    Returns:
        float ``[points, count]``.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    places = centred @ axes[:count].T
    lacking = count - places.shape[1]
    return np.pad(places, [(0, 0), (0, lacking)])


def _ticks(low: float, high: float, most: int = 5, whole: bool = False) -> list[float]:
    """Returns round numbers around a range, at equal distances."""
    if low == high:
        low, high = (0.0, high) if high > 0 else (low, 0.0) if low < 0 else (0.0, 1.0)
    rough = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # Without what multiplying leaves in the last digits: 0.30000000000000004.
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _axis(number: int, shares: npt.NDArray[np.float64]) -> str:
    return f"principal component {number} ({shares[number - 1]:.0%} of the variance)"


def _title(x: float, title: str, more: str = "") -> list[str]:
    told = f'<tspan class="axis" dx="8">{html.escape(more)}</tspan>' if more else ""
    return [f'<text x="{x}" y="14" class="title">{html.escape(title)}{told}</text>']


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="axis">'
        f"{html.escape(text)}</text>"
    )


def _rule(y: float, value: float) -> str:
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
    return line + 'class="grid"/>' + _text(_LEFT - 6, y + 4, f"{value:,.6g}", "end")


def _legend(x: float, colors: Mapping[str, str]) -> list[str]:
    parts = []
    for name, color in colors.items():
        parts.append(f'<circle cx="{x + 5:.1f}" cy="27" r="4" fill="{color}"/>')
        parts.append(_text(x + 13, 31, name))
        x += 26 + 6.2 * len(name)
    return parts


def _of_classes(values: npt.NDArray[np.float64]) -> tuple[list[str], list[str]]:
    """Returns the points' colours and the legend; the rare classes share one."""
    found, counts = np.unique(values, return_counts=True)
    most = found[np.lexsort((found, -counts))][: len(_COLORS)]
    colors = dict(zip(sorted(most.tolist()), _COLORS, strict=False))
    legend = {f"{value:.0f}": color for value, color in colors.items()}
    if len(found) > len(most):
        legend["others"] = _OTHERS
    points = [colors.get(value, _OTHERS) for value in values.tolist()]
    return points, _legend(_EDGE, legend)


def _of_values(values: npt.NDArray[np.float64]) -> tuple[list[str], list[str]]:
    """Returns the points' colours and the legend: a strip from low to high."""
    low, high = float(values.min()), float(values.max())
    shares = (values - low) / ((high - low) or 1.0)
    names, cells, wide = (f"{low:.3g}", f"{high:.3g}"), 24, 5
    start = _EDGE + 6 + 6.2 * len(names[0])
    parts = [_text(_EDGE, 31, names[0])]
    for cell in range(cells):
        parts.append(
            f'<rect x="{start + cell * wide:.1f}" y="22" width="{wide + 0.5}" '
            f'height="10" fill="{_color(cell / (cells - 1))}"/>'
        )
    parts.append(_text(start + cells * wide + 6, 31, names[1]))
    return [_color(share) for share in shares.tolist()], parts


def _color(share: float) -> str:
    place = share * (len(_GRADIENT) - 1)
    number = min(int(place), len(_GRADIENT) - 2)
    low, high = _GRADIENT[number], _GRADIENT[number + 1]
    mixed = [
        round(a + (b - a) * (place - number)) for a, b in zip(low, high, strict=True)
    ]
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'xmlns="http://www.w3.org/2000/svg" role="img">' + "".join(parts) + "</svg>"
    )
