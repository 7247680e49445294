"""Where BM25 finds more first places than embeddings, and where fewer.

    python -m tools.benchmarks.shared_words

Of Debian's test part, by how often train's long descriptions have the rarest word that
a short description shares with its own long one: hits@1 of the runs of debian_in_batch
(tools.benchmarks.results), by the cosine, beside TF-IDF and BM25. What is counted needs
no word to be learnt; what is learnt needs none to be shared.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from object2vec_tf.search.evaluation import true_ranks
from tools.benchmarks.retrieval import DATA, RUNS, beside
from tools.benchmarks.spread import mean_and_spread

_RECIPE, _PLACE = "debian_in_batch", "debian/retrieval"
# From so many texts of train on, up to the next.
_GROUPS = {
    "no word is shared": -1,
    "train has it in no text": 0,
    "1 to 9": 1,
    "10 to 99": 10,
    "100 to 999": 100,
    "1,000 and more": 1000,
}


def main() -> None:
    """Runs the command."""
    directory = Path(DATA.value) / _PLACE
    held = sorted(Path(RUNS.value).glob(f"{_RECIPE}/*"))
    if not held:
        raise UserError(
            f"{RUNS.value}: holds no run of {_RECIPE}; train it first: "
            f"python -m tools.benchmarks.results --recipes={_RECIPE} --seeds=3"
        )
    told = beside("ranks", str(directory), "")
    ours = [true_ranks(run, directory / "test.jsonl")[0] for run in held]
    rarest = np.array(told["rarest"])
    group = np.searchsorted(list(_GROUPS.values()), rarest, side="right") - 1
    print(
        "| rarest shared word | queries | ours | TF-IDF | BM25 |\n|---|---|---|---|---|"
    )
    for number, name in enumerate([*_GROUPS, "all"]):
        rows = group == number if name in _GROUPS else np.full(len(group), True)
        if not rows.any():
            continue
        simple = [
            np.mean(np.array(told[kind])[rows] <= 1) for kind in ("TF-IDF", "BM25")
        ]
        print(
            f"| {name} | {np.count_nonzero(rows):,} "
            f"| {mean_and_spread(float(np.mean(ranks[rows] <= 1)) for ranks in ours)} "
            f"| {simple[0]:.4f} | {simple[1]:.4f} |"
        )


if __name__ == "__main__":
    runner.run(main)
