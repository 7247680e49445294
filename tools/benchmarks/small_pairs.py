"""Measures the recipe small_pairs on small parts of SNLI and STS-B, beside others.

    python -m tools.benchmarks.small_pairs

Writes results/small_pairs_snli.json and results/small_pairs_stsb.json. Each model is
trained on the subsets of 4,500 rows of tools/datasets/small_pairs.py, one value per
subset, and measured on the whole test part of the task. Beside the recipe are a linear
model on the averaged GloVe vectors of both sentences (logistic regression for SNLI,
ridge regression for STS-B), and the recipe with one setting changed. scikit-learn runs
in its own virtual environment, which the first run creates. Finished runs and
measurements are kept in --runs and not repeated.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from object2vec_tf.commands import runner
from tools.benchmarks.measured import file_digests
from tools.benchmarks.peers import ENVIRONMENT, peer_python
from tools.benchmarks.recipe_runs import RUNS, kept, train
from tools.benchmarks.result_files import Row, by_metric, write_rows
from tools.benchmarks.sentence_baselines import (
    DATA,
    LINEAR,
    PACKAGES,
    PROGRAM,
    linear_model,
    pearson,
)
from tools.benchmarks.spread import mean_and_spread
from tools.datasets.small_pairs import SEEDS

MODELS = flags.DEFINE_list(
    "models", [], "only rows whose names contain one of these; others are kept"
)

_RECIPE = "small_pairs"
_METRICS = ("accuracy", "pearson", "mean_squared_error")
_LABELS = {
    "snli": ("--output_layer=softmax", "--num_classes=3"),
    "stsb": ("--output_layer=mean_squared_error",),
}
# The recipe, and what each of its settings does: the flags that undo it.
_VARIANTS = {
    _RECIPE: (),
    "separate encoders (notied_encoders)": ("--notied_encoders",),
    "frozen vectors (enc0_freeze_pretrained_embedding)": (
        "--enc0_freeze_pretrained_embedding",
    ),
}


def channels(task: str, seed: int) -> dict[str, Path]:
    """Returns the files of a subset: train, validation and test."""
    data = Path(DATA.value)
    subset = data / f"small_pairs/{task}_{seed}"
    return {
        "train": subset / "train.jsonl",
        "validation": subset / "validation.jsonl",
        "test": data / task / "test.jsonl",
    }


def ours(task: str, seed: int, variant: str) -> dict[str, float]:
    """Returns the test metrics of a model trained on a subset."""
    files = channels(task, seed)
    data = Path(DATA.value)
    name = variant.partition(" (")[0].replace(" ", "_")
    run = Path(RUNS.value) / _RECIPE / name / f"{task}-{seed}"
    metrics = train(
        _RECIPE,
        seed,
        run,
        *(f"--{channel}={path}" for channel, path in files.items()),
        f"--auxiliary={data / task / 'vocab.json'},{data / 'glove/glove.6B.50d.txt'}",
        *_LABELS[task],
        *_VARIANTS[variant],
    )["test"]
    if task == "stsb":
        correlation = kept(
            f"small_pairs_{name}_{task}_{seed}",
            lambda: {"pearson": pearson(run, files["test"])},
            run / "metrics.json",
            files["test"],
        )
        metrics = {**correlation, **metrics}
    return {metric: metrics[metric] for metric in _METRICS if metric in metrics}


def linear(python: Path, task: str, seed: int) -> dict[str, float]:
    """Returns the test metrics of the linear model trained on a subset."""
    files = channels(task, seed)
    metrics = kept(
        f"small_pairs_linear_{task}_{seed}",
        lambda: linear_model(python, task, *files.values()),
        PROGRAM,
        Path(DATA.value) / "glove/manifest.json",
        *files.values(),
    )
    return {metric: metrics[metric] for metric in _METRICS if metric in metrics}


def rows(python: Path, task: str) -> Iterator[Row]:
    """Yields the metrics of each model on a task, with one value per subset."""
    measures = {
        LINEAR: functools.partial(linear, python, task),
        **{name: functools.partial(ours, task, variant=name) for name in _VARIANTS},
    }
    for name, measure in measures.items():
        if not MODELS.value or any(wanted in name for wanted in MODELS.value):
            values = by_metric(measure(seed=seed) for seed in range(SEEDS))
            yield Row(name, values, "" if name == LINEAR else _RECIPE)


def main() -> None:
    """Runs the command."""
    python = peer_python(Path(ENVIRONMENT.value), PACKAGES)
    print("| task | model | test metric | value |\n|---|---|---|---|")
    for task in _LABELS:
        files = [
            path for seed in range(SEEDS) for path in channels(task, seed).values()
        ]
        for row in rows(python, task):
            write_rows(
                f"small_pairs_{task}",
                "python -m tools.benchmarks.small_pairs",
                [row],
                file_digests(*files),
                keep_others=True,
            )
            for metric, values in row.values.items():
                cells = task, row.name, metric, mean_and_spread(values)
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    runner.run(main)
