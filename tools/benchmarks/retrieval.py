"""Compares the runs of the document and tag recipes with simple models.

    python -m tools.benchmarks.retrieval

Documents: the rank of each pair's document among all of the test part, by the model's
score of a pair and by the cosine of the embeddings. The baselines are TF-IDF, BM25,
gensim's Doc2Vec, and averages of word vectors that fastText learns from the same text.

Tags: micro-F1 on the test part; a tag is predicted if its score exceeds the threshold
that is best on validation. The baselines are one-vs-rest logistic regression on TF-IDF
and one-vs-rest fastText.

The runs are those of tools.benchmarks.results. The baselines run in their own virtual
environment.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from object2vec_tf.inference.jsonl_inputs import read_objects
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs, input_limits
from object2vec_tf.metrics.ranking import rank_metrics
from object2vec_tf.metrics.retrieval import CUTOFFS
from object2vec_tf.search.candidate_pool import read_pool
from object2vec_tf.search.evaluation import MODEL, pair_scorer, true_ranks
from tools.benchmarks.peers import ENVIRONMENT, peer_python
from tools.benchmarks.spread import mean_and_spread

DATA = flags.DEFINE_string("data", "data", "directory of the data from tools/datasets")
RUNS = flags.DEFINE_string(
    "runs", "runs/results", "directory of the runs of tools.benchmarks.results"
)
PART = flags.DEFINE_enum("part", "test", ["validation", "test"], "part to evaluate")

_PACKAGES = {
    "scikit-learn": "sklearn",
    "fasttext-wheel": "fasttext",
    "gensim": "gensim",
}
_PROGRAM = Path(__file__).parent / "peer_programs/retrieval.py"
# Data directory, pool file ("": in1 of the pairs) and scores of each recipe.
_DOCUMENTS = {
    "debian_in_batch": ("debian/retrieval", "", ("cosine",)),
    "debian_retrieval": ("debian/retrieval", "", (MODEL, "cosine")),
    "wikipedia_in_batch": ("wikipedia", "articles.jsonl", ("cosine",)),
    "wikipedia_retrieval": ("wikipedia", "articles.jsonl", (MODEL, "cosine")),
}
_TAGS = ("debian_tags", "debian/tags")

Scores = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


def run_baselines(task: str, *arguments: str) -> dict[str, Any]:
    """Returns the output of peer_programs/retrieval.py on the test part."""
    python = peer_python(Path(ENVIRONMENT.value), _PACKAGES)
    command = [str(python), str(_PROGRAM), task, *arguments]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        raise UserError(f"{task}: the baselines failed. See the output above.")
    return dict(json.loads(process.stdout))


def print_rows(task: str, model: str, results: Sequence[dict[str, float]]) -> None:
    """Prints a row for each metric.

    Args:
        task: The first cell.
        model: Name of the model.
        results: The metrics of each seed.
    """
    for name in results[0]:
        if name == "mrr":
            continue
        value = mean_and_spread(metrics[name] for metrics in results)
        print(f"| {task} | {name} | {model} | {value} |", flush=True)


def micro_f1(predicted: Flags, true: Flags) -> float:
    """Returns the harmonic mean of precision and recall over all decisions."""
    hits = int(np.count_nonzero(predicted & true))
    return 2 * hits / max(int(predicted.sum()) + int(true.sum()), 1)


def best_threshold(scores: Scores, true: Flags) -> float:
    """Returns the threshold with the highest micro-F1."""
    candidates = np.quantile(scores, np.linspace(0.9, 0.999, 100)).tolist()
    return float(
        max(candidates, key=lambda threshold: micro_f1(scores >= threshold, true))
    )


def tag_f1(run: Path, data: Path) -> dict[str, float]:
    """Returns the micro-F1 of a run with the threshold that is best on validation."""
    model = load_model(run)
    tags = read_pool(read_objects(data / "tags.jsonl", model), "in1", "tags.jsonl")
    names = [row["in1"][0] for row in read_rows(data / "tags.jsonl")]
    score = pair_scorer(run)(model(tags.objects()))
    max_seq_len = input_limits(model.hyperparameters)["in0"][1]
    decisions: dict[str, tuple[Scores, Flags]] = {}
    for part in ("validation", "test"):
        rows = read_rows(data / f"{part}.packages.jsonl")
        ids, _ = model.tokenize({"in0": [row["in0"] for row in rows]})
        scores = score(
            model(RaggedInputs.from_rows(ids).truncate({"in0": max_seq_len}))
        )
        true = np.array([[name in row["tags"] for name in names] for row in rows])
        decisions[part] = scores, true
    threshold = best_threshold(*decisions["validation"])
    scores, true = decisions[PART.value]
    return {"micro_f1": micro_f1(scores >= threshold, true)}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a JSON Lines file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def print_documents(data: Path, runs: Path) -> None:
    """Prints the rows of the document recipes and of their baselines."""
    tasks_with_baselines: set[str] = set()
    for recipe, (task, pool, scores) in _DOCUMENTS.items():
        recipe_runs = sorted(runs.glob(f"{recipe}/*"))
        if not recipe_runs:
            continue
        items = data / task / pool if pool else None
        pairs = data / task / f"{PART.value}.jsonl"
        for score in scores:
            found = [true_ranks(run, pairs, items, score=score) for run in recipe_runs]
            metrics = [rank_metrics(ranks, CUTOFFS) for ranks, _ in found]
            print_rows(recipe, f"ours, {score}", metrics)
        if PART.value == "test" and task not in tasks_with_baselines:
            tasks_with_baselines.add(task)
            baselines = run_baselines("documents", str(data / task), str(items or ""))
            for name, result in baselines.items():
                print_rows(task, name, [result])


def print_tags(data: Path, runs: Path) -> None:
    """Prints the rows of the tag recipe and of its baselines."""
    recipe, task = _TAGS
    recipe_runs = sorted(runs.glob(f"{recipe}/*"))
    if not recipe_runs:
        return
    print_rows(recipe, "ours", [tag_f1(run, data / task) for run in recipe_runs])
    if PART.value == "test":
        for name, result in run_baselines("tags", str(data / task)).items():
            print_rows(task, name, [result])


def main() -> None:
    """Runs the command."""
    data, runs = Path(DATA.value), Path(RUNS.value)
    print(f"| task | {PART.value} metric | model | value |\n|---|---|---|---|")
    print_documents(data, runs)
    print_tags(data, runs)


if __name__ == "__main__":
    runner.run(main)
