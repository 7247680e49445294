"""Lists the commands of the package: ``python -m object2vec_tf``."""

from __future__ import annotations

import sys

from object2vec_tf import __version__
from object2vec_tf.commands.help_screens import show_overview

if __name__ == "__main__":
    sys.exit(show_overview(sys.argv[1:], __version__))
