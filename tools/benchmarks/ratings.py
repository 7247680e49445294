"""What runs of MovieLens's recipes score, beside scikit-surprise's models.

    python -m tools.benchmarks.ratings

Squared error of the ratings, and accuracy of whether a rating is above 3, on ua.test
and ub.test, learnt from ua.base and ub.base. scikit-surprise learns from the same pairs
in an environment of its own, which the first run makes; its scores are cut at 1 and 5,
ours are not. Ours are the runs of tools.benchmarks.results, one for each seed.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from tools.benchmarks.peers import ENVIRONMENT, interpreter
from tools.benchmarks.spread import mean_and_spread

DATA = flags.DEFINE_string("data", "data/movielens/rating", "where the pairs are")
RUNS = flags.DEFINE_string("runs", "runs/results", "where tools.benchmarks.results ran")
PEER_SEEDS = flags.DEFINE_integer(
    "peer_seeds", 3, "times that scikit-surprise learns", lower_bound=1
)

# scikit-surprise builds from source, against the numpy that is there.
_PACKAGES = {"numpy": "numpy", "scikit-surprise": "surprise"}
_PROGRAM = Path(__file__).parent / "peer_programs/ratings.py"
# Of each split our recipes, and the metric that each was chosen for.
_RECIPES = {
    "ua": {
        "movielens_rating": "mean_squared_error",
        "movielens_history": "mean_squared_error",
        "movielens_recommendation": "accuracy",
        "movielens_history_recommendation": "accuracy",
    },
    "ub": {"movielens_history_ub": "mean_squared_error"},
}


def peers(python: Path, split: str, seed: int) -> dict[str, dict[str, float]]:
    """Returns what scikit-surprise's models score on a split, by model and metric."""
    files = [f"{DATA.value}/{split}.{part}.jsonl" for part in ("base", "test")]
    line = [str(python), str(_PROGRAM), *files, str(seed)]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError("scikit-surprise failed (see above)")
    return dict(json.loads(done.stdout))


def show(split: str, model: str, metric: str, values: Iterable[float]) -> None:
    """Prints a line of the table."""
    print(f"| {split} | {metric} | {model} | {mean_and_spread(values)} |", flush=True)


def main() -> None:
    """Runs the command."""
    python = interpreter(Path(ENVIRONMENT.value), _PACKAGES)
    print("| split | test metric | model | value |\n|---|---|---|---|")
    for split, recipes in _RECIPES.items():
        for recipe, metric in recipes.items():
            held = [
                json.loads(path.read_text(encoding="utf-8"))["test"][metric]
                for path in sorted(Path(RUNS.value).glob(f"{recipe}/*/metrics.json"))
            ]
            if held:
                show(split, f"ours, {recipe}", metric, held)
        found = [peers(python, split, seed) for seed in range(PEER_SEEDS.value)]
        for model, metrics in found[0].items():
            for metric in metrics:
                show(split, model, metric, (each[model][metric] for each in found))


if __name__ == "__main__":
    runner.run(main)
