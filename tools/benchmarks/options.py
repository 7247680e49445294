"""Measures the gain of training settings that are off by default, on validation data.

    python -m tools.benchmarks.options --options=learning_rate_decay,label_smoothing

Trains a recipe of examples/ without and with the setting and with several seeds; all
other settings are equal. The metric is measured on the validation part, never on the
test part. Finished runs are kept in --option_runs and not repeated.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from object2vec_tf.metrics.ranking import rank_metrics
from object2vec_tf.search.evaluation import evaluate, true_ranks
from tools.benchmarks.recipe_runs import train
from tools.benchmarks.spread import mean_and_spread

SEEDS = flags.DEFINE_integer("option_seeds", 3, "runs per variant", 1)
RUNS = flags.DEFINE_string("option_runs", "runs/options", "directory of the runs")


@dataclasses.dataclass(frozen=True)
class Task:
    """A recipe trained without the validation pairs, and its metric on them.

    Attributes:
        recipe: A name in examples/.
        overrides: Flags that replace those of the recipe.
        metric: A validation metric in metrics.json, ``hits@1`` or ``recall@10``.
        pairs: For the last two, the validation pairs.
        pool: For the last two, the items to rank; None: those of the pairs.
        score: For the last two, the score that ranks them.
        exclude: For ``recall@10``, the known pairs.
    """

    recipe: str
    overrides: tuple[str, ...]
    metric: str
    pairs: str = ""
    pool: str | None = None
    score: str = "cosine"
    exclude: str | None = None

    def measure(self, run: Path) -> float:
        """Returns the metric of a finished run."""
        if self.metric == "hits@1":
            ranks, _ = true_ranks(run, self.pairs, self.pool, score=self.score)
            return rank_metrics(ranks, [1])["hits@1"]
        if self.metric == "recall@10":
            metrics = evaluate(
                run, self.pairs, self.pool, exclude=self.exclude, score=self.score
            )
            return float(metrics["recall@10"])
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        return float(metrics["validation"][self.metric])


def _held_out_channels(directory: str, suffix: str) -> tuple[str, ...]:
    return (
        f"--train={directory}/ua.base.fit.jsonl{suffix}",
        f"--validation={directory}/ua.base.held_out.jsonl{suffix}",
        "--test=",
    )


# The in-batch recipes of documents, without n-grams and what goes with them.
_WORDS_ALONE = (
    *(
        f"--enc{side}_subword_{name}"
        for side in (0, 1)
        for name in ("ngrams=", "buckets=0")
    ),
    "--pooling=mean",
    "--repeated_tokens=count",
    "--token_embedding_init_scale=10",
    "--mini_batch_size=512",
)
_WIDTH_300 = (
    "--enc0_token_embedding_dim=300",
    "--enc1_token_embedding_dim=300",
    "--enc_dim=300",
)
_TEN_MOVIES = "data/movielens_top10/validation"
_SHORT = ("--test=", "--epochs=5")
_ARTICLES = ("data/wikipedia/validation.jsonl", "data/wikipedia/articles.jsonl")
TASKS = {
    "ratings": Task(
        "movielens_rating",
        _held_out_channels("data/movielens/rating", ""),
        "mean_squared_error",
    ),
    "ratings, histories": Task(
        "movielens_history",
        _held_out_channels("data/movielens_history/rating", ".zst"),
        "mean_squared_error",
    ),
    "recommendation": Task(
        "movielens_recommendation",
        _held_out_channels("data/movielens/recommendation", ""),
        "accuracy",
    ),
    "ten movies": Task(
        "movielens_top10",
        (f"--train={_TEN_MOVIES}/train.jsonl.zst",),
        "recall@10",
        f"{_TEN_MOVIES}/test.jsonl",
        f"{_TEN_MOVIES}/items.jsonl",
        "inner_product",
        f"{_TEN_MOVIES}/train.jsonl.zst",
    ),
    "sentences": Task("snli_hcnn", ("--test=",), "accuracy"),
    "articles": Task(
        "wikipedia_in_batch",
        (
            *_SHORT,
            *_WORDS_ALONE,
            *_WIDTH_300,
            "--learning_rate=0.003",
            "--temperature=0.05",
        ),
        "hits@1",
        *_ARTICLES,
    ),
    "articles, pairs": Task(
        "wikipedia_retrieval", _SHORT, "hits@1", *_ARTICLES, score="model"
    ),
    "packages": Task(
        "debian_in_batch",
        ("--test=", "--epochs=10", *_WORDS_ALONE),
        "hits@1",
        "data/debian/retrieval/validation.jsonl",
    ),
}

# For each option: tasks with their flags without and with the option.
OPTIONS: dict[str, list[tuple[str, str, str]]] = {
    "learning_rate_decay": [
        ("ratings", "", "--learning_rate_decay=linear"),
        ("ratings, histories", "--learning_rate_decay=none", ""),
        ("sentences", "", "--learning_rate_decay=linear"),
        ("articles", "", "--learning_rate_decay=linear"),
    ],
    "learning_rate_warmup_epochs": [
        ("ratings", "", "--learning_rate_warmup_epochs=1"),
        ("sentences", "", "--learning_rate_warmup_epochs=1"),
        ("articles", "", "--learning_rate_warmup_epochs=1"),
    ],
    "label_smoothing": [
        ("recommendation", "", "--label_smoothing=0.1"),
        ("articles, pairs", "", "--label_smoothing=0.1"),
    ],
    "negative_exclude_known": [
        ("ten movies", "--negative_exclude_known=false", ""),
        ("articles", "--negative_exclude_known=false", ""),
        ("articles, pairs", "--negative_exclude_known=false", ""),
    ],
    "negative_mining": [("articles, pairs", "", "--negative_mining=hard")],
    "negative_frequency_power": [
        ("articles, pairs", "", "--negative_frequency_power=0.5"),
    ],
    "learn_temperature": [
        ("articles", "", "--learn_temperature=true"),
        ("articles", "--temperature=0.5", "--temperature=0.5 --learn_temperature=true"),
    ],
    "popularity_correction": [("articles", "", "--popularity_correction=true")],
    "in_batch_direction": [("articles", "--in_batch_direction=in0_to_in1", "")],
    "in_batch_similarity": [
        ("articles", "--in_batch_similarity=inner_product --temperature=1", ""),
    ],
    "token_embedding_init_scale": [
        ("articles", "--token_embedding_init_scale=1", ""),
    ],
    "pooling": [("ratings, histories", "--pooling=mean", "")],
    "num_oov_buckets": [
        ("packages", "", "--enc0_num_oov_buckets=50000 --enc1_num_oov_buckets=50000"),
    ],
}
SELECTED = flags.DEFINE_list(
    "options", list(OPTIONS), f"options to measure, from {', '.join(OPTIONS)}"
)


def measure(task: Task, overrides: str) -> list[float]:
    """Returns the metric of a task for each seed, with some flags changed."""
    name = overrides.replace("--", "").replace(" ", ",") or "as_it_is"
    values = []
    for seed in range(SEEDS.value):
        run = Path(RUNS.value) / task.recipe / name / f"seed-{seed}"
        train(task.recipe, seed, run, *task.overrides, *overrides.split())
        values.append(task.measure(run))
    return values


def main() -> None:
    """Runs the command."""
    print("| setting | task | metric | without | with | gain |\n" + "|---" * 6 + "|")
    for option in SELECTED.value:
        if option not in OPTIONS:
            raise UserError(
                f"--options: expected some of {', '.join(OPTIONS)}, got {option!r}."
            )
        for name, without, with_option in OPTIONS[option]:
            task = TASKS[name]
            before, after = measure(task, without), measure(task, with_option)
            gains = [b - a for a, b in zip(before, after, strict=True)]
            cells = [mean_and_spread(values) for values in (before, after, gains)]
            setting = (with_option or f"without: {without}").replace("--", "")
            row = [setting, name, task.metric, *cells]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    runner.run(main)
