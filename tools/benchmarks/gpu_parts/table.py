"""The table of `tools.benchmarks.gpu`: rates, ratios, and shares of the limit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tools.benchmarks.gpu_parts.roofline import Cost

Result = dict[str, Any]

HEADER = (
    "| work | side | pairs/s | ms a step | waits for data | relative to the best peer "
    "| limit, ms | first pass, s |\n|---|---|---|---|---|---|---|---|"
)


@dataclasses.dataclass(frozen=True)
class Card:
    """The rates of a GPU.

    Attributes:
        copy: Bytes per second, read and written, of a large copy; 0 if unknown.
        products: Operations per second of a large matrix product, by type: float32,
            tf32, bfloat16.
    """

    copy: float
    products: Mapping[str, float]

    @classmethod
    def of(cls, results: Sequence[Result]) -> Card:
        """Returns the rates that the part of the card reported."""
        rates = {r["variant"]: r["per_second"] for r in results if "per_second" in r}
        return cls(rates.pop("copy", 0.0), rates)

    def limit(self, cost: Cost, *, bfloat16: bool) -> float | None:
        """Returns the least milliseconds of a step; None if a rate is unknown."""
        product = self.products.get("bfloat16" if bfloat16 else "tf32")
        if not self.copy or not product:
            return None
        return 1e3 * cost.seconds(product, self.copy)

    def __str__(self) -> str:
        """Returns the rates as text."""
        products = [
            f"{name} {rate / 1e12:,.3g} TFLOP/s" for name, rate in self.products.items()
        ]
        return "; ".join([f"copy {self.copy / 1e12:,.3g} TB/s", *products])


def is_ours(result: Result) -> bool:
    """Returns whether a result is one of Object2Vec."""
    return str(result["variant"]).startswith("ours")


def is_bfloat16(result: Result) -> bool:
    """Returns whether a result was computed in bfloat16."""
    return "bfloat16" in result["variant"]


def best_peer(result: Result, results: Sequence[Result]) -> float | None:
    """Returns the highest rate of the peers to compare a result with.

    Args:
        result: A result of Object2Vec.
        results: All results of the same work. Results in bfloat16 are compared with
            peers in bfloat16 if there are any.
    """
    peers = [r for r in results if not is_ours(r) and "pairs_per_second" in r]
    same = [r for r in peers if is_bfloat16(r) == is_bfloat16(result)]
    rates = [r["pairs_per_second"] for r in same or peers]
    return max(rates, default=None)


def complete(results: Sequence[Result], cost: Cost | None, card: Card) -> None:
    """Adds ``ratio`` and ``limit_milliseconds`` to the results of a work."""
    for result in results:
        if "pairs_per_second" not in result:
            continue
        if is_ours(result) and (best := best_peer(result, results)):
            result["ratio"] = result["pairs_per_second"] / best
        if cost:
            limit = card.limit(cost, bfloat16=is_bfloat16(result))
            result["limit_milliseconds"] = limit


def row(work: str, result: Result) -> str:
    """Returns a row of the table."""
    if "pairs_per_second" not in result:
        reason = str(result.get("error", "no result")).replace("|", "/")
        return f"| {work} | {result['variant']} | {reason} | | | | | |"
    milliseconds, limit = result["milliseconds"], result.get("limit_milliseconds")
    waiting, ratio = result.get("waiting"), result.get("ratio")
    first = result.get("first_pass_seconds")
    cells = [
        work,
        result["variant"],
        f"{result['pairs_per_second']:,.0f}",
        f"{milliseconds:.3g}",
        "" if waiting is None else f"{waiting:.0%}",
        "" if ratio is None else f"{ratio:.2f}",
        "" if limit is None else f"{limit:.2g} ({limit / milliseconds:.0%})",
        "" if first is None else f"{first:.1f}",
    ]
    return f"| {' | '.join(cells)} |"
