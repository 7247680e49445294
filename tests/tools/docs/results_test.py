import pytest

from tools.benchmarks.result_files import read
from tools.docs.marked_text import put_into
from tools.docs.result_tables import Results
from tools.docs.results import DIRECTORY, PAGE, README, render

ADVICE = "run `python -m tools.docs.results`"


@pytest.fixture(scope="module")
def results():
    return Results(DIRECTORY)


@pytest.fixture(scope="module")
def page(results):
    return render("results.md.j2", results)


@pytest.fixture(scope="module")
def table(results):
    return render("results_readme.md.j2", results)


def test_the_page_is_up_to_date(page):
    assert PAGE.read_text(encoding="utf-8") == page, ADVICE


def test_the_table_of_readme_is_up_to_date(table):
    readme = README.read_text(encoding="utf-8")
    assert readme == put_into(readme, "results", table), ADVICE


def test_every_file_of_results_is_used(results, page, table):
    assert results.unused() == []


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*.json")), ids=lambda p: p.stem)
def test_published_figures_have_a_source_and_others_a_command(path):
    record = read(path)
    if record["kind"] == "published":
        assert all(row["source"] and row["link"] for row in record["rows"])
    else:
        assert record["command"].startswith("python -m tools.benchmarks.")
        assert record["versions"]
        assert record["processor"]
        assert record["date"]
