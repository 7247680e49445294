import base64
import io

import numpy as np
import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
Image = pytest.importorskip("PIL.Image")

from tools.docs import notebooks  # noqa: E402

NATIVE = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to"
    " STDERR\n"
    "I0000 00:00:1795854386.526284   23915 port.cc:153] oneDNN custom operations are"
    " on.\n"
)


def stream(name, text):
    return nbformat.v4.new_output("stream", name=name, text=text)


def notebook(*outputs):
    cell = nbformat.v4.new_code_cell("1", outputs=list(outputs), execution_count=1)
    cell.metadata["execution"] = {"iopub.execute_input": "2026-11-28T08:00:00Z"}
    text = nbformat.v4.new_markdown_cell("# Title")
    return nbformat.v4.new_notebook(cells=[text, cell], metadata={"x": "3.11.1"})


def test_metadata_and_ids_do_not_depend_on_the_run():
    result = notebooks.normalized(notebook())

    assert result.metadata == notebooks.METADATA
    assert [cell.id for cell in result.cells] == ["cell-1", "cell-2"]
    assert all(cell.metadata == {} for cell in result.cells)


def test_neighboring_outputs_of_a_stream_are_joined():
    outputs = [stream("stdout", "a"), stream("stdout", "b"), stream("stderr", "c")]

    result = notebooks.normalized(notebook(*outputs)).cells[1].outputs

    assert [(each.name, each.text) for each in result] == [
        ("stdout", "ab"),
        ("stderr", "c"),
    ]


def test_native_log_lines_are_removed_and_warnings_are_not():
    outputs = [stream("stderr", NATIVE), stream("stderr", NATIVE + "UserWarning: x\n")]

    kept = notebooks.without_native_logs(outputs)

    assert [each.text for each in kept] == ["UserWarning: x\n"]
    assert list(notebooks.stderr_lines(notebook(*kept))) == ["cell 2: UserWarning: x\n"]


def test_plots_get_a_palette_once():
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    data = {"image/png": base64.b64encode(buffer.getvalue()).decode()}
    plot = nbformat.v4.new_output("display_data", data=data)

    once = notebooks.normalized(notebook(plot)).cells[1].outputs[0].data["image/png"]
    again = notebooks.normalized(notebook(plot)).cells[1].outputs[0].data["image/png"]

    image = Image.open(io.BytesIO(base64.b64decode(once)))
    assert (image.mode, image.size) == ("P", (60, 40))
    assert len(once) < len(base64.b64encode(buffer.getvalue()))
    assert again == once


def test_a_notebook_is_read_as_it_was_written(tmp_path):
    original = notebooks.normalized(notebook(stream("stdout", "é\n")))

    notebooks.write(original, tmp_path / "x.ipynb")

    assert notebooks.read(tmp_path / "x.ipynb") == original
    assert (tmp_path / "x.ipynb").read_bytes().endswith(b"}\n")


@pytest.mark.long
def test_a_cell_that_warns_or_fails_is_an_error(tmp_path):
    cells = [nbformat.v4.new_code_cell("import warnings; warnings.warn('careful')")]
    with pytest.raises(RuntimeError, match="careful"):
        notebooks.execute(nbformat.v4.new_notebook(cells=cells), tmp_path)

    cells = [nbformat.v4.new_code_cell("1 / 0")]
    with pytest.raises(Exception, match="ZeroDivisionError"):
        notebooks.execute(nbformat.v4.new_notebook(cells=cells), tmp_path)
