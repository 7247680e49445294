import pytest

from tools.docs.marked_text import put_into
from tools.docs.source_map import PAGE, ROOT, layers, source_map

PYPROJECT = """
[tool.importlinter]
root_packages = ["shop"]

[[tool.importlinter.contracts]]
name = "another contract"
type = "forbidden"

[[tool.importlinter.contracts]]
name = "order"
type = "layers"
layers = ["shop.sell", "shop.stock | (shop.prices)", "shop.errors"]
"""
FILES = {
    "__init__.py": '"""A shop."""\n',
    "errors.py": '"""Exceptions.\n\nMore of them.\n"""\n',
    "prices.py": "VAT = 0.2\n",
    "sell.py": 'r"""Sells: ``python -m shop.sell``."""\n',
    "stock/__init__.py": '"""What is in the shop."""\n',
    "stock/shelf.py": '"""A shelf, ' + 12 * "and a shelf, " + 'and no more."""\n',
    "stock/cellar/__init__.py": '"""The cellar"""\n',
    "stock/cellar/door.py": '"""Its door."""\n',
    "stock/notes.txt": "no module\n",
    "stock/data/table.py": '"""In a directory that is no package."""\n',
    "unnamed.py": '"""In no layer."""\n',
}
MAP = """
**Layer 1**

- `shop/errors.py`: Exceptions

**Layer 2**

- `shop/stock/`: What is in the shop
  - `shelf.py`: A shelf, and a shelf, and a shelf, and a shelf, and a shelf, and a
    shelf, and a shelf, and a shelf, and a shelf, and a shelf, and a shelf, and a shelf,
    and a shelf, and no more
  - `cellar/`: The cellar
    - `door.py`: Its door
- `shop/prices.py`:

**Layer 3**

- `shop/sell.py`: Sells: ``python -m shop.sell``

"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    for name, text in FILES.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_layers_are_read_from_the_lowest(root):
    assert layers(root / "pyproject.toml") == [
        ["shop.errors"],
        ["shop.stock", "shop.prices"],
        ["shop.sell"],
    ]


def test_the_map_lists_packages_and_modules_with_their_first_lines(root):
    assert source_map(root) == MAP


def test_the_map_in_contributing_is_up_to_date():
    page = PAGE.read_text(encoding="utf-8")
    assert page == put_into(page, "source map", source_map(ROOT)), (
        "run `python tools/docs/source_map.py`"
    )
