"""Figures as SVG, to stand in a page that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

_COLORS = ("#1f6fb4", "#d9730d", "#3a923a")
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 460, 240, 56, 26, 28


def curves(title: str, series: Mapping[str, Sequence[float]]) -> str:
    """Returns a chart of values by epoch, a line for each series.

    Args:
        title: What the values are.
        series: Finite values of epochs 1, 2, ... by name; one at least.
    """
    values = [value for line in series.values() for value in line]
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5
    most = max(map(len, series.values()))

    def point(epoch: int, value: float) -> str:
        across = _LEFT + epoch / max(most - 1, 1) * (_WIDTH - _LEFT - 12)
        down = _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
        return f"{across:.1f},{down:.1f}"

    parts = [f'<text x="{_LEFT}" y="15" class="title">{html.escape(title)}</text>']
    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        down = _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - 12}" y1="{down:.1f}" y2="{down:.1f}" '
            f'class="grid"/><text x="{_LEFT - 6}" y="{down + 4:.1f}" '
            f'text-anchor="end">{value:.4g}</text>'
        )
    parts.append(
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">epoch 1</text><text x="{_WIDTH - 12}" '
        f'y="{_HEIGHT - 8}" text-anchor="end">{most}</text>'
    )
    for number, (name, line) in enumerate(series.items()):
        color = _COLORS[number % len(_COLORS)]
        points = [point(epoch, value) for epoch, value in enumerate(line)]
        x, y = points[-1].split(",")
        end = f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>'
        parts.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" '
            f'stroke-width="2"/>{end}'
            f'<text x="{_WIDTH - 12 - 90 * number}" y="15" text-anchor="end" '
            f'fill="{color}">{html.escape(name)}</text>'
        )
    return _svg(_WIDTH, _HEIGHT, parts)


def scatter(
    title: str,
    vectors: npt.NDArray[np.float32],
    names: Sequence[str],
    values: npt.NDArray[np.float64],
) -> str:
    """Returns a map of vectors: their two principal components, coloured by a value.

    Args:
        title: What the points are.
        vectors: float ``[points, dim]``.
        names: What each point is, shown under the mouse.
        values: What colours them, from blue (lowest) to orange (highest).
    """
    size, edge = 460, 24
    places = principal_components(vectors)
    # The few that stand far out would press all others into a spot.
    low, high = np.quantile(places, (0.01, 0.99), axis=0)
    places = np.clip((places - low) / np.where(high > low, high - low, 1), 0, 1)
    span = float(np.ptp(values)) or 1.0
    shares = (values - values.min()) / span
    parts = [f'<text x="{edge}" y="15" class="title">{html.escape(title)}</text>']
    for (x, y), name, share, value in zip(places, names, shares, values, strict=True):
        parts.append(
            f'<circle cx="{edge + x * (size - 2 * edge):.1f}" '
            f'cy="{edge + y * (size - 2 * edge):.1f}" r="3" fill="{_color(share)}">'
            f"<title>{html.escape(name)} ({value:.3g})</title></circle>"
        )
    return _svg(size, size, parts)


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


def _color(share: float) -> str:
    low, high = (31, 111, 180), (240, 130, 20)
    mixed = [round(a + (b - a) * float(share)) for a, b in zip(low, high, strict=True)]
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'xmlns="http://www.w3.org/2000/svg" role="img">' + "".join(parts) + "</svg>"
    )
