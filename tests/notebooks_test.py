"""The notebooks: their form, and whether they run from a clean kernel."""

import ast
import json
import re
from pathlib import Path

import pytest

from tests.language_test import idioms

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_BYTES = 400_000
HOME = re.compile(r"(?<![\w.])/(home|root|tmp|work|Users|var/folders)/[\w.]")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def joined(text):
    return "".join(text)


def shows_something(source):
    """Whether a cell ends in an expression with a value, or prints."""
    last = ast.parse(source).body[-1]
    is_call = isinstance(last, ast.Expr) and isinstance(last.value, ast.Call)
    return (
        "print(" in source
        or "plt.show()" in source
        or (isinstance(last, ast.Expr) and not is_call)
    )


def output_kinds(cell):
    return [
        (output["output_type"], output.get("name"), sorted(output.get("data", ())))
        for output in cell["outputs"]
    ]


@each_notebook
def test_notebook_is_valid(path):
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.read(path, as_version=4))


@each_notebook
def test_notebook_is_committed_with_outputs_of_one_run(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert cell["metadata"] == {}
        if shows_something(joined(cell["source"])):
            assert cell["outputs"], joined(cell["source"])
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr"


@each_notebook
def test_notebook_is_small_and_names_no_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < MAX_BYTES
    notebook = json.loads(text)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        texts = [joined(cell["source"])]
        for output in cell.get("outputs", ()):
            texts.append(joined(output.get("text", "")))
            texts += [
                joined(value)
                for kind, value in output.get("data", {}).items()
                if kind.startswith("text/")
            ]
        for each in texts:
            assert not HOME.search(each), each


@each_notebook
def test_notebook_starts_with_a_title_and_what_it_needs(path):
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    assert first["cell_type"] == "markdown"
    source = joined(first["source"])
    assert source.startswith("# ")
    assert "make " in source


@each_notebook
def test_links_of_notebook_are_to_files(path):
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            for link in LINK.findall(joined(cell["source"])):
                assert (path.parent / link).exists(), link


@each_notebook
def test_notebook_has_no_idioms(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = "\n".join(joined(cell["source"]) for cell in cells)
    assert not list(idioms(sources))


@pytest.mark.long
@each_notebook
def test_notebook_runs_from_a_clean_kernel(path, tmp_path):
    notebooks = pytest.importorskip("tools.docs.notebooks")
    if not (ROOT / "data").is_dir():
        pytest.skip("needs the data: make data texts documents")
    for name in ("data", "examples", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "notebooks").mkdir()
    committed = notebooks.read(path)
    executed = notebooks.execute(notebooks.read(path), tmp_path / "notebooks")
    for before, after in zip(code_cells(committed), code_cells(executed), strict=True):
        assert after["execution_count"] == before["execution_count"]
        assert output_kinds(after) == output_kinds(before), after["source"]
