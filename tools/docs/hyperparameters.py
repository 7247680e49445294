"""Writes docs/hyperparameters.md from the hyperparameters' own fields.

python tools/docs/hyperparameters.py
"""

from __future__ import annotations

from pathlib import Path

from object2vec_tf.hyperparameters import defaults, specifications

PAGE = Path(__file__).parents[2] / "docs" / "hyperparameters.md"

HEAD = """# Hyperparameters

Made by `python tools/docs/hyperparameters.py` from `object2vec_tf/hyperparameters.py`.
The names, ranges and defaults are those of Amazon SageMaker's Object2Vec; "tunable" is
the range AWS tunes over. Each is a flag of `python -m object2vec_tf.fit`, a keyword of
`object2vec_tf.Hyperparameters` and a name in `hyperparameters.json`.

With `enc1_network=enc0` every `enc1_*` takes enc0's value; one given must agree.

| name | meaning | valid | default | tunable |
|---|---|---|---|---|
"""


def page() -> str:
    """Returns the text of the page."""
    rows = []
    for name, specification in specifications().items():
        default = defaults().get(name, "required")
        tunable = specification.tunable
        if tunable is None:
            shown = ""
        elif isinstance(tunable[0], str):
            shown = ", ".join(tunable)
        else:
            shown = f"{tunable[0]:g}..{tunable[1]:g}"
        cells = (name, specification.help, specification.kind.valid, default, shown)
        rows.append("| " + " | ".join(map(str, cells)) + " |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
