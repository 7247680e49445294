"""Tests of the tables of docs/results.md with files that are written here."""

import json

import pytest

from tools.benchmarks.measured import settings_digest
from tools.benchmarks.result_files import flagfile
from tools.docs.result_tables import Results

RECIPE = "movielens_rating"


@pytest.fixture
def directory(tmp_path):
    def write(name, **record):
        (tmp_path / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")

    digest = settings_digest(flagfile(RECIPE))
    values = {"mean_squared_error": [0.81, 0.64], "accuracy": [0.5, 0.7]}
    write(
        RECIPE,
        kind="recipe",
        settings_digest=digest,
        cpu_seconds=[90, None],
        rows=[{"name": "test", "values": values}],
    )
    best = {"mean_squared_error": [0.7], "accuracy": [0.55]}
    ours = {"name": "our model", "recipe": RECIPE, "settings_digest": digest}
    rows = [{"name": "Other", "values": best}, {**ours, "values": {"hits@1": [0.25]}}]
    write("others", kind="program", rows=rows)
    published = {
        "name": "Paper",
        "side_information": True,
        "source": "Doe 2020",
        "link": "example",
        "values": {"rmse": [0.9]},
        "shown": {"accuracy": "0.5 to 0.6"},
    }
    write("published_paper", kind="published", rows=[published])
    groups = [
        {"name": "rare", "queries": 1234, "values": {"TF-IDF": [0.1], "BM25": [0.2]}},
        {"name": "frequent", "queries": 40, "values": {"TF-IDF": [0.4], "BM25": [0.3]}},
    ]
    write("groups", kind="program", rows=groups)
    return tmp_path


@pytest.fixture
def results(directory):
    return Results(directory)


def test_table_of_a_recipe_beside_others(results):
    # Means .725 and .6, standard deviations .17/sqrt(2) and .2/sqrt(2), 1.5 minutes.
    assert results.table(
        ["mean_squared_error", "accuracy"],
        results.recipe(RECIPE),
        results.program("others", "Other"),
    ).splitlines() == [
        "| model | MSE | accuracy | seeds | CPU minutes |",
        "|---|---|---|---|---|",
        "| movielens_rating | 0.7250 ± 0.1202 | **0.6000** ± 0.1414 | 2 | 1.5 |",
        "| Other | **0.7000** | 0.5500 |  |  |",
    ]


def test_published_figures_have_their_digits_and_source(results):
    # sqrt(.81) and sqrt(.64): mean .85.
    lines = results.table(
        ["rmse", "accuracy"],
        results.recipe(RECIPE, side_information=False),
        results.published("published_paper"),
        details=["side_information", "source"],
    ).splitlines()
    assert lines[0] == (
        "| model | side information | RMSE | accuracy | seeds | CPU minutes | source |"
    )
    assert lines[2].startswith("| movielens_rating | no | **0.8500** ± 0.0707 | 0.6000")
    assert lines[3] == "| Paper | yes | 0.9 | 0.5 to 0.6 |  |  | Doe 2020, example |"


def test_best_of_each_row(results):
    table = results.table(
        ["TF-IDF", "BM25"], results.program("groups"), details=["queries"], best="row"
    )
    assert table.splitlines()[2:] == [
        "| rare | 1,234 | 0.1000 | **0.2000** |  |",
        "| frequent | 40 | **0.4000** | 0.3000 |  |",
    ]


def test_file_that_is_missing_is_not_measured(results):
    table = results.table(["accuracy"], results.recipe("movielens_history"))
    assert table.endswith("| movielens_history | not measured |  |")
    table = results.table(["accuracy"], results.program("others", "No such row"))
    assert table.endswith("| No such row | not measured |  |")
    assert results.missing() == ["movielens_history"]


def test_recipe_that_has_changed_is_marked(directory):
    path = directory / f"{RECIPE}.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, "settings_digest": "0"}), encoding="utf-8")
    results = Results(directory)
    table = results.table(["accuracy"], results.recipe(RECIPE))
    assert "| movielens_rating † |" in table
    assert table.endswith("† The settings have changed since this was measured.")
    assert results.stale() == [RECIPE]
    assert " †" in results.against(
        "accuracy", results.recipe(RECIPE), results.program("others", "Other")
    )


def test_data_that_have_changed_are_reported(directory, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"abc")  # echo -n abc | sha256sum
    (tmp_path / "b.jsonl").write_bytes(b"abx")
    digest = "ba7816bf8f01cfea"
    data = {"a.jsonl": digest, "b.jsonl": digest, "not_here.jsonl": digest}
    path = directory / f"{RECIPE}.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, "data": data}), encoding="utf-8")
    assert Results(directory).changed_data(tmp_path) == {RECIPE: ["b.jsonl"]}


def test_row_of_our_model_has_the_times_of_its_recipe(results):
    table = results.table(["hits@1"], results.program("others", "our model"))
    assert table.endswith("| our model | 0.2500 |  | 1.5 |")


def test_two_rows_become_one(results):
    joined = results.joined(
        results.recipe(RECIPE), results.program("others", "our model")
    )
    assert "| movielens_rating | 0.6000 ± 0.1414 | 0.2500 | 2 |" in results.table(
        ["accuracy", "hits@1"], joined
    )


def test_average_over_rows(results):
    # The mean of .725 and .7 is .7125; their standard deviation is .025/sqrt(2).
    ours, other = results.recipe(RECIPE), results.program("others", "Other")
    table = results.table(
        ["mean_squared_error"], results.average("mean of 2", ours, other)
    )
    assert table.endswith("| mean of 2 | 0.7125 ± 0.0177 | 2 |")
    missing = results.average("mean of 2", ours, results.recipe("none"))
    assert results.table(["rmse"], missing).endswith("| mean of 2 | not measured |  |")


def test_ours_against_another_model(results):
    cells = results.against(
        "mean_squared_error",
        results.recipe(RECIPE),
        results.program("others", "Other", name="another"),
    )
    assert cells == "0.7250 ± 0.1202 (2 seeds) | another **0.7000**"


def test_files_that_no_table_uses(results):
    results.program("groups")
    assert results.unused() == [RECIPE, "others", "published_paper"]
    results.program("missing")  # It may have a row of the recipe.
    assert results.unused() == ["others", "published_paper"]
