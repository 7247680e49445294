"""Generates docs/hyperparameters.md from the specification of hyperparameters.

python tools/docs/hyperparameters.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from object2vec_tf.hyperparameters import defaults, specifications

PAGE = Path(__file__).parents[2] / "docs" / "hyperparameters.md"

HEAD = """# Hyperparameters

What each hyperparameter means, its valid values and its default. Each one is a flag
of `python -m object2vec_tf.fit`, a keyword of `object2vec_tf.Hyperparameters` and a
name in `hyperparameters.json`.

Amazon SageMaker's Object2Vec has most of them, with the same names, ranges and
defaults; "tunable" is the range that AWS tunes over.
[Training options](training_options.md), [Text](text.md) and [Subwords](subwords.md)
describe those that AWS does not have. `python tools/docs/hyperparameters.py` generates
this page from `object2vec_tf/hyperparameters/`.

With `enc1_network=enc0`, every `enc1_*` has the value of enc0. If both are given, they
must be equal.

| name | meaning | valid | default | tunable |
|---|---|---|---|---|
"""


def page() -> str:
    """Returns the text of the page."""
    rows = []
    for name, specification in specifications().items():
        default = defaults().get(name, "required")
        valid, tunable = specification.kind.valid, _range(specification.tunable)
        cells = (name, specification.help, valid, default, tunable)
        rows.append("| " + " | ".join(map(str, cells)) + " |\n")
    return HEAD + "".join(rows)


def _range(tunable: tuple[Any, ...] | None) -> str:
    if tunable is None:
        return ""
    if isinstance(tunable[0], str):
        return ", ".join(tunable)
    return f"{tunable[0]:g}..{tunable[1]:g}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
