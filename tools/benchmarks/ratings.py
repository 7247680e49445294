"""Measures scikit-surprise's models on MovieLens: results/ratings_SPLIT.json.

    python -m tools.benchmarks.ratings --splits=ua,ub

The metrics are the squared error of the ratings and the accuracy of predicting whether
a rating is above 3, on ua.test and ub.test after training on ua.base and ub.base. Our
recipes are trained on the same pairs (tools.benchmarks.results). scikit-surprise runs
in its own virtual environment, which the first run creates. Its scores are clipped to
1 to 5; ours are not. Finished measurements are kept in --runs and not repeated.
"""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from tools.benchmarks.measured import file_digests
from tools.benchmarks.peers import ENVIRONMENT, peer_python
from tools.benchmarks.recipe_runs import Record, kept
from tools.benchmarks.result_files import Row, by_metric, without_seeds, write_rows
from tools.benchmarks.spread import mean_and_spread

DATA = flags.DEFINE_string("data", "data/movielens/rating", "directory of the pairs")
SPLITS = flags.DEFINE_list("splits", ["ua", "ub"], "splits to measure")
PEER_SEEDS = flags.DEFINE_integer(
    "peer_seeds", 3, "runs of scikit-surprise", lower_bound=1
)

# scikit-surprise is built from source with the installed numpy.
_PACKAGES = {"numpy": "numpy", "scikit-surprise": "surprise"}
_PROGRAM = Path(__file__).parent / "peer_programs/ratings.py"


def peer_metrics(python: Path, files: list[Path], seed: int) -> Record:
    """Returns the metrics of scikit-surprise's models, by model.

    Args:
        python: The Python of an environment with scikit-surprise.
        files: The training pairs and the test pairs.
        seed: The seed of the models that have one.
    """
    command = [str(python), str(_PROGRAM), *map(str, files), str(seed)]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        raise UserError("scikit-surprise failed. See the output above.")
    return dict(json.loads(process.stdout))


def measure(python: Path, split: str) -> list[Row]:
    """Returns the metrics of scikit-surprise's models on a split."""
    files = [Path(DATA.value) / f"{split}.{part}.jsonl" for part in ("base", "test")]
    results = [
        kept(
            f"ratings_{split}_{seed}",
            functools.partial(peer_metrics, python, files, seed),
            _PROGRAM,
            *files,
        )
        for seed in range(PEER_SEEDS.value)
    ]
    rows = [
        Row(model, without_seeds(by_metric(result[model] for result in results)))
        for model in results[0]
    ]
    write_rows(
        f"ratings_{split}",
        f"python -m tools.benchmarks.ratings --splits={split}",
        rows,
        file_digests(*files),
    )
    return rows


def main() -> None:
    """Runs the command."""
    python = peer_python(Path(ENVIRONMENT.value), _PACKAGES)
    print("| split | test metric | model | value |\n|---|---|---|---|")
    for split in SPLITS.value:
        for row in measure(python, split):
            for metric, values in row.values.items():
                value = mean_and_spread(values)
                print(f"| {split} | {metric} | {row.name} | {value} |", flush=True)


if __name__ == "__main__":
    runner.run(main)
