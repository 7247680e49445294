"""What each training setting gains that is off by default, on validation data.

    python -m tools.benchmarks.options --options=learning_rate_decay,label_smoothing

Trains a recipe of examples/ without and with the setting, with several seeds; nothing
else differs. The measure is of the validation part, and never of the test part. A run
is kept in --runs and not repeated.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from object2vec_tf.search.evaluation import evaluate
from tools.benchmarks.results import train
from tools.benchmarks.spread import mean_and_spread

SEEDS = flags.DEFINE_integer("option_seeds", 3, "runs of each variant", 1)
RUNS = flags.DEFINE_string("option_runs", "runs/options", "where the runs are kept")


@dataclasses.dataclass(frozen=True)
class Task:
    """A recipe, trained on less than all, and what is measured on validation pairs.

    Attributes:
        recipe: A name in examples/.
        channels: Flags in place of the recipe's.
        metric: Of metrics.json's validation, or ``hits@1``.
        pairs: For ``hits@1``, the validation pairs.
        pool: For ``hits@1``, the items ranked; None: those of the pairs.
        score: For ``hits@1``, what ranks them.
    """

    recipe: str
    channels: tuple[str, ...]
    metric: str
    pairs: str = ""
    pool: str | None = None
    score: str = "cosine"

    def measure(self, run: Path) -> float:
        """Returns the measure of a complete run."""
        if self.metric == "hits@1":
            return evaluate(run, self.pairs, self.pool, score=self.score)["hits@1"]
        told = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        return float(told["validation"][self.metric])


def _held_out(directory: str, end: str) -> tuple[str, ...]:
    return (
        f"--train={directory}/ua.base.fit.jsonl{end}",
        f"--validation={directory}/ua.base.held_out.jsonl{end}",
        "--test=",
    )


_SHORT = ("--test=", "--epochs=5")
_ARTICLES = ("data/wikipedia/validation.jsonl", "data/wikipedia/articles.jsonl")
TASKS = {
    "ratings": Task(
        "movielens_rating",
        _held_out("data/movielens/rating", ""),
        "mean_squared_error",
    ),
    "ratings, histories": Task(
        "movielens_history",
        _held_out("data/movielens_history/rating", ".zst"),
        "mean_squared_error",
    ),
    "recommendation": Task(
        "movielens_recommendation",
        _held_out("data/movielens/recommendation", ""),
        "accuracy",
    ),
    "sentences": Task("snli_hcnn", ("--test=",), "accuracy"),
    "articles": Task("wikipedia_in_batch", _SHORT, "hits@1", *_ARTICLES),
    "articles, pairs": Task(
        "wikipedia_retrieval", _SHORT, "hits@1", *_ARTICLES, score="model"
    ),
    "packages": Task(
        "debian_in_batch",
        ("--test=",),
        "hits@1",
        "data/debian/retrieval/validation.jsonl",
    ),
}

# Of each option: a task, and flags without it and with it.
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
CHOSEN = flags.DEFINE_list("options", list(OPTIONS), f"some of {', '.join(OPTIONS)}")


def measures(task: Task, changed: str) -> list[float]:
    """Returns a task's measure for each seed, with some flags changed."""
    name = changed.replace("--", "").replace(" ", ",") or "as_it_is"
    held = []
    for seed in range(SEEDS.value):
        run = Path(RUNS.value) / task.recipe / name / f"seed-{seed}"
        train(task.recipe, seed, run, *task.channels, *changed.split())
        held.append(task.measure(run))
    return held


def main() -> None:
    """Runs the command."""
    print("| setting | task | measure | without | with | gain |\n" + "|---" * 6 + "|")
    for option in CHOSEN.value:
        if option not in OPTIONS:
            raise UserError(f"options: {option!r}: expected some of {list(OPTIONS)}")
        for name, without, changed in OPTIONS[option]:
            task = TASKS[name]
            before, after = measures(task, without), measures(task, changed)
            gains = [b - a for a, b in zip(before, after, strict=True)]
            shown = [mean_and_spread(each) for each in (before, after, gains)]
            setting = (changed or f"without: {without}").replace("--", "")
            row = [setting, name, task.metric, *shown]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    runner.run(main)
