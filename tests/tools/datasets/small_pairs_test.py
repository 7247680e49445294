import json
from pathlib import Path

import pytest

from tools.datasets import small_pairs
from tools.datasets.sources import DatasetError


def rows(count: int) -> list[dict[str, object]]:
    """Rows in groups of two, of which each shares a premise or a hypothesis."""
    return [
        {
            "in0": f"Premise {n // 2 if n % 4 < 2 else n}!",
            "in1": f"Hypothesis {n // 2 if n % 4 > 1 else n}.",
            "label": n % 3,
        }
        for n in range(count)
    ]


def test_parts_have_no_sentence_in_common() -> None:
    data = rows(6000)
    parts = small_pairs.draw(data, seed=1)
    assert {name: len(part) for name, part in parts.items()} == {
        "validation": 500,
        "train": 4500,
    }
    texts = [
        {str(row[side]) for row in part for side in ("in0", "in1")}
        for part in parts.values()
    ]
    assert texts[0].isdisjoint(texts[1])
    assert len({json.dumps(row) for part in parts.values() for row in part}) == 5000
    assert small_pairs.draw(data, seed=1) == parts != small_pairs.draw(data, seed=2)


def test_a_large_group_is_only_in_train() -> None:
    large = [{"in0": "Same.", "in1": str(n), "label": 0} for n in range(101)]
    for seed in range(3):
        parts = small_pairs.draw([*rows(600), *large], seed)
        assert all(row["in0"] != "Same." for row in parts["validation"])
        assert sum(row["in0"] == "Same." for row in parts["train"]) == 101


def test_a_directory_without_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"snli/train\.jsonl: cannot be read"):
        small_pairs.prepare(tmp_path / "out", tmp_path)
    assert not list(tmp_path.glob("out/**/*.jsonl"))
