r"""Finds the objects whose embeddings are nearest, and measures what is found.

python -m object2vec_tf.neighbors build --model=RUN --input=items.jsonl --index=DIR \
        --labels=names.tsv
python -m object2vec_tf.neighbors query --index=DIR --input=queries.jsonl -k 10
python -m object2vec_tf.neighbors evaluate --model=RUN --input=pairs.jsonl \
        --pool=items.jsonl
"""

from __future__ import annotations

import json
from pathlib import Path

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import atomic_file, reject_input_paths
from object2vec_tf.metrics.ranking import METRICS
from object2vec_tf.search.evaluation import SCORES, evaluate
from object2vec_tf.search.index import SEARCHES, NeighborIndex, build_index

_VERBS = ("build", "query", "evaluate")

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "a run, an exported model or a directory of versions; query: by default the one "
    "that embedded the items",
)
_INPUT = flags.DEFINE_string(
    "input",
    None,
    'JSON Lines; build and query: objects (in0 or in1) or {"embeddings": [...]}; '
    "evaluate: true pairs; .gz and .zst are read as they are",
)
_INDEX = flags.DEFINE_string("index", None, "build, query: the index's directory")
_LABELS = flags.DEFINE_string(
    "labels", None, "build: a text file with a label for each item, a line each"
)
_METRIC = flags.DEFINE_enum("metric", "cosine", METRICS, "build: what makes items near")
_SEARCH = flags.DEFINE_enum(
    "search", "exact", SEARCHES, "build: approximate is faster for millions of items"
)
_K = flags.DEFINE_integer("k", 10, "query: neighbours of each", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "query: a file (default: stdout)")
_POOL = flags.DEFINE_string(
    "pool",
    None,
    "evaluate: JSON Lines with the items, in1, among which the true ones are to be "
    "found (default: those of the pairs)",
)
_SCORE = flags.DEFINE_enum(
    "score",
    "cosine",
    SCORES,
    "evaluate: what items are ranked by; model: predict_pair's score",
)
_HITS = flags.DEFINE_list("hits", ["1", "10", "20"], "evaluate: k of hits@k and ndcg@k")


def main(verb: str) -> None:
    """Runs the command."""
    _VERBS_DO[verb]()


def _build() -> None:
    count = build_index(
        _required(_INPUT, file=True),
        _required(_INDEX),
        model=_MODEL.value,
        labels=_LABELS.value,
        metric=_METRIC.value,
        search=_SEARCH.value,
    )
    print(f"{_INDEX.value}: {count:,} items")


def _query() -> None:
    source = _required(_INPUT, file=True)
    if _OUTPUT.value:
        reject_input_paths(Path(_OUTPUT.value), [Path(source)])
    index = NeighborIndex(_required(_INDEX), _MODEL.value)
    answers = (json.dumps(told) + "\n" for told in index.query(source, _K.value))
    if not _OUTPUT.value:
        for answer in answers:
            print(answer, end="")
        return
    with atomic_file(Path(_OUTPUT.value)) as path, path.open("w") as file:
        file.writelines(answers)


def _evaluate() -> None:
    model, pairs = _required(_MODEL), _required(_INPUT, file=True)
    if _POOL.value and not Path(_POOL.value).is_file():
        raise UserError(f"{_POOL.value}: no such file; check --pool")
    if not all(k.isdecimal() and int(k) for k in _HITS.value):
        raise UserError(f"hits: {','.join(_HITS.value)}: expected numbers from 1 on")
    told = evaluate(
        model,
        pairs,
        _POOL.value,
        score=_SCORE.value,
        hits=[int(k) for k in _HITS.value],
    )
    print(json.dumps(told))


def _required(flag: flags.FlagHolder[str | None], *, file: bool = False) -> str:
    if not flag.value:
        raise UserError(f"--{flag.name} is required; see --help")
    if file and not Path(flag.value).is_file():
        raise UserError(f"{flag.value}: no such file; check --{flag.name}")
    return flag.value


_VERBS_DO = {"build": _build, "query": _query, "evaluate": _evaluate}


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    runner.run_cli(main, _VERBS)


if __name__ == "__main__":
    cli()
