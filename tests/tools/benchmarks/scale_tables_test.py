from pathlib import Path

import pytest

from tools.benchmarks.scale_formulas import read_constants
from tools.benchmarks.scale_tables import tables

DOCS = Path(__file__).parents[3] / "docs"
TABLES = tables(read_constants(DOCS / "scale_constants.json"))


@pytest.mark.parametrize("name", TABLES)
def test_the_page_shows_what_the_program_prints(name):
    assert TABLES[name] in (DOCS / "scale.md").read_text(encoding="utf-8"), (
        "run `python -m tools.benchmarks.scale_model "
        "--constants=docs/scale_constants.json`"
    )
