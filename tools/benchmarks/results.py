"""Trains recipes of examples/ with several seeds and prints the README's table.

    python -m tools.benchmarks.results --recipes=movielens_rating,movielens_rating_aws

A run is kept in --runs and not repeated; remove it there to train it afresh.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from tools.benchmarks.spread import mean_and_spread

RECIPES = flags.DEFINE_list(
    "recipes",
    [
        "movielens_rating",
        "movielens_recommendation",
        "movielens_rating_aws",
        "movielens_recommendation_aws",
    ],
    "names of flagfiles in examples/",
)
SEEDS = flags.DEFINE_integer("seeds", 5, "runs of each recipe", lower_bound=1)
RUNS = flags.DEFINE_string("runs", "runs/results", "where the runs are kept")


def train(recipe: str, seed: int, model_dir: Path, *more: str) -> dict[str, Any]:
    """Trains a recipe by the command a user would type, and returns its metrics.

    Args:
        recipe: Its name in examples/.
        seed: The run's seed.
        model_dir: Where the run is kept; a complete one is not repeated.
        *more: Flags in place of the recipe's.
    """
    line = [
        sys.executable,
        "-m",
        "object2vec_tf.fit",
        f"--flagfile=examples/{recipe}.flags",
        f"--model_dir={model_dir}",
        f"--seed={seed}",
        *more,
    ]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError(f"{recipe}: training failed (see above)")
    return dict(json.loads((model_dir / "metrics.json").read_text(encoding="utf-8")))


def rows(recipe: str, metrics: list[dict[str, Any]]) -> list[str]:
    """Returns a line of the table for each metric of each measured channel."""
    lines = []
    for channel in ("validation", "test"):
        for name in metrics[0].get(channel, {}):
            values = [run[channel][name] for run in metrics]
            seconds = statistics.median(run["seconds"] for run in metrics)
            lines.append(
                f"| {recipe} | {channel} {name} | {mean_and_spread(values)} "
                f"| {min(values):.4f} to {max(values):.4f} | {seconds:.0f} |"
            )
    return lines


def main() -> None:
    """Runs the command."""
    print(
        "| recipe | metric | mean ± standard deviation | range | seconds |\n"
        "|---|---|---|---|---|"
    )
    for recipe in RECIPES.value:
        metrics = [
            train(recipe, seed, Path(RUNS.value) / recipe / f"seed-{seed}")
            for seed in range(SEEDS.value)
        ]
        print("\n".join(rows(recipe, metrics)), flush=True)


if __name__ == "__main__":
    runner.run(main)
