"""Executes the notebooks and stores their outputs in them.

    python -m tools.docs.notebooks                            # all notebooks
    python -m tools.docs.notebooks notebooks/movielens.ipynb  # some of them

Each notebook runs from a clean kernel, with its own directory as working directory. A
notebook that raises an error, or writes to stderr, is not changed. What differs from
run to run without a reason is removed: times of execution, versions in metadata, random
cell ids. Plots get a palette, which makes them small.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT: Final = Path(__file__).parents[2]
NOTEBOOKS: Final = ROOT / "notebooks"
METADATA: Final[Mapping[str, Any]] = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
ENVIRONMENT: Final[Mapping[str, str]] = {
    "OBJECT2VEC_TF_PROGRESS_SECONDS": "0",  # no lines that depend on the time
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": str(ROOT),
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
NATIVE_LOG: Final = re.compile(
    r"^(WARNING: All log messages before absl|[IW]\d{4} [\d:]+\.).*\n?", re.MULTILINE
)
CELL_SECONDS: Final = 600
COLORS: Final = 64


def execute(notebook: Any, directory: Path) -> Any:
    """Runs all cells of a notebook in a new kernel.

    Args:
        notebook: The notebook; the outputs are stored in it.
        directory: The working directory.

    Returns:
        The same notebook, normalized.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell raised an error.
        RuntimeError: A cell wrote to stderr.
    """
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(directory)}},
    )
    client.execute(env={**os.environ, **ENVIRONMENT})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = without_native_logs(cell.outputs)
    if lines := list(stderr_lines(notebook)):
        raise RuntimeError("Expected no output on stderr, got:\n" + "\n".join(lines))
    return normalized(notebook)


def without_native_logs(outputs: list[Any]) -> list[Any]:
    """Returns outputs without the log lines of TensorFlow's native code."""
    kept = []
    for output in outputs:
        if output.get("name") == "stderr":
            output.text = NATIVE_LOG.sub("", output.text)
        if output.output_type != "stream" or output.text.strip():
            kept.append(output)
    return kept


def stderr_lines(notebook: Any) -> Iterator[str]:
    """Yields what the cells wrote to stderr, each with the number of its cell."""
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                yield f"cell {number}: {output.text}"


def normalized(notebook: Any) -> Any:
    """Removes what differs from run to run; returns the same notebook."""
    notebook.metadata = nbformat.from_dict(dict(METADATA))
    notebook.nbformat_minor = 5  # the first version with cell ids
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number}"
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = _joined_streams(cell.outputs)
            for output in cell.outputs:
                _shrink_plot(output)
    return notebook


def _joined_streams(outputs: list[Any]) -> list[Any]:
    """Joins neighboring outputs of a stream, whose borders depend on the time."""
    joined: list[Any] = []
    for output in outputs:
        if (
            joined
            and output.output_type == "stream"
            and joined[-1].get("name") == output.name
        ):
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _shrink_plot(output: Any) -> None:
    """Gives a PNG of an output a palette, and removes its textual description."""
    data = output.get("data", {})
    if "image/png" not in data:
        return
    output.metadata = {}
    data["text/plain"] = "plot"  # what readers without images get
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    if image.mode == "P":
        return
    buffer = io.BytesIO()
    palette = image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    palette.save(buffer, "PNG", optimize=True)
    data["image/png"] = base64.b64encode(buffer.getvalue()).decode()


def read(path: Path) -> Any:
    """Returns a notebook."""
    return nbformat.read(path, as_version=4)


def write(notebook: Any, path: Path) -> None:
    """Writes a notebook, replacing an earlier one."""
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    path.write_text(text, encoding="utf-8")


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks; by default all")
    paths = parser.parse_args().paths or sorted(NOTEBOOKS.glob("*.ipynb"))
    for path in paths:
        start = time.monotonic()
        print(f"{path}: running", flush=True)
        write(execute(read(path), path.resolve().parent), path)
        print(f"{path}: {time.monotonic() - start:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
