from pathlib import Path

import pytest

from object2vec_tf.errors import UserError
from tools.benchmarks.scale_formulas import read_constants
from tools.benchmarks.scale_tables import put_into, tables

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_shows_what_the_program_prints():
    page = (DOCS / "scale.md").read_text(encoding="utf-8")
    constants = read_constants(DOCS / "scale_constants.json")
    assert put_into(page, constants) == page, (
        "run `python -m tools.benchmarks.scale_model "
        "--constants=docs/scale_constants.json --page=docs/scale.md`"
    )
    assert all(table in page for table in tables(constants).values())


def test_a_page_without_a_place_is_told():
    constants = read_constants(DOCS / "scale_constants.json")
    with pytest.raises(UserError, match="0 places for <!-- constants -->"):
        put_into("# No table", constants)
