"""Trains recipes of examples/ with several seeds and prints the README's table.

    python -m tools.benchmarks.results --recipes=movielens_rating,movielens_rating_aws

Finished runs are kept in --runs and not repeated. Delete a run there to train it again.
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
SEEDS = flags.DEFINE_integer("seeds", 5, "runs per recipe", lower_bound=1)
RUNS = flags.DEFINE_string("runs", "runs/results", "directory of the runs")


def train(recipe: str, seed: int, model_dir: Path, *overrides: str) -> dict[str, Any]:
    """Trains a recipe with the same command that a user would type.

    Args:
        recipe: Its name in examples/.
        seed: The seed of the run.
        model_dir: The run directory; a finished run is not repeated.
        *overrides: Flags that replace those of the recipe.

    Returns:
        The metrics of the run.
    """
    command = [
        sys.executable,
        "-m",
        "object2vec_tf.fit",
        f"--flagfile=examples/{recipe}.flags",
        f"--model_dir={model_dir}",
        f"--seed={seed}",
        *overrides,
    ]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        raise UserError(f"{recipe}: training failed. See the output above.")
    return dict(json.loads((model_dir / "metrics.json").read_text(encoding="utf-8")))


def table_rows(recipe: str, metrics: list[dict[str, Any]]) -> list[str]:
    """Returns a table row for each metric of each evaluated channel."""
    rows = []
    for channel in ("validation", "test"):
        for name in metrics[0].get(channel, {}):
            values = [run[channel][name] for run in metrics]
            seconds = statistics.median(run["seconds"] for run in metrics)
            rows.append(
                f"| {recipe} | {channel} {name} | {mean_and_spread(values)} "
                f"| {min(values):.4f} to {max(values):.4f} | {seconds:.0f} |"
            )
    return rows


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
        print("\n".join(table_rows(recipe, metrics)), flush=True)


if __name__ == "__main__":
    runner.run(main)
