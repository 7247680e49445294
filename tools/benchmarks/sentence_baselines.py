"""Measures simple models on the text tasks, on the same rows as the recipes.

    python -m tools.benchmarks.sentence_baselines

Writes results/sentences_snli.json and results/sentences_stsb.json. The simple models
are a linear model on the averaged GloVe vectors of both sentences (SNLI, STS-B) and, on
STS-B, the cosine of the averages without training. They are compared on STS-B with the
cosine of embeddings from SNLI runs and with the scores of STS-B runs. scikit-learn runs
in its own virtual environment, which the first run creates. Finished measurements are
kept in --runs and not repeated.
"""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.errors import UserError
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs, input_limits
from object2vec_tf.model.loading import load_object2vec
from tools.benchmarks.measured import file_digests
from tools.benchmarks.peers import ENVIRONMENT, peer_python
from tools.benchmarks.recipe_runs import finished_runs, kept
from tools.benchmarks.result_files import Row, write_rows
from tools.benchmarks.spread import mean_and_spread

DATA = flags.DEFINE_string("data", "data", "directory of the data from `make texts`")
PACKAGES = {"scikit-learn": "sklearn"}
LINEAR = "linear model of averaged word vectors"
_TASKS = ("snli", "stsb")
_BATCH = 512
PROGRAM = Path(__file__).parent / "peer_programs/sentences.py"


def linear_model(python: Path, task: str, *files: Path) -> dict[str, float]:
    """Returns the metrics of the simple models on the test part.

    Args:
        python: The interpreter that has scikit-learn.
        task: snli or stsb.
        *files: The files of train, validation and test.
    """
    vectors = Path(DATA.value) / "glove/glove.6B.50d.txt"
    command = [str(python), str(PROGRAM), task, *map(str, (vectors, *files))]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        raise UserError(f"{task}: the baseline failed. See the output above.")
    return dict(json.loads(process.stdout))


def zero_shot(run: Path, test: Path) -> float:
    """Returns the Pearson correlation of a run's cosines with the STS-B scores."""
    model = load_model(run)
    rows = [json.loads(line) for line in test.read_text(encoding="utf-8").splitlines()]
    limits = input_limits(model.hyperparameters)
    encodings = []
    for side in ("in0", "in1"):
        ids, _ = model.tokenize({"in0": [row[side] for row in rows]})
        encodings.append(model(RaggedInputs.from_rows(ids).truncate(limits)))
    u, v = encodings
    norms = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    labels = [row["label"] for row in rows]
    return float(np.corrcoef((u * v).sum(1) / norms, labels)[0, 1])


def pearson(run: Path, test: Path) -> float:
    """Returns the Pearson correlation of a run's scores with the STS-B scores."""
    model = load_object2vec(run / "model.keras")
    pairs = read_pairs(test, model.hyperparameters, tokenizers=model.tokenizers)
    scores = model.predict(pairs.dataset(_BATCH), verbose=0)[:, 0]
    return float(np.corrcoef(scores, pairs.labels)[0, 1])


def baseline_rows(python: Path, task: str, directory: Path) -> list[Row]:
    """Returns the metrics of the simple models on the test part."""
    vectors = Path(DATA.value) / "glove/manifest.json"
    files = [directory / f"{name}.jsonl" for name in ("train", "validation", "test")]
    metrics = kept(
        f"sentences_{task}",
        lambda: linear_model(python, task, *files),
        PROGRAM,
        vectors,
        *files,
    )
    cosine = {
        name: [value] for name, value in metrics.items() if name.startswith(_ZERO_SHOT)
    }
    linear = {name: [value] for name, value in metrics.items() if name not in cosine}
    rows = [Row(LINEAR, linear)]
    return [*rows, Row("cosine of averaged word vectors", cosine)] if cosine else rows


def our_rows(test: Path) -> list[Row]:
    """Returns the correlations of our runs with the STS-B scores."""
    rows = []
    for recipe, (metric, measure) in _MEASURES.items():
        values = [
            kept(
                f"sentences_stsb_{recipe}_{run.name}",
                functools.partial(_value, measure, run, test),
                run / "metrics.json",
                test,
            )["value"]
            for run in finished_runs(recipe)
        ]
        if values:
            rows.append(Row(recipe, {metric: values}, recipe))
    return rows


def _value(
    measure: Callable[[Path, Path], float], run: Path, test: Path
) -> dict[str, float]:
    return {"value": measure(run, test)}


def main() -> None:
    """Runs the command."""
    python = peer_python(Path(ENVIRONMENT.value), PACKAGES)
    print("| task | model | test metric | value |\n|---|---|---|---|")
    for task in _TASKS:
        directory = Path(DATA.value) / task
        test = directory / "test.jsonl"
        if not test.exists():
            continue
        rows = baseline_rows(python, task, directory)
        if task == "stsb":
            rows += our_rows(test)
        write_rows(
            f"sentences_{task}",
            "python -m tools.benchmarks.sentence_baselines",
            rows,
            file_digests(*sorted(directory.glob("*.jsonl"))),
        )
        for row in rows:
            for metric, values in row.values.items():
                cells = task, row.name, metric, mean_and_spread(values)
                print(f"| {' | '.join(cells)} |", flush=True)


_ZERO_SHOT = "zero-shot "
# The metric on STS-B of the runs of each recipe.
_MEASURES = {
    "snli_tied": (f"{_ZERO_SHOT}pearson", zero_shot),
    "snli_bilstm": (f"{_ZERO_SHOT}pearson", zero_shot),
    "snli_hcnn": (f"{_ZERO_SHOT}pearson", zero_shot),
    "stsb_tied": ("pearson", pearson),
    "stsb_bilstm": ("pearson", pearson),
    "stsb_pooled": ("pearson", pearson),
}

if __name__ == "__main__":
    runner.run(main)
