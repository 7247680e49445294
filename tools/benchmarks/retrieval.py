"""What runs of the recipes of documents and of tags find, beside simple models.

    python -m tools.benchmarks.retrieval

Documents: the place of the true one among all of the test part, by the model's score of
a pair and by the cosine of the two embeddings; beside TF-IDF, BM25, gensim's Doc2Vec
and the averages of word vectors that fastText learns from the same text. Tags: micro-F1
of the test part, a tag being given where its score exceeds a threshold that is best on
validation; beside one against the rest by logistic regression of TF-IDF, and by
fastText. The runs are those of tools.benchmarks.results; what they stand beside runs in
an environment of its own.
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
from object2vec_tf.search.candidate_pool import pool_of
from object2vec_tf.search.evaluation import MODEL, evaluate, pair_scorer
from tools.benchmarks.peers import ENVIRONMENT, interpreter
from tools.benchmarks.spread import mean_and_spread

DATA = flags.DEFINE_string("data", "data", "where tools/datasets have put the data")
RUNS = flags.DEFINE_string("runs", "runs/results", "where tools.benchmarks.results ran")
PART = flags.DEFINE_enum("part", "test", ["validation", "test"], "what is measured")

_PACKAGES = {
    "scikit-learn": "sklearn",
    "fasttext-wheel": "fasttext",
    "gensim": "gensim",
}
_PROGRAM = Path(__file__).parent / "peer_programs/retrieval.py"
# Of a recipe its data, its pool where that is not of the pairs, and what it ranks by.
_DOCUMENTS = {
    "debian_in_batch": ("debian/retrieval", "", ("cosine",)),
    "debian_retrieval": ("debian/retrieval", "", (MODEL, "cosine")),
    "wikipedia_in_batch": ("wikipedia", "articles.jsonl", ("cosine",)),
    "wikipedia_retrieval": ("wikipedia", "articles.jsonl", (MODEL, "cosine")),
}
_TAGS = ("debian_tags", "debian/tags")

Scores = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


def beside(task: str, *arguments: str) -> dict[str, Any]:
    """Returns what the simple models tell of the test part."""
    python = interpreter(Path(ENVIRONMENT.value), _PACKAGES)
    line = [str(python), str(_PROGRAM), task, *arguments]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError(f"{task}: the simple models failed (see above)")
    return dict(json.loads(done.stdout))


def show(task: str, model: str, told: Sequence[dict[str, float]]) -> None:
    """Prints a line for each measure, of one run or of several seeds."""
    for name in told[0]:
        if name in ("queries", "pool", "mrr") or name.startswith("ndcg"):
            continue
        value = mean_and_spread(one[name] for one in told)
        print(f"| {task} | {name} | {model} | {value} |", flush=True)


def micro_f1(given: Flags, true: Flags) -> float:
    """Returns the harmonic mean of precision and recall over all decisions."""
    hits = int(np.count_nonzero(given & true))
    return 2 * hits / max(int(given.sum()) + int(true.sum()), 1)


def best_threshold(scores: Scores, true: Flags) -> float:
    """Returns the threshold of the highest micro-F1."""
    candidates = np.quantile(scores, np.linspace(0.9, 0.999, 100)).tolist()
    return float(max(candidates, key=lambda at: micro_f1(scores >= at, true)))


def tag_f1(run: Path, data: Path) -> dict[str, float]:
    """Returns a run's micro-F1, by the threshold that is best on validation."""
    model = load_model(run)
    tags = pool_of(read_objects(data / "tags.jsonl", model), "in1", "tags.jsonl")
    names = [row["in1"][0] for row in rows_of(data / "tags.jsonl")]
    score = pair_scorer(run)(model(tags.objects()))
    longest = input_limits(model.hyperparameters)["in0"][1]
    found: dict[str, tuple[Scores, Flags]] = {}
    for part in ("validation", "test"):
        rows = rows_of(data / f"{part}.packages.jsonl")
        ids, _ = model.tokenize({"in0": [row["in0"] for row in rows]})
        chances = score(model(RaggedInputs.from_rows(ids).truncate({"in0": longest})))
        true = np.array([[name in row["tags"] for name in names] for row in rows])
        found[part] = chances, true
    threshold = best_threshold(*found["validation"])
    return {
        "micro_f1": micro_f1(found[PART.value][0] >= threshold, found[PART.value][1])
    }


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a file of JSON Lines."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def main() -> None:
    """Runs the command."""
    data, runs = Path(DATA.value), Path(RUNS.value)
    print(f"| task | {PART.value} metric | model | value |\n|---|---|---|---|")
    told_of: set[str] = set()
    for recipe, (place, pool, scores) in _DOCUMENTS.items():
        held = sorted(runs.glob(f"{recipe}/*"))
        if not held:
            continue
        items = data / place / pool if pool else None
        for score in scores:
            pairs = data / place / f"{PART.value}.jsonl"
            told = [evaluate(run, pairs, items, score=score) for run in held]
            show(recipe, f"ours, {score}", told)
        if PART.value == "test" and place not in told_of:
            told_of.add(place)
            simple = beside("documents", str(data / place), str(items or ""))
            for name, measured in simple.items():
                show(place, name, [measured])
    recipe, place = _TAGS
    held = sorted(runs.glob(f"{recipe}/*"))
    if held:
        show(recipe, "ours", [tag_f1(run, data / place) for run in held])
        if PART.value == "test":
            for name, measured in beside("tags", str(data / place)).items():
                show(place, name, [measured])


if __name__ == "__main__":
    runner.run(main)
