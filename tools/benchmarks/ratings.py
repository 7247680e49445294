"""Compares the runs of the MovieLens recipes with scikit-surprise's models.

    python -m tools.benchmarks.ratings

The metrics are the squared error of the ratings and the accuracy of predicting whether
a rating is above 3, on ua.test and ub.test after training on ua.base and ub.base.
scikit-surprise is trained on the same pairs in its own virtual environment, which the
first run creates. Its scores are clipped to 1 to 5; ours are not. Our results come from
the runs of tools.benchmarks.results, one per seed.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from tools.benchmarks.peers import ENVIRONMENT, peer_python
from tools.benchmarks.spread import mean_and_spread

DATA = flags.DEFINE_string("data", "data/movielens/rating", "directory of the pairs")
RUNS = flags.DEFINE_string(
    "runs", "runs/results", "directory of the runs of tools.benchmarks.results"
)
PEER_SEEDS = flags.DEFINE_integer(
    "peer_seeds", 3, "runs of scikit-surprise", lower_bound=1
)

# scikit-surprise is built from source with the installed numpy.
_PACKAGES = {"numpy": "numpy", "scikit-surprise": "surprise"}
_PROGRAM = Path(__file__).parent / "peer_programs/ratings.py"
# Our recipes for each split, and the metric that each was chosen by.
_RECIPES = {
    "ua": {
        "movielens_rating": "mean_squared_error",
        "movielens_history": "mean_squared_error",
        "movielens_recommendation": "accuracy",
        "movielens_history_recommendation": "accuracy",
    },
    "ub": {"movielens_history_ub": "mean_squared_error"},
}


def peer_metrics(python: Path, split: str, seed: int) -> dict[str, dict[str, float]]:
    """Returns the metrics of scikit-surprise's models on a split, by model."""
    files = [f"{DATA.value}/{split}.{part}.jsonl" for part in ("base", "test")]
    command = [str(python), str(_PROGRAM), *files, str(seed)]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        raise UserError("scikit-surprise failed. See the output above.")
    return dict(json.loads(process.stdout))


def print_row(split: str, model: str, metric: str, values: Iterable[float]) -> None:
    """Prints a row of the table."""
    print(f"| {split} | {metric} | {model} | {mean_and_spread(values)} |", flush=True)


def main() -> None:
    """Runs the command."""
    python = peer_python(Path(ENVIRONMENT.value), _PACKAGES)
    print("| split | test metric | model | value |\n|---|---|---|---|")
    for split, recipes in _RECIPES.items():
        for recipe, metric in recipes.items():
            values = [
                json.loads(path.read_text(encoding="utf-8"))["test"][metric]
                for path in sorted(Path(RUNS.value).glob(f"{recipe}/*/metrics.json"))
            ]
            if values:
                print_row(split, f"ours, {recipe}", metric, values)
        results = [
            peer_metrics(python, split, seed) for seed in range(PEER_SEEDS.value)
        ]
        for model, metrics in results[0].items():
            for metric in metrics:
                print_row(
                    split, model, metric, (result[model][metric] for result in results)
                )


if __name__ == "__main__":
    runner.run(main)
