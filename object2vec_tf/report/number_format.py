"""One rule for the numbers that reports, tables and the console show.

Scores have four significant digits, counts have thousands separators, shares are
percentages with one decimal, and times have a unit.
"""

from __future__ import annotations

import math

_MINUTE, _HOUR = 60, 3600


def score_text(value: float | None) -> str:
    """Returns a score with four significant digits; an empty text for None.

    Example:
        >>> [score_text(x) for x in (0.85, 1.09861, 117.25, 54321.6, 0.00012345)]
        ['0.8500', '1.099', '117.2', '54,322', '0.0001234']
        >>> score_text(0.0), score_text(None)
        ('0', '')
    """
    if value is None:
        return ""
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return f"{value}"
    if 1000 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:#.4g}".rstrip(".")


def number_text(value: float) -> str:
    """Returns a number with at most four significant digits, without zeros at its end.

    Example:
        >>> number_text(3.0), number_text(0.12345), number_text(20000.0)
        ('3', '0.1235', '20,000')
    """
    if 1000 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def count_text(count: int, unit: str) -> str:
    """Returns a count with its unit, in the plural unless the count is 1.

    Example:
        >>> count_text(1, "epoch"), count_text(90570, "pair")
        ('1 epoch', '90,570 pairs')
    """
    return f"{count:,} {unit}{'s' * (count != 1)}"


def share_text(share: float) -> str:
    """Returns a share, from 0 to 1, as a percentage with one decimal.

    Example:
        >>> share_text(0.3342), share_text(1.0)
        ('33.4%', '100.0%')
    """
    return f"{share:.1%}"


def change_text(ratio: float) -> str:
    """Returns the size of a relative change as a percentage with two digits.

    Example:
        >>> change_text(0.0749), change_text(0.0061), change_text(0.4)
        ('7.5%', '0.61%', '40%')
    """
    percent = abs(ratio) * 100
    return f"{percent:,.0f}%" if percent >= 10 else f"{percent:.2g}%"


def duration_text(seconds: float) -> str:
    """Returns a time in the units that people use.

    Example:
        >>> [duration_text(s) for s in (0.42, 61.2, 245, 7260)]
        ['0.4 s', '61 s', '4 min 5 s', '2 h 1 min']
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    minutes = round(seconds / _MINUTE)
    return f"{minutes // 60:,} h {minutes % 60} min"
