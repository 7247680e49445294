"""Compares hits@1 of embeddings, TF-IDF and BM25 by the rarest shared word.

    python -m tools.benchmarks.shared_words

Groups the queries of Debian's test part by the rarest word that a short description
shares with its own long description: by the number of long training descriptions with
that word. For each group it shows hits@1 of the runs of debian_in_batch
(tools.benchmarks.results) by cosine, of TF-IDF and of BM25. Word statistics need no
training on a word; learned embeddings need no shared word. Writes
results/shared_words.json.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from object2vec_tf.search.evaluation import true_ranks
from tools.benchmarks.measured import file_digests
from tools.benchmarks.recipe_runs import RUNS, finished_runs, kept
from tools.benchmarks.result_files import Row, write_rows
from tools.benchmarks.retrieval import DATA, run_baselines
from tools.benchmarks.spread import mean_and_spread

_RECIPE, _TASK = "debian_in_batch", "debian/retrieval"
# Smallest number of training texts in each group; -1: no word is shared.
_GROUPS = {
    "no shared word": -1,
    "in no training text": 0,
    "1 to 9": 1,
    "10 to 99": 10,
    "100 to 999": 100,
    "1,000 and more": 1000,
}


def our_ranks(directory: Path) -> list[npt.NDArray[np.float64]]:
    """Returns the ranks of the queries for each run."""
    runs = finished_runs(_RECIPE)
    if not runs:
        raise UserError(
            f"{RUNS.value}: expected runs of {_RECIPE}, got none. Train them first: "
            f"python -m tools.benchmarks.results --recipes={_RECIPE} --seeds=3"
        )
    test = directory / "test.jsonl"
    return [
        np.array(
            kept(
                f"ranks_{_RECIPE}_{run.name}",
                functools.partial(_ranks, run, test),
                run / "metrics.json",
                test,
            )["ranks"]
        )
        for run in runs
    ]


def _ranks(run: Path, test: Path) -> dict[str, list[float]]:
    return {"ranks": true_ranks(run, test)[0].tolist()}


def main() -> None:
    """Runs the command."""
    directory = Path(DATA.value) / _TASK
    baselines = run_baselines("ranks", directory, "")
    ours = our_ranks(directory)
    rarest = np.array(baselines["rarest"])
    group = np.searchsorted(list(_GROUPS.values()), rarest, side="right") - 1
    print(
        "| rarest shared word | queries | ours | TF-IDF | BM25 |\n|---|---|---|---|---|"
    )
    results = []
    for number, name in enumerate([*_GROUPS, "all"]):
        rows = group == number if name in _GROUPS else np.full(len(group), True)
        if not rows.any():
            continue
        values = {_RECIPE: [float(np.mean(ranks[rows] <= 1)) for ranks in ours]}
        for model in ("TF-IDF", "BM25"):
            values[model] = [float(np.mean(np.array(baselines[model])[rows] <= 1))]
        count = int(np.count_nonzero(rows))
        results.append(Row(name, values, _RECIPE, {"queries": count}))
        cells = [name, f"{count:,}", *map(mean_and_spread, values.values())]
        print(f"| {' | '.join(cells)} |", flush=True)
    write_rows(
        "shared_words",
        "python -m tools.benchmarks.shared_words",
        results,
        file_digests(*sorted(directory.glob("*.jsonl"))),
    )


if __name__ == "__main__":
    runner.run(main)
