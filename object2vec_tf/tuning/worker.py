"""The program of a study's further processes: runs trials as its first one says."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from contextlib import suppress
from typing import Any

from object2vec_tf.commands import runner
from object2vec_tf.errors import Interrupted
from object2vec_tf.tuning.trials import run_trials


def main() -> None:
    """Runs trials until there are enough, or the process that started this is gone."""
    task, orphans = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(Interrupted):  # which the first process tells of
        run_trials(task, orphans)


def _end_with_parent(*_: Any) -> None:
    """Ends this process when its stdin does; its trial can be gone on with."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    runner.run(main)
