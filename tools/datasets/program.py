"""How a dataset script starts and ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags

from tools.datasets.sources import DatasetError

USER_ERROR = 2


def run(
    prepare: Callable[[Path, Path | None], None], output: str, sources: str
) -> None:
    """Runs a dataset script with the flags --output and --source, and exits.

    Args:
        prepare: Takes --output and --source; None where that is not given.
        output: The default of --output.
        sources: What --source may be, for --help.
    """
    script = sys.argv[0]  # absl's --help shows the flags of this module
    flags.DEFINE_string("output", output, "directory to write into", module_name=script)
    flags.DEFINE_string("source", None, sources, module_name=script)

    def main(argv: Sequence[str]) -> int:
        given = flags.FLAGS
        try:
            if len(argv) > 1:
                raise DatasetError(
                    f"unexpected argument {argv[1]!r}. Use --output and --source."
                )
            source = Path(given.source).expanduser() if given.source else None
            prepare(Path(given.output).expanduser(), source)
        except DatasetError as error:
            print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
            return USER_ERROR
        return 0

    app.run(main)
