"""Compares the runs of the document and tag recipes with simple models.

    python -m tools.benchmarks.retrieval --tasks=wikipedia,debian,tags

Writes results/retrieval_wikipedia.json, results/retrieval_debian.json and
results/tags_debian.json.

Documents: the rank of each pair's document among all of the test part, by the model's
score of a pair and by the cosine of the embeddings. The baselines are TF-IDF, BM25,
gensim's Doc2Vec, and averages of word vectors that fastText learns from the same text,
with and without subwords. Further rows combine the scores of BM25 and of the encoders,
by a weight that is chosen on validation.

Tags: micro-F1 on the test part; a tag is predicted if its score exceeds the threshold
that is best on validation. The baselines are one-vs-rest logistic regression on TF-IDF
and one-vs-rest fastText.

The runs are those of tools.benchmarks.results. The baselines run in their own virtual
environment. Finished measurements are kept in --runs and not repeated.
"""

from __future__ import annotations

import functools
import json
import subprocess
import tempfile
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
from object2vec_tf.model.loading import load_object2vec
from object2vec_tf.search.candidate_pool import read_pool
from object2vec_tf.search.evaluation import MODEL, pair_scorer, true_ranks
from tools.benchmarks.measured import file_digests
from tools.benchmarks.peers import ENVIRONMENT, peer_python
from tools.benchmarks.recipe_runs import finished_runs, kept
from tools.benchmarks.result_files import Row, by_metric, write_rows
from tools.benchmarks.spread import mean_and_spread

DATA = flags.DEFINE_string("data", "data", "directory of the data from tools/datasets")
TASKS = flags.DEFINE_list("tasks", ["wikipedia", "debian", "tags"], "tasks to measure")
PART = flags.DEFINE_enum("part", "test", ["validation", "test"], "part to evaluate")

_PACKAGES = {
    "scikit-learn": "sklearn",
    "fasttext-wheel": "fasttext",
    "gensim": "gensim",
}
_PROGRAM = Path(__file__).parent / "peer_programs/retrieval.py"
# Data directory and pool file ("": in1 of the pairs) of each task, and its recipes with
# the scores that rank the pool.
_DOCUMENTS = {
    "wikipedia": ("wikipedia", "articles.jsonl"),
    "debian": ("debian/retrieval", ""),
}
_RECIPES = {
    "wikipedia": {
        "wikipedia_in_batch": ("cosine",),
        "wikipedia_retrieval": (MODEL, "cosine"),
    },
    "debian": {
        "debian_in_batch": ("cosine",),
        "debian_retrieval": (MODEL, "cosine"),
    },
}
_SCORES = {MODEL: "model's score", "cosine": "cosine"}
_PARTS = ("validation", "test")
_TAG_RECIPES = ("debian_tags",)
_TAGS = "debian/tags"

Scores = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


def run_baselines(task: str, directory: Path, *arguments: str) -> dict[str, Any]:
    """Returns the output of peer_programs/retrieval.py on the test part."""
    return kept(
        f"{task}_{directory.as_posix().replace('/', '_')}",
        lambda: _run_baselines(task, str(directory), *arguments),
        _PROGRAM,
        *sorted(directory.glob("*.jsonl")),
        arguments=" ".join(arguments),
    )


def _run_baselines(*arguments: str) -> dict[str, Any]:
    python = peer_python(Path(ENVIRONMENT.value), _PACKAGES)
    command = [str(python), str(_PROGRAM), *arguments]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        raise UserError(f"{arguments}: the baselines failed. See the output above.")
    return dict(json.loads(process.stdout))


def finish(name: str, task: str, rows: Sequence[Row], data: Path) -> None:
    """Prints the rows of a task, and writes them if they are those of the test part."""
    for row in rows:
        for metric, values in row.values.items():
            cells = name, metric, row.name, mean_and_spread(values)
            print(f"| {' | '.join(cells)} |", flush=True)
    if PART.value == "test":
        write_rows(
            name,
            f"python -m tools.benchmarks.retrieval --tasks={task}",
            rows,
            file_digests(*sorted(data.glob("*.jsonl"))),
        )


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
    limits = input_limits(model.hyperparameters)
    decisions: dict[str, tuple[Scores, Flags]] = {}
    for part in _PARTS:
        rows = read_rows(data / f"{part}.packages.jsonl")
        ids, _ = model.tokenize({"in0": [row["in0"] for row in rows]})
        scores = score(model(RaggedInputs.from_rows(ids).truncate(limits)))
        true = np.array([[name in row["tags"] for name in names] for row in rows])
        decisions[part] = scores, true
    threshold = best_threshold(*decisions["validation"])
    scores, true = decisions[PART.value]
    return {"micro_f1": micro_f1(scores >= threshold, true)}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a JSON Lines file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def document_rows(task: str, data: Path) -> list[Row]:
    """Returns the metrics of the recipes for documents, and of their baselines.

    Args:
        task: wikipedia or debian.
        data: The directory of its pairs.
    """
    _, pool = _DOCUMENTS[task]
    items = data / pool if pool else None
    pairs = data / f"{PART.value}.jsonl"
    rows = []
    for recipe, scores in _RECIPES[task].items():
        for score in scores:
            results = [
                kept(
                    f"retrieval_{recipe}_{run.name}_{score}_{PART.value}",
                    functools.partial(_document_metrics, run, pairs, items, score),
                    run / "metrics.json",
                    pairs,
                )
                for run in finished_runs(recipe)
            ]
            if results:
                name = f"{recipe}, {_SCORES[score]}"
                rows.append(Row(name, by_metric(results), recipe))
    if PART.value == "test":
        rows += hybrid_rows(task, data, items)
        for name, result in run_baselines("documents", data, str(items or "")).items():
            rows.append(Row(name, by_metric([result])))
    return rows


