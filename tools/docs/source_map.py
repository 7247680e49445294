"""Writes the map of the source tree in CONTRIBUTING.md.

    python tools/docs/source_map.py

The order is that of import-linter's layers in pyproject.toml, the lowest layer first.
The descriptions are the first lines of the docstrings.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it runs as a script

from tools.docs.marked_text import put_into

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "CONTRIBUTING.md"

_WIDTH = 88


def layers(pyproject: Path) -> list[list[str]]:
    """Returns the modules of each layer, the lowest layer first.

    Args:
        pyproject: A pyproject.toml with a layers contract of import-linter.

    Returns:
        Dotted names, such as ``[["shop.errors"], ["shop.data", "shop.text"]]``.
    """
    config = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    (contract,) = (c for c in contracts if c["type"] == "layers")
    return [
        [name.strip(" ()") for name in re.split("[|:]", layer)]
        for layer in reversed(contract["layers"])
    ]


def summary(path: Path) -> str:
    """Returns the first line of the docstring of a Python file, without its period."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].removesuffix(".")


def source_map(root: Path) -> str:
    """Returns a Markdown list of the packages and modules of each layer.

    Args:
        root: Holds pyproject.toml and the packages. Modules that no layer names are not
            listed.
    """
    parts = []
    for number, names in enumerate(layers(root / "pyproject.toml"), 1):
        parts.append(f"\n**Layer {number}**\n\n")
        for name in names:
            parts.extend(_entries(root.joinpath(*name.split(".")), root, 0))
    return "".join(parts) + "\n"


def _entries(path: Path, parent: Path, depth: int) -> Iterator[str]:
    """Yields the lines of a package with its modules, or of one module.

    Args:
        path: The package's directory, or the module's path with or without ``.py``.
        parent: Directory to which the shown name is relative.
        depth: Level of indentation.
    """
    shown = path.relative_to(parent).as_posix()
    if not (path / "__init__.py").is_file():
        module = path.with_suffix(".py")
        yield _item(f"{shown.removesuffix('.py')}.py", summary(module), depth)
        return
    yield _item(f"{shown}/", summary(path / "__init__.py"), depth)
    for entry in sorted(path.iterdir()):
        if entry.suffix == ".py" and entry.name != "__init__.py":
            yield from _entries(entry, path, depth + 1)
    for entry in sorted(path.iterdir()):
        if (entry / "__init__.py").is_file():
            yield from _entries(entry, path, depth + 1)


def _item(name: str, description: str, depth: int) -> str:
    indent = 2 * depth * " "
    text = f"{indent}- `{name}`: {description}"
    lines = textwrap.wrap(
        text,
        _WIDTH,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(put_into(page, "source map", source_map(ROOT)), encoding="utf-8")
