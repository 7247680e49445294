"""Trains recipes of examples/ with several seeds and writes results/RECIPE.json.

    python -m tools.benchmarks.results --recipes=movielens_rating,movielens_rating_aws

docs/results.md is made from these files (`python -m tools.docs.results`). Finished runs
are kept in --runs and not repeated. Delete a run there to train it again.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from absl import flags

from object2vec_tf.commands import runner
from tools.benchmarks.recipe_runs import RUNS, Record, train_measured
from tools.benchmarks.result_files import write_recipe
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


def table_rows(recipe: str, runs: list[tuple[Record, Record]]) -> list[str]:
    """Returns a table row for each metric of each evaluated channel.

    Args:
        recipe: The first cell.
        runs: The metrics and the measurement of each seed (`train_measured`).
    """
    metrics = [run for run, _ in runs]
    times = [measurement["cpu_seconds"] for _, measurement in runs]
    known = [seconds for seconds in times if seconds is not None]
    minutes = f"{statistics.median(known) / 60:.1f}" if known else ""
    rows = []
    for channel in ("validation", "test"):
        for name in metrics[0].get(channel, {}):
            values = [run[channel][name] for run in metrics]
            rows.append(
                f"| {recipe} | {channel} {name} | {mean_and_spread(values)} "
                f"| {min(values):.4f} to {max(values):.4f} | {minutes} |"
            )
    return rows


def main() -> None:
    """Runs the command."""
    print(
        "| recipe | metric | mean ± standard deviation | range | CPU minutes |\n"
        "|---|---|---|---|---|"
    )
    for recipe in RECIPES.value:
        seeds = range(SEEDS.value)
        runs = [
            train_measured(recipe, seed, Path(RUNS.value) / recipe / f"seed-{seed}")
            for seed in seeds
        ]
        write_recipe(recipe, seeds, runs)
        print("\n".join(table_rows(recipe, runs)), flush=True)


if __name__ == "__main__":
    runner.run(main)
