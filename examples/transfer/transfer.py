"""Fine-tunes a model of SNLI on the STS Benchmark, beside training from scratch.

    python examples/transfer/transfer.py --snli=runs/transfer/snli --work=runs/transfer

Every seed trains the settings of stsb_classes.flags three times: from scratch, with the
model of SNLI as initial model, and with both of its encoders frozen, too. The table has
the mean accuracy of the epoch that is best on validation, with its standard deviation
over the seeds. With --output, the results are also written as JSON.
"""

from __future__ import annotations

import json
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
_OUTPUT = flags.DEFINE_string("output", None, "a JSON file for the results")
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
    summary: dict[str, dict[str, list[float]]] = {}
    print(f"{'run':10} validation         test", flush=True)
    for name, options in variants.items():
        runs = [train(name, seed, **options) for seed in range(_SEEDS.value)]
        summary[name] = {
            f"{channel} accuracy": [run.metrics[channel]["accuracy"] for run in runs]
            for channel in ("validation", "test")
        }
        columns = [
            f"{np.mean(scores):.4f} ± {np.std(scores, ddof=1):.4f}  "
            for scores in summary[name].values()
        ]
        print(f"{name:10} {'  '.join(columns)}", flush=True)
    if _OUTPUT.value:
        Path(_OUTPUT.value).write_text(json.dumps(summary, indent=1), "utf-8")


if __name__ == "__main__":
    app.run(main)
