import pytest

from tools.benchmarks.gpu_parts.roofline import Cost
from tools.benchmarks.gpu_parts.table import Card, complete, row

CARD = Card.of(
    [
        {"variant": "copy", "per_second": 1e12},
        {"variant": "tf32", "per_second": 1e14},
        {"variant": "bfloat16", "per_second": 2e14},
    ]
)


def results():
    rates = {"ours": 300, "ours, bfloat16": 450, "A": 200, "B, bfloat16": 300}
    found = [
        {"variant": name, "pairs_per_second": rate, "milliseconds": 2.0}
        for name, rate in rates.items()
    ]
    return [*found, {"variant": "C", "error": "out | of memory"}]


def test_results_in_bfloat16_are_compared_with_peers_in_bfloat16():
    rows = results()
    complete(rows, None, CARD)
    assert [r.get("ratio") for r in rows] == [1.5, 1.5, None, None, None]


def test_without_a_peer_in_bfloat16_the_others_count():
    rows = results()[:3]
    complete(rows, None, CARD)
    assert [r.get("ratio") for r in rows] == [1.5, 2.25, None]


def test_limits_use_the_rate_of_the_type():
    rows = results()
    complete(rows, Cost(operations=1e11, bytes=2e8), CARD)
    # Products: 1 ms and 0.5 ms. Bytes: 0.2 ms.
    limits = [r.get("limit_milliseconds") for r in rows]
    assert limits == pytest.approx([1.0, 0.5, 1.0, 0.5, None])


def test_rows():
    rows = results()
    complete(rows, Cost(1e11, 2e8), CARD)
    rows[0]["waiting"] = 0.034
    rows[0]["first_pass_seconds"] = 4.04
    assert row("S", rows[0]) == "| S | ours | 300 | 2 | 3% | 1.50 | 1 (50%) | 4.0 |"
    assert row("S", rows[-1]) == "| S | C | out / of memory | | | | | |"
    assert row("S", rows[2]) == "| S | A | 200 | 2 |  |  | 1 (50%) |  |"
