"""Fine-tunes a model of SNLI on the STS Benchmark, beside training from scratch.

    python examples/transfer/transfer.py --snli=runs/transfer/snli --work=runs/transfer

Every seed trains the settings of stsb_classes.flags three times: from scratch, with the
model of SNLI as initial model, and with both of its encoders frozen, too. The table has
the mean accuracy of the epoch that is best on validation, with its standard deviation
over the seeds, and the seconds of training.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl import app, flags

import object2vec_tf as o2v
from object2vec_tf.commands import flags as fit_flags

FLAGFILE = Path(__file__).with_name("stsb_classes.flags")

_SNLI = flags.DEFINE_string("snli", "runs/transfer/snli", "run directory of SNLI")
_WORK = flags.DEFINE_string("work", "runs/transfer", "directory of the runs")
_SEEDS = flags.DEFINE_integer("seeds", 3, "number of seeds")


def train(name: str, seed: int, **options: Any) -> o2v.Run:
    """Trains with the flags, and with further options of fit."""
    keras.backend.clear_session()
    return o2v.fit(
        fit_flags.given_by_flags(),
        train=fit_flags.TRAIN.value or "",
        validation=fit_flags.VALIDATION.value,
        test=fit_flags.TEST.value,
        auxiliary=fit_flags.AUXILIARY.value,
        cache_dir=Path(_WORK.value) / "cache",
        model_dir=Path(_WORK.value) / f"{name}_{seed}",
        seed=seed,
        verbose=False,
        **options,
    )


def main(argv: Sequence[str]) -> None:
    """Trains all runs and prints their results."""
    del argv
    flags.FLAGS([sys.argv[0], f"--flagfile={FLAGFILE}", *sys.argv[1:]])
    variants: dict[str, dict[str, Any]] = {
        "scratch": {},
        "transfer": {"initial_model": _SNLI.value},
        "frozen": {"initial_model": _SNLI.value, "freeze": "enc0,enc1"},
    }
    print(f"{'run':10} validation         test               training s", flush=True)
    for name, options in variants.items():
        runs = [train(name, seed, **options) for seed in range(_SEEDS.value)]
        columns = []
        for channel in ("validation", "test"):
            scores = [run.metrics[channel]["accuracy"] for run in runs]
            columns.append(f"{np.mean(scores):.4f} ± {np.std(scores, ddof=1):.4f}  ")
        spent = [sum(record["seconds"] for record in run.history) for run in runs]
        print(f"{name:10} {'  '.join(columns)} {np.mean(spent):8.0f}", flush=True)


if __name__ == "__main__":
    app.run(main)
