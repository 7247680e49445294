"""The command line of a dataset script."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags

from tools.datasets.sources import DatasetError

USER_ERROR = 2
"""Exit status of an error that the user can fix."""


def run(
    prepare: Callable[[Path, Path | None], None], output: str, sources: str
) -> None:
    """Runs a dataset script with the flags --output and --source, and exits.

    Args:
        prepare: Called with --output and --source (None if not given).
        output: Default of --output.
        sources: Description of the accepted --source values, for --help.
    """
    script = sys.argv[0]  # absl's --help shows the flags of this module
    flags.DEFINE_string("output", output, "output directory", module_name=script)
    flags.DEFINE_string("source", None, sources, module_name=script)

    def main(argv: Sequence[str]) -> int:
        values = flags.FLAGS
        try:
            if len(argv) > 1:
                raise DatasetError(
                    f"unexpected argument {argv[1]!r}. Use --output and --source."
                )
            source = Path(values.source).expanduser() if values.source else None
            prepare(Path(values.output).expanduser(), source)
        except DatasetError as error:
            print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
            return USER_ERROR
        return 0

    app.run(main)