def hybrid_rows(task: str, data: Path, items: Path | None) -> list[Row]:
    """Returns the metrics of encoders and BM25 together, for the recipes of a task."""
    rows = []
    for recipe, scores in _RECIPES[task].items():
        results = [
            kept(
                f"hybrid_{recipe}_{run.name}",
                functools.partial(_hybrid_metrics, run, data, items),
                _PROGRAM,
                run / "metrics.json",
                *([items] if items else []),
                *(data / f"{part}.jsonl" for part in _PARTS),
            )
            for run in (finished_runs(recipe) if scores == ("cosine",) else ())
        ]
        if results:
            metrics = [{k: v for k, v in x.items() if k != "weight"} for x in results]
            name = f"BM25 and {recipe}, weighted"
            rows.append(Row(name, by_metric(metrics), recipe))
    return rows


def _hybrid_metrics(run: Path, data: Path, items: Path | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "cosines.npz"
        validation, test = (cosines(run, data, items, part) for part in _PARTS)
        np.savez(file, validation=validation, test=test)
        return _run_baselines("hybrid", str(data), str(items or ""), str(file))


def cosines(run: Path, data: Path, items: Path | None, part: str) -> Scores:
    """Returns the cosines of the encodings of the queries and of the pool of a part.

    Args:
        run: The run directory.
        data: The directory of the pairs.
        items: The file of the pool, which the documents of the part extend.
        part: validation or test.

    Returns:
        float32 ``[queries, pool]``; each text of the pool occurs once.
    """
    model = load_object2vec(run / "model.keras")
    rows = read_rows(data / f"{part}.jsonl")
    pool = [row["in1"] for row in [*(read_rows(items) if items else []), *rows]]
    sides = [row["in0"] for row in rows], list(dict.fromkeys(pool))
    vectors = [model.embed(side, encoder) for encoder, side in enumerate(sides)]
    first, second = (
        x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9) for x in vectors
    )
    return np.asarray(first @ second.T)


def _document_metrics(
    run: Path, pairs: Path, items: Path | None, score: str
) -> dict[str, float]:
    ranks, _ = true_ranks(run, pairs, items, score=score)
    metrics = rank_metrics(ranks, CUTOFFS)
    return {name: value for name, value in metrics.items() if name != "mrr"}


def tag_rows(data: Path) -> list[Row]:
    """Returns the metrics of the recipes for tags, and of their baselines."""
    rows = []
    for recipe in _TAG_RECIPES:
        results = [
            kept(
                f"tags_{recipe}_{run.name}_{PART.value}",
                functools.partial(tag_f1, run, data),
                run / "metrics.json",
                *sorted(data.glob("*.packages.jsonl")),
            )
            for run in finished_runs(recipe)
        ]
        if results:
            rows.append(Row(recipe, by_metric(results), recipe))
    if PART.value == "test":
        for name, result in run_baselines("tags", data).items():
            rows.append(Row(name, by_metric([result])))
    return rows


def main() -> None:
    """Runs the command."""
    print(f"| task | {PART.value} metric | model | value |\n|---|---|---|---|")
    for task in TASKS.value:
        if task == "tags":
            data = Path(DATA.value) / _TAGS
            finish("tags_debian", task, tag_rows(data), data)
        elif task in _DOCUMENTS:
            data = Path(DATA.value) / _DOCUMENTS[task][0]
            finish(f"retrieval_{task}", task, document_rows(task, data), data)
        else:
            raise UserError(
                f"--tasks: expected some of wikipedia, debian, tags, got {task!r}."
            )


if __name__ == "__main__":
    runner.run(main)
