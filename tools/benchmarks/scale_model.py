"""Estimates memory, network traffic and time of large models from measured constants.

    python -m tools.benchmarks.scale_model --constants=docs/scale_constants.json
    python -m tools.benchmarks.scale_model --save=constants.json

The first command prints the tables of docs/scale.md; --page=docs/scale.md also updates
them there. The second measures the constants of this machine, which takes some minutes.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from absl import flags

from object2vec_tf.commands import runner
from tools.benchmarks.scale_formulas import read_constants
from tools.benchmarks.scale_tables import tables, update_page

CONSTANTS = flags.DEFINE_string(
    "constants", None, "JSON file with constants; by default this machine is measured"
)
SAVE = flags.DEFINE_string("save", None, "output file for the constants, as JSON")
PAGE = flags.DEFINE_string("page", None, "Markdown page whose tables are updated")
NETWORK = flags.DEFINE_float(
    "network_gbit",
    10.0,
    "Gbit/s between machines; used if the machine is measured",
    0.1,
)


def main() -> None:
    """Runs the command."""
    if CONSTANTS.value:
        constants = read_constants(Path(CONSTANTS.value))
    else:
        from tools.benchmarks.scale_probes import measure

        constants = measure(NETWORK.value)
    if SAVE.value:
        text = json.dumps(dataclasses.asdict(constants), indent=2) + "\n"
        Path(SAVE.value).write_text(text, encoding="utf-8")
    if PAGE.value:
        page = Path(PAGE.value)
        text = update_page(page.read_text(encoding="utf-8"), constants)
        page.write_text(text, encoding="utf-8")
    for name, table in tables(constants).items():
        print(f"\n{name}\n\n{table}", end="")


if __name__ == "__main__":
    runner.run(main)
