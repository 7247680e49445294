"""Retrains a recommender week by week, and compares it with training from scratch.

    python examples/retrain_daily/retrain.py --weeks=21..25 --work=runs/retrain_daily

For every week, three models recommend movies for the week before it has begun: one
trained from scratch on everything so far, one that starts with the weights of the week
before (`--initial_model`), and the model of the first week, which is never retrained.
Popularity is the baseline. The measure is recall@10 of the movies that known users like
in that week; movies that they have already rated are excluded. With --output, the
results are also written as JSON.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import tensorflow as tf
from absl import app, flags

import object2vec_tf as o2v
from object2vec_tf.commands import flags as fit_flags
from object2vec_tf.metrics.retrieval import (
    ItemLists,
    evaluate_retrieval,
    popularity_metrics,
)

FLAGFILE = Path(__file__).with_name("retrain_daily.flags")
K = 10

_DATA = flags.DEFINE_string(
    "data", "data/movielens_weeks", "output of tools/datasets/movielens_weeks.py"
)
_WORK = flags.DEFINE_string("work", "runs/retrain_daily", "directory of the runs")
_WEEKS = flags.DEFINE_string("weeks", "21..25", "first and last week that is predicted")
_WARM_EPOCHS = flags.DEFINE_integer("warm_epochs", 3, "epochs of a warm-started run")
_OUTPUT = flags.DEFINE_string("output", None, "a JSON file for the results")
_SCRATCH = flags.DEFINE_bool("scratch", True, "whether to train from scratch, too")

Row = dict[str, Any]


class Week:
    """What is known when a week starts, and what happens in it.

    Args:
        path: The week's directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.items = [row["in1"] for row in read(path / "items.jsonl")]
        self._positions = {item: i for i, [item] in enumerate(self.items)}
        test = list(read(path / "test.jsonl"))
        self.users = list({row["in0"][0]: row["in0"] for row in test}.values())
        self._queries = {user: i for i, [user, *_] in enumerate(self.users)}
        self._relevant = self._lists(test)
        self._seen = self._lists(read(path / "seen.jsonl"))

    def _lists(self, rows: Iterable[Row]) -> ItemLists:
        pairs = [
            (self._queries[row["in0"][0]], self._positions[row["in1"][0]])
            for row in rows
        ]
        queries, items = np.array(pairs, np.int64).T
        return ItemLists.from_pairs(queries, items, len(self.users))

    def popularity(self) -> float:
        """Returns the recall if all users get the movies that most users liked."""
        train = read(self.path / "train.jsonl.zst")
        liked = Counter(row["in1"][0] for row in train)
        counts = np.array([liked[item] for [item] in self.items])
        metrics = popularity_metrics(counts, self._relevant, self._seen, [K])
        return metrics[f"recall@{K}"]

    def recall(self, model: o2v.Object2Vec) -> float:
        """Returns the recall by the inner products of a model's embeddings."""
        metrics = evaluate_retrieval(
            model.embed(self.users, encoder=0),
            model.embed(self.items, encoder=1),
            self._relevant,
            self._seen,
            similarity="inner_product",
            cutoffs=[K],
        )
        return metrics[f"recall@{K}"]


def read(path: Path) -> Iterator[Row]:
    """Yields the rows of a JSON Lines file."""
    compression = "zstd" if path.suffix == ".zst" else None
    with io.TextIOWrapper(pa.input_stream(path, compression), "utf-8") as file:
        yield from map(json.loads, file)


def train(week: Week, model_dir: Path, **changes: Any) -> tuple[o2v.Run, float]:
    """Trains on everything before a week, and returns the CPU seconds that it took.

    Args:
        week: The week.
        model_dir: The run directory.
        **changes: Hyperparameters that differ from the flagfile, and initial_model.
    """
    initial_model = changes.pop("initial_model", None)
    keras.backend.clear_session()
    start = time.process_time()
    run = o2v.fit(
        {**fit_flags.given_by_flags(), **changes},
        train=week.path / "train.jsonl.zst",
        auxiliary=week.path / "words",
        model_dir=model_dir,
        initial_model=initial_model,
        seed=fit_flags.SEED.value,
        verbose=False,
    )
    return run, time.process_time() - start


def main(argv: Sequence[str]) -> None:
    """Trains and compares the models of all weeks."""
    del argv
    tf.get_logger().setLevel("ERROR")  # every model traces its functions again
    flags.FLAGS([sys.argv[0], f"--flagfile={FLAGFILE}", *sys.argv[1:]])
    work, data = Path(_WORK.value), Path(_DATA.value)
    first, last = map(int, _WEEKS.value.split(".."))
    start = Week(data / str(first - 1))
    stale, _ = train(start, work / f"{first - 1}")
    initial_model = work / f"{first - 1}"
    recall: dict[str, list[float]] = defaultdict(list)
    spent: dict[str, list[float]] = defaultdict(list)
    users: list[int] = []
    for number in range(first, last + 1):
        week = Week(data / str(number))
        runs: dict[str, tuple[o2v.Run, float]] = {}
        runs["warm start"] = train(
            week,
            work / f"{number}",
            initial_model=initial_model,
            epochs=_WARM_EPOCHS.value,
        )
        initial_model = work / f"{number}"
        if _SCRATCH.value:
            runs["from scratch"] = train(week, work / f"{number}_scratch")
        results = {name: week.recall(run.model) for name, (run, _) in runs.items()}
        results["not retrained"] = week.recall(stale.model)
        results["popularity"] = week.popularity()
        for name, value in results.items():
            recall[name].append(value)
        for name, (_, seconds) in runs.items():
            spent[name].append(seconds)
        users.append(len(week.users))
        columns = "  ".join(f"{name} {value:.4f}" for name, value in results.items())
        rows = runs["warm start"][0].metrics["initial_model"]
        new = f"{rows['enc0_rows']['new']} new in0, {rows['enc1_rows']['new']} new in1"
        print(f"week {number} ({len(week.users)} users; {new}): {columns}", flush=True)
    summary: dict[str, dict[str, float]] = {}
    for name, values in recall.items():
        summary[name] = {f"recall@{K}": float(np.average(values, weights=users))}
        if name in spent:
            summary[name]["cpu_seconds"] = float(np.mean(spent[name]))
    print_table(summary)
    if _OUTPUT.value:
        Path(_OUTPUT.value).write_text(json.dumps(summary, indent=1), "utf-8")


def print_table(summary: Mapping[str, Mapping[str, float]]) -> None:
    """Prints the mean recall over the users of all weeks, and CPU seconds per week."""
    print(f"\n{'model':14} recall@{K}  CPU seconds of a run")
    for name, values in summary.items():
        times = [f"{values['cpu_seconds']:12.1f}"] if "cpu_seconds" in values else []
        print(f"{name:14} {values[f'recall@{K}']:9.4f}{''.join(times)}")


if __name__ == "__main__":
    app.run(main)
