"""The program of a study's worker processes. It reads its task from stdin."""

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
    """Runs trials until the study has enough of them, or its main process ends."""
    task, orphans = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(Interrupted):  # the main process reports it
        run_trials(task, orphans)


def _end_with_parent(*_: Any) -> None:
    """Ends this process when its stdin is closed. Its trial can be resumed."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    runner.run(main)
