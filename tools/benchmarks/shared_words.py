"""Compares hits@1 of embeddings, TF-IDF and BM25 by the rarest shared word.

    python -m tools.benchmarks.shared_words

Groups the queries of Debian's test part by the rarest word that a short description
shares with its own long description: by the number of long training descriptions with
that word. For each group it shows hits@1 of the runs of debian_in_batch
(tools.benchmarks.results) by cosine, of TF-IDF and of BM25. Word statistics need no
training on a word; learned embeddings need no shared word.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from object2vec_tf.search.evaluation import true_ranks
from tools.benchmarks.retrieval import DATA, RUNS, run_baselines
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


def main() -> None:
    """Runs the command."""
    directory = Path(DATA.value) / _TASK
    runs = sorted(Path(RUNS.value).glob(f"{_RECIPE}/*"))
    if not runs:
        raise UserError(
            f"{RUNS.value}: expected runs of {_RECIPE}, got none. Train them first: "
            f"python -m tools.benchmarks.results --recipes={_RECIPE} --seeds=3"
        )
    baselines = run_baselines("ranks", str(directory), "")
    ours = [true_ranks(run, directory / "test.jsonl")[0] for run in runs]
    rarest = np.array(baselines["rarest"])
    group = np.searchsorted(list(_GROUPS.values()), rarest, side="right") - 1
    print(
        "| rarest shared word | queries | ours | TF-IDF | BM25 |\n|---|---|---|---|---|"
    )
    for number, name in enumerate([*_GROUPS, "all"]):
        rows = group == number if name in _GROUPS else np.full(len(group), True)
        if not rows.any():
            continue
        tf_idf, bm25 = (
            np.mean(np.array(baselines[name])[rows] <= 1) for name in ("TF-IDF", "BM25")
        )
        print(
            f"| {name} | {np.count_nonzero(rows):,} "
            f"| {mean_and_spread(float(np.mean(ranks[rows] <= 1)) for ranks in ours)} "
            f"| {tf_idf:.4f} | {bm25:.4f} |"
        )


if __name__ == "__main__":
    runner.run(main)
