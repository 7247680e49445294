"""Copies a plot of an executed notebook to docs/images.

python -m tools.docs.notebook_picture

writes docs/images/movie_map.png, the picture of the site's first page, from
notebooks/movielens.ipynb. Run it after ``make notebooks``.
"""

import argparse
import base64
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The notebook, a text that only the plot's cell contains, and the picture.
PICTURES = (("movielens.ipynb", "(1970 and earlier", "movie_map.png"),)


def picture_of(notebook: Path, text: str) -> bytes:
    """Returns the PNG that a cell of a notebook has drawn.

    Args:
        notebook: The path of the notebook.
        text: A text in the cell's code.

    Raises:
        ValueError: Not exactly one cell with this text has a picture.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    found = [
        output["data"]["image/png"]
        for cell in cells
        if text in "".join(cell["source"])
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    if len(found) != 1:
        raise ValueError(
            f"{notebook}: expected one picture of a cell with {text!r}, got "
            f"{len(found)}. Run `make notebooks`, or correct the text."
        )
    return base64.b64decode(found[0])


def main() -> None:
    """Writes the pictures."""
    for notebook, text, name in PICTURES:
        data = picture_of(ROOT / "notebooks" / notebook, text)
        (ROOT / "docs" / "images" / name).write_bytes(data)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
