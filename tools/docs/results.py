"""Renders docs/results.md, and the table of results in README.md, from results/*.json.

    python -m tools.docs.results

The templates are results.md.j2 and results_readme.md.j2 in this directory. The programs
of tools/benchmarks write the files; `make results` runs them all. Prints which files
are missing or not used by a table, which recipes have changed since they were measured
(the page marks them), and which used other data than those in data/.
"""

from __future__ import annotations

from pathlib import Path

import jinja2

from tools.docs.marked_text import put_into
from tools.docs.result_tables import Results

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results.md"
README = ROOT / "README.md"
DIRECTORY = ROOT / "results"


def render(template: str, results: Results) -> str:
    """Returns a rendered template of this directory."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    functions = ("recipe", "program", "published", "joined", "average", "table")
    for name in (*functions, "against", "measurements"):
        environment.globals[name] = getattr(results, name)
    return environment.get_template(template).render()


def main() -> None:
    """Writes both pages."""
    results = Results(DIRECTORY)
    PAGE.write_text(render("results.md.j2", results), encoding="utf-8")
    table = render("results_readme.md.j2", results)
    readme = README.read_text(encoding="utf-8")
    README.write_text(put_into(readme, "results", table), encoding="utf-8")
    for name in results.missing():
        print(f"results/{name}.json: not measured")
    for name in results.stale():
        print(f"results: the settings of {name} have changed since it was measured")
    for name, paths in results.changed_data(ROOT).items():
        print(f"results/{name}.json: measured with other data: {', '.join(paths)}")
    for name in results.unused():
        print(f"results/{name}.json: not used in tools/docs/results.md.j2")


if __name__ == "__main__":
    main()
