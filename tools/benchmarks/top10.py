"""Recommends ten unseen movies to each user of MovieLens-100k, beside other models.

    python -m tools.benchmarks.top10

Every model learns from the same training part, and its ten best movies that a user did
not rate there are compared with the user's ratings of 4 and 5 in the test part. The
models are popularity, ALS and BPR of implicit, EASE, EASE with all ratings, and the
recipes movielens_top10 and movielens_top10_ub. The first four learn from ratings of 4
and 5 alone. The others also learn which movies a user rated lower. The settings of the
other models are those with the best recall@10 on the validation part. implicit runs in
its own virtual environment, which the first run creates (--nopeers leaves it out).
Finished runs are kept in --runs and not repeated.
"""

from __future__ import annotations

import functools
import itertools
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from tools.benchmarks.peers import ENVIRONMENT, peer_python
from tools.benchmarks.results import train
from tools.benchmarks.spread import mean_and_spread
from tools.benchmarks.top10_task import Scores, Task, ease, popularity
from tools.nearest_titles import embed, newest_version

DATA = flags.DEFINE_string("data", "data/movielens_top10", "directory of the task")
PEERS = flags.DEFINE_bool("peers", True, "measure implicit's models")
PARTS = flags.DEFINE_list("parts", ["ua", "ub"], "parts to measure, of ua and ub")

_RECIPES: Final = {"ua": "movielens_top10", "ub": "movielens_top10_ub"}
_PACKAGES: Final = {"implicit": "implicit"}
_PROGRAM: Final = Path(__file__).parent / "peer_programs/top10.py"
# The values tried on the validation part, by model.
_EASE: Final = {"regularization": [100.0, 200.0, 300.0, 500.0, 800.0]}
_GRIDS: Final[Mapping[str, Mapping[str, Sequence[Any]]]] = {
    "AlternatingLeastSquares": {
        "factors": [20, 30],
        "regularization": [5.0, 10.0, 20.0, 40.0],
        "alpha": [1.0, 3.0, 10.0],
        "iterations": [20],
    },
    "BayesianPersonalizedRanking": {
        "factors": [32, 64],
        "learning_rate": [0.01, 0.02],
        "regularization": [0.05, 0.1, 0.2],
        "iterations": [200],
    },
}

# Returns the scores for a task, and the seconds of training.
Model = Callable[[Task, int], tuple[Scores, float]]
Settings = dict[str, Any]


def timed(model: Callable[[Task], Scores]) -> Model:
    """Returns a model without a random seed, with its time."""

    def run(task: Task, seed: int) -> tuple[Scores, float]:
        start = time.perf_counter()
        scores = model(task)
        return scores, time.perf_counter() - start

    return run


def implicit_model(python: Path, name: str, settings: Mapping[str, Any]) -> Model:
    """Returns a model of implicit.

    Args:
        python: The Python of an environment with implicit.
        name: The name of the class.
        settings: The arguments of its constructor.
    """

    def run(task: Task, seed: int) -> tuple[Scores, float]:
        with tempfile.TemporaryDirectory() as folder:
            files = [f"{folder}/liked.npz", f"{folder}/scores.npy"]
            np.savez(files[0], liked=task.liked)
            arguments = json.dumps({**settings, "random_state": seed})
            command = [str(python), str(_PROGRAM), *files, name, arguments]
            process = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=False
            )
            if process.returncode:
                raise UserError("implicit failed. See the output above.")
            return np.load(files[1]), float(process.stdout)

    return run


def our_model(recipe: str, part: Path, runs: Path) -> Model:
    """Returns a recipe, trained by the command that a user would type.

    Args:
        recipe: Its name in examples/.
        part: The directory of the part that the recipe is trained on.
        runs: The directory of the runs.
    """

    def run(task: Task, seed: int) -> tuple[Scores, float]:
        import tensorflow as tf

        directory = runs / recipe / f"seed-{seed}"
        seconds = float(train(recipe, seed, directory)["seconds"])
        model = tf.saved_model.load(str(newest_version(directory / "export")))
        users, movies = (
            embed(model.signatures[f"embed_enc{side}"], _objects(part / file, side))
            for side, file in enumerate(("users.jsonl", "items.jsonl"))
        )
        return users @ movies.T, seconds

    return run


def _objects(path: Path, side: int) -> list[list[int]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line)[f"in{side}"] for line in file]


def combinations(grid: Mapping[str, Sequence[Any]]) -> Iterator[Settings]:
    """Yields every combination of the values of a grid."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def best_settings(
    model: Callable[[Settings], Model],
    candidates: Iterator[Settings],
    validation: Task,
) -> Settings:
    """Returns the settings with the best recall@10 on the validation part."""

    def recall(settings: Settings) -> float:
        scores, _ = model(settings)(validation, 0)
        return validation.metrics(scores)["recall@10"]

    return max(candidates, key=recall)


def chosen_models(validation: Task) -> dict[str, tuple[Model, bool]]:
    """Returns the other models with their settings, and whether they have a seed."""
    models = {"popularity": (timed(popularity), False)}
    if PEERS.value:
        python = peer_python(Path(ENVIRONMENT.value), _PACKAGES)
        for name, grid in _GRIDS.items():
            model = functools.partial(implicit_model, python, name)
            settings = best_settings(model, combinations(grid), validation)
            models[_label(f"implicit {name}", settings)] = model(settings), True
    others = {"weight_of_others": [0.1, 0.2, 0.3, 0.4, 0.5]}
    for label, grid in (
        ("EASE", _EASE),
        ("EASE with all ratings", {**_EASE, **others}),
    ):
        settings = best_settings(_ease, combinations(grid), validation)
        models[_label(label, settings)] = (_ease(settings), False)
    return models


def _ease(settings: Settings) -> Model:
    return timed(lambda task: ease(task, **settings))


def _label(name: str, settings: Settings) -> str:
    return f"{name} ({', '.join(f'{key} {value}' for key, value in settings.items())})"


def print_row(part: str, label: str, task: Task, model: Model, seeds: int) -> None:
    """Measures a model and prints a row of the table."""
    results = [model(task, seed) for seed in range(seeds)]
    metrics = [task.metrics(scores) for scores, _ in results]
    cells = [mean_and_spread(run[name] for run in metrics) for name in metrics[0]]
    seconds = statistics.median(seconds for _, seconds in results)
    print(f"| {part} | {label} | {' | '.join(cells)} | {seconds:.1f} |", flush=True)


def main() -> None:
    """Runs the command."""
    from tools.benchmarks.results import RUNS, SEEDS

    data = Path(DATA.value)
    models = chosen_models(Task.read(data / "validation"))
    print(
        "| test part | model | recall@10 | hits@10 | ndcg@10 | seconds |\n"
        "|---|---|---|---|---|---|"
    )
    for part in PARTS.value:
        task = Task.read(data / part)
        for label, (model, has_seed) in models.items():
            print_row(part, label, task, model, SEEDS.value if has_seed else 1)
        ours = our_model(_RECIPES[part], data / part, Path(RUNS.value))
        print_row(part, f"ours, {_RECIPES[part]}", task, ours, SEEDS.value)


if __name__ == "__main__":
    runner.run(main)
