import base64
import json

import pytest

from tools.docs.notebook_picture import PICTURES, ROOT, picture_of


def test_the_picture_of_a_cell_is_found(tmp_path):
    png = base64.b64encode(b"png").decode()
    drawn = {"source": ["plot(", "1970)"], "outputs": [{"data": {"image/png": png}}]}
    other = {"source": ["print()"], "outputs": [{"text": "1970"}]}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [drawn, other, {"source": ["1970"]}]}))

    assert picture_of(path, "1970") == b"png"
    with pytest.raises(ValueError, match=r"expected one picture .* got 0"):
        picture_of(path, "1980")


@pytest.mark.parametrize(("notebook", "text", "name"), PICTURES)
def test_pictures_of_docs_are_those_of_the_notebooks(notebook, text, name):
    expected = picture_of(ROOT / "notebooks" / notebook, text)
    assert (ROOT / "docs" / "images" / name).read_bytes() == expected
