"""What simple models score on the text tasks, from the same rows as the recipes.

    python -m tools.benchmarks.sentence_baselines

Averages of GloVe's vectors with a linear model of both sentences (SNLI, STS-B), and
their cosine without any training on STS-B. Beside them stand the cosine of what runs of
SNLI encode, and runs of STS-B. scikit-learn runs in an environment of its own, which
the first run makes.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.pairs import read_pairs
from object2vec_tf.errors import UserError
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs, input_limits
from object2vec_tf.model.loading import load_object2vec
from tools.benchmarks.peers import ENVIRONMENT, interpreter
from tools.benchmarks.spread import mean_and_spread

DATA = flags.DEFINE_string("data", "data", "where make texts has put the data")
RUNS = flags.DEFINE_string("runs", "runs/results", "where tools.benchmarks.results ran")
_PACKAGES = {"scikit-learn": "sklearn"}
_TASKS = ("snli", "stsb")
_BATCH = 512
_PROGRAM = Path(__file__).parent / "peer_programs/sentences.py"


def baselines(python: Path, task: str, directory: Path) -> dict[str, float]:
    """Returns what the simple model scores on the test part, by metric."""
    vectors = Path(DATA.value) / "glove/glove.6B.50d.txt"
    line = [str(python), str(_PROGRAM), task, str(directory), str(vectors)]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError(f"{task}: the baseline failed (see above)")
    return dict(json.loads(done.stdout))


def zero_shot(run: Path, test: Path) -> float:
    """Returns Pearson's correlation of a run's cosines with STS-B's scores."""
    model = load_model(run)
    rows = [json.loads(line) for line in test.read_text(encoding="utf-8").splitlines()]
    longest = input_limits(model.hyperparameters)["in0"][1]
    encodings = []
    for side in ("in0", "in1"):
        ids, _ = model.tokenize({"in0": [row[side] for row in rows]})
        encodings.append(model(RaggedInputs.from_rows(ids).truncate({"in0": longest})))
    u, v = encodings
    lengths = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    labels = [row["label"] for row in rows]
    return float(np.corrcoef((u * v).sum(1) / lengths, labels)[0, 1])


def pearson(run: Path, test: Path) -> float:
    """Returns Pearson's correlation of a run's scores with STS-B's."""
    model = load_object2vec(run / "model.keras")
    pairs = read_pairs(test, model.hyperparameters, tokenizers=model.tokenizers)
    scores = model.predict(pairs.dataset(_BATCH), verbose=0)[:, 0]
    return float(np.corrcoef(scores, pairs.labels)[0, 1])


def main() -> None:
    """Runs the command."""
    python = interpreter(Path(ENVIRONMENT.value), _PACKAGES)
    print("| task | test metric | value |\n|---|---|---|")
    for task in _TASKS:
        directory = Path(DATA.value) / task
        if (directory / "test.jsonl").exists():
            for metric, value in baselines(python, task, directory).items():
                print(f"| {task}, simple baseline | {metric} | {value:.4f} |")
    test = Path(DATA.value) / "stsb/test.jsonl"
    for recipe, (metric, measured) in _MEASURED.items():
        runs = sorted(Path(RUNS.value).glob(f"{recipe}/*"))
        if runs:
            found = mean_and_spread(measured(run, test) for run in runs)
            print(f"| stsb, {recipe} | {metric} | {found} |", flush=True)


# What is measured on STS-B of the runs of a recipe.
_MEASURED = {
    "snli_bilstm": ("zero-shot pearson", zero_shot),
    "snli_hcnn": ("zero-shot pearson", zero_shot),
    "stsb_bilstm": ("pearson", pearson),
    "stsb_pooled": ("pearson", pearson),
}

if __name__ == "__main__":
    runner.run(main)
