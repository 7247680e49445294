from pathlib import Path

import pytest

from object2vec_tf.errors import UserError
from tools.benchmarks.scale_formulas import read_constants
from tools.benchmarks.scale_tables import tables, update_page

DOCS = Path(__file__).parents[3] / "docs"


def test_page_has_the_current_tables():
    page = (DOCS / "scale.md").read_text(encoding="utf-8")
    constants = read_constants(DOCS / "scale_constants.json")
    assert update_page(page, constants) == page, (
        "run `python -m tools.benchmarks.scale_model "
        "--constants=docs/scale_constants.json --page=docs/scale.md`"
    )
    assert all(table in page for table in tables(constants).values())


def test_page_without_a_marker_is_an_error():
    constants = read_constants(DOCS / "scale_constants.json")
    with pytest.raises(
        UserError, match="expected <!-- constants --> once, got 0 times"
    ):
        update_page("# No table", constants)
