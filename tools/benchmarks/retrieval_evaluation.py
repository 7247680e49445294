"""Measures the CPU time and the memory of an evaluation of retrieval.

    python -m tools.benchmarks.retrieval_evaluation

Random embeddings of width 64: 5,000 queries among 100,000 items, with 1 or 20 relevant
and 100 excluded items per query. Prints CPU seconds and the peak memory of the process,
of which TensorFlow's import is a part.
"""

from __future__ import annotations

import resource
import time

import numpy as np

from object2vec_tf.commands import runner
from object2vec_tf.metrics.retrieval import ItemLists, evaluate_retrieval

_QUERIES, _ITEMS, _DIM, _EXCLUDED = 5_000, 100_000, 64, 100


def main() -> None:
    """Runs the command."""
    generator = np.random.default_rng(0)

    def random_lists(count: int) -> ItemLists:
        items = generator.integers(0, _ITEMS, _QUERIES * count)
        return ItemLists.from_pairs(
            np.repeat(np.arange(_QUERIES), count), items, _QUERIES
        )

    queries, items = (
        generator.normal(size=(rows, _DIM)).astype(np.float32)
        for rows in (_QUERIES, _ITEMS)
    )
    excluded = random_lists(_EXCLUDED)
    print("| relevant items per query | CPU seconds | peak memory |\n|---|---|---|")
    for count in (1, 20):
        relevant = random_lists(count)
        start = time.process_time()
        evaluate_retrieval(queries, items, relevant, excluded)
        seconds = time.process_time() - start
        gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"| {count} | {seconds:.1f} | {gigabytes:.2f} GB |")


if __name__ == "__main__":
    runner.run(main)
