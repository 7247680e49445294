"""Recommends ten unseen movies to each user of MovieLens-100k, beside other models.

    python -m tools.benchmarks.top10

Every model learns from the same training part, and its ten best movies that a user did
not rate there are compared with the user's ratings of 4 and 5 in the test part. The
models are popularity, ALS and BPR of implicit, EASE, EASE with all ratings, and the
recipes movielens_top10 and movielens_top10_ub. The first four learn from ratings of 4
and 5 alone. The others also learn which movies a user rated lower. The settings of the
other models are those with the best recall@10 on the validation part. implicit runs in
its own virtual environment, which the first run creates (--nopeers leaves it out).
Finished runs and measurements are kept in --runs and not repeated. Writes
results/top10_ua.json and results/top10_ub.json.
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
from tools.benchmarks.measured import file_digests
from tools.benchmarks.peers import ENVIRONMENT, peer_python
from tools.benchmarks.recipe_runs import RUNS, Record, kept, train
from tools.benchmarks.result_files import Row, by_metric, write_rows
from tools.benchmarks.results import SEEDS
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
    name: str,
    model: Callable[[Settings], Model],
    grid: Mapping[str, Sequence[Any]],
    validation: Path,
) -> Settings:
    """Returns the settings with the best recall@10 on the validation part.

    Args:
        name: The name of the model.
        model: Returns the model with some settings.
        grid: The values of each setting.
        validation: The directory of the part.
    """

    def best() -> Settings:
        task = Task.read(validation)

        def recall(settings: Settings) -> float:
            scores, _ = model(settings)(task, 0)
            return task.metrics(scores)["recall@10"]

        return max(combinations(grid), key=recall)

    return kept(
        f"top10_settings_{name}", best, *_files(validation), arguments=json.dumps(grid)
    )


def chosen_models(validation: Path) -> dict[str, tuple[Model, Settings, bool]]:
    """Returns the other models, their settings, and whether they have a seed."""
    models: dict[str, tuple[Model, Settings, bool]] = {
        "popularity": (timed(popularity), {}, False)
    }
    if PEERS.value:
        python = peer_python(Path(ENVIRONMENT.value), _PACKAGES)
        for name, grid in _GRIDS.items():
            model = functools.partial(implicit_model, python, name)
            settings = best_settings(name, model, grid, validation)
            models[f"implicit {name}"] = model(settings), settings, True
    others = {"weight_of_others": [0.1, 0.2, 0.3, 0.4, 0.5]}
    for name, grid in (
        ("EASE", _EASE),
        ("EASE with all ratings", {**_EASE, **others}),
    ):
        settings = best_settings(name, _ease, grid, validation)
        models[name] = _ease(settings), settings, False
    return models


def _ease(settings: Settings) -> Model:
    return timed(lambda task: ease(task, **settings))


def _files(part: Path) -> list[Path]:
    return sorted(part.glob("*.jsonl*"))


def measure(model: Model, part: Path, seed: int) -> Record:
    """Returns the metrics of a model on a part, and the seconds of its training."""
    task = Task.read(part)
    scores, seconds = model(task, seed)
    return {**task.metrics(scores), "seconds": round(seconds, 1)}


def rows_of(
    part: str, data: Path, models: Mapping[str, tuple[Model, Settings, bool]]
) -> Iterator[Row]:
    """Yields the results of all models on a part."""
    for name, (model, settings, has_seed) in models.items():
        results = [
            kept(
                f"top10_{part}_{name}_{seed}",
                functools.partial(measure, model, data / part, seed),
                *_files(data / part),
                arguments=json.dumps(settings),
            )
            for seed in range(SEEDS.value if has_seed else 1)
        ]
        details = {"settings": settings} if settings else {}
        yield Row(name, by_metric(results), details=details)
    recipe = _RECIPES[part]
    ours = our_model(recipe, data / part, Path(RUNS.value))
    results = [measure(ours, data / part, seed) for seed in range(SEEDS.value)]
    yield Row(recipe, by_metric(results), recipe)


def main() -> None:
    """Runs the command."""
    data = Path(DATA.value)
    models = chosen_models(data / "validation")
    print(
        "| test part | model | recall@10 | hits@10 | ndcg@10 | seconds |\n"
        "|---|---|---|---|---|---|"
    )
    for part in PARTS.value:
        rows = []
        for row in rows_of(part, data, models):
            rows.append(row)
            values = dict(row.values)
            seconds = statistics.median(values.pop("seconds"))
            cells = [part, row.name, *map(mean_and_spread, values.values())]
            print(f"| {' | '.join(cells)} | {seconds:.1f} |", flush=True)
        command = f"python -m tools.benchmarks.top10 --parts={part}"
        digests = file_digests(*_files(data / part))
        write_rows(f"top10_{part}", command, rows, digests)


if __name__ == "__main__":
    runner.run(main)
