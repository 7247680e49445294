"""Formats the results of several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable


def mean_and_spread(values: Iterable[float]) -> str:
    """Returns the mean, standard deviation and number of the results as text."""
    values = list(values)
    if len(values) == 1:
        return f"{values[0]:.4f}"
    mean, spread = statistics.mean(values), statistics.stdev(values)
    return f"{mean:.4f} ± {spread:.4f} ({len(values)} seeds)"
