"""Measures simple models on the text tasks, on the same rows as the recipes.

    python -m tools.benchmarks.sentence_baselines

The simple models are a linear model on the averaged GloVe vectors of both sentences
(SNLI, STS-B) and, on STS-B, the cosine of the averages without training. They are
compared on STS-B with the cosine of embeddings from SNLI runs and with the scores of
STS-B runs. scikit-learn runs in its own virtual environment, which the first run
creates.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.errors import UserError
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs, input_limits
from object2vec_tf.model.loading import load_object2vec
from tools.benchmarks.peers import ENVIRONMENT, peer_python
from tools.benchmarks.spread import mean_and_spread

DATA = flags.DEFINE_string("data", "data", "directory of the data from `make texts`")
RUNS = flags.DEFINE_string(
    "runs", "runs/results", "directory of the runs of tools.benchmarks.results"
)
_PACKAGES = {"scikit-learn": "sklearn"}
_TASKS = ("snli", "stsb")
_BATCH = 512
_PROGRAM = Path(__file__).parent / "peer_programs/sentences.py"


def baselines(python: Path, task: str, directory: Path) -> dict[str, float]:
    """Returns the metrics of the simple model on the test part."""
    vectors = Path(DATA.value) / "glove/glove.6B.50d.txt"
    command = [str(python), str(_PROGRAM), task, str(directory), str(vectors)]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        raise UserError(f"{task}: the baseline failed. See the output above.")
    return dict(json.loads(process.stdout))


def zero_shot(run: Path, test: Path) -> float:
    """Returns the Pearson correlation of a run's cosines with the STS-B scores."""
    model = load_model(run)
    rows = [json.loads(line) for line in test.read_text(encoding="utf-8").splitlines()]
    max_seq_len = input_limits(model.hyperparameters)["in0"][1]
    encodings = []
    for side in ("in0", "in1"):
        ids, _ = model.tokenize({"in0": [row[side] for row in rows]})
        encodings.append(
            model(RaggedInputs.from_rows(ids).truncate({"in0": max_seq_len}))
        )
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


def main() -> None:
    """Runs the command."""
    python = peer_python(Path(ENVIRONMENT.value), _PACKAGES)
    print("| task | test metric | value |\n|---|---|---|")
    for task in _TASKS:
        directory = Path(DATA.value) / task
        if (directory / "test.jsonl").exists():
            for metric, value in baselines(python, task, directory).items():
                print(f"| {task}, simple baseline | {metric} | {value:.4f} |")
    test = Path(DATA.value) / "stsb/test.jsonl"
    for recipe, (metric, measure) in _MEASURES.items():
        runs = sorted(Path(RUNS.value).glob(f"{recipe}/*"))
        if runs:
            spread = mean_and_spread(measure(run, test) for run in runs)
            print(f"| stsb, {recipe} | {metric} | {spread} |", flush=True)


# The metric on STS-B of the runs of each recipe.
_MEASURES = {
    "snli_bilstm": ("zero-shot pearson", zero_shot),
    "snli_hcnn": ("zero-shot pearson", zero_shot),
    "stsb_bilstm": ("pearson", pearson),
    "stsb_pooled": ("pearson", pearson),
}

if __name__ == "__main__":
    runner.run(main)
