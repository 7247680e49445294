r"""Finds the nearest embeddings of objects, and evaluates retrieval.

python -m object2vec_tf.neighbors build --model=RUN --input=items.jsonl --index=DIR \
        --labels=names.tsv
python -m object2vec_tf.neighbors add --index=DIR --input=new_items.jsonl
python -m object2vec_tf.neighbors query --index=DIR --input=queries.jsonl -k 10 \
        --exclude=known.jsonl
python -m object2vec_tf.neighbors evaluate --model=RUN --input=pairs.jsonl \
        --pool=items.jsonl --exclude=train.jsonl
"""

from __future__ import annotations

import json

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.commands.checks import check_stdout, required_value
from object2vec_tf.commands.device_flag import DEVICE, select_device_of_flag
from object2vec_tf.commands.flag_uses import FlagUses
from object2vec_tf.commands.line_flag import (
    MAX_LINE_MEGABYTES,
    set_line_limit_of_flag,
)
from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import atomic_file, reject_input_paths
from object2vec_tf.files.downloads import staged_file
from object2vec_tf.files.remote import is_remote, local_path
from object2vec_tf.files.uploads import local_output
from object2vec_tf.hyperparameters.arguments import as_integer
from object2vec_tf.metrics.ranking import METRICS
from object2vec_tf.search.evaluation import SCORES, evaluate
from object2vec_tf.search.faiss_index import SEARCHES
from object2vec_tf.search.index import NeighborIndex, build_index
from object2vec_tf.search.index_addition import add_items

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "run directory, exported model or directory of numbered versions (in add and query "
    "by default the model of the index)",
)
_INPUT = flags.DEFINE_string(
    "input",
    None,
    "JSON Lines, also .gz and .zst, Parquet or Arrow; build, add and query: objects "
    '(in0 or in1) or {"embeddings": [...]}; evaluate: pairs, in comma-separated files, '
    "directories or globs; those with a label above 0, or without a label, are true",
)
_INDEX = flags.DEFINE_string("index", None, "directory of the index")
_LABELS = flags.DEFINE_string(
    "labels", None, "text file with the label of each item, one per line"
)
_METRIC = flags.DEFINE_enum("metric", "cosine", METRICS, "similarity metric")
_SEARCH = flags.DEFINE_enum(
    "search",
    "exact",
    SEARCHES,
    "search method; approximate is faster for millions of items",
)
_K = flags.DEFINE_integer("k", 10, "number of neighbors", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "output file (default: stdout)")
_EXCLUDE = flags.DEFINE_string(
    "exclude",
    None,
    "known pairs, such as those of training, in files as for --input, directories or "
    "globs; an item is not found for the objects that it is paired with, whatever "
    "the label; in evaluate, their counts define the popularity baseline",
)
_EXCLUDE_SELF = flags.DEFINE_bool(
    "exclude_self",
    False,
    "do not return the query object itself; for an index of the queries' side, in0 or "
    "in1",
)
_RESCORE = flags.DEFINE_bool(
    "rescore",
    False,
    "order the k neighbors by the comparator's score of the pair",
)
_POOL = flags.DEFINE_string(
    "pool",
    None,
    "candidate items, in1, in files as for --input, directories or globs; the items "
    "of the pairs are added (default: the items of the pairs)",
)
_SCORE = flags.DEFINE_enum(
    "score",
    "cosine",
    SCORES,
    "score that ranks the candidates; model: the score of predict_pair",
)
_HITS = flags.DEFINE_list(
    "hits",
    ["1", "10", "20"],
    "values of k for hits@k, ndcg@k, recall@k and precision@k",
)
flags.declare_key_flag("device")
flags.declare_key_flag(MAX_LINE_MEGABYTES.name)
_COMMON = (DEVICE, MAX_LINE_MEGABYTES)
_FLAG_USES: FlagUses = {
    "build": (_MODEL, _INPUT, _INDEX, _LABELS, _METRIC, _SEARCH, *_COMMON),
    "add": (_MODEL, _INPUT, _INDEX, _LABELS, *_COMMON),
    "query": (
        *(_MODEL, _INPUT, _INDEX, _K, _OUTPUT),
        *(_EXCLUDE, _EXCLUDE_SELF, _RESCORE, *_COMMON),
    ),
    "evaluate": (_MODEL, _INPUT, _POOL, _EXCLUDE, _SCORE, _HITS, *_COMMON),
}


def main(verb: str) -> None:
    """Runs one of the verbs with the values of the flags.

    Args:
        verb: build, add, query or evaluate.
    """
    select_device_of_flag()
    set_line_limit_of_flag()
    _FUNCTIONS[verb]()


def _build() -> None:
    count = build_index(
        _required_file(_INPUT),
        required_value(_INDEX),
        model=_MODEL.value,
        labels=_LABELS.value,
        metric=_METRIC.value,
        search=_SEARCH.value,
    )
    print(f"{_INDEX.value}: {count:,} items")


def _add() -> None:
    addition = add_items(
        _required_file(_INPUT),
        required_value(_INDEX),
        model=_MODEL.value,
        labels=_LABELS.value,
    )
    print(
        f"{_INDEX.value}: {addition.items:,} items, {addition.added:,} new, "
        f"{addition.skipped:,} skipped because the index has them"
    )


def _query() -> None:
    source = _required_file(_INPUT)
    if not _OUTPUT.value:
        check_stdout("Give --output.")
    elif not is_remote(_OUTPUT.value):
        reject_input_paths(local_path(_OUTPUT.value), [staged_file(source)])
    index = NeighborIndex(required_value(_INDEX), _MODEL.value)
    results = index.query(
        source,
        _K.value,
        exclude=_EXCLUDE.value,
        exclude_self=_EXCLUDE_SELF.value,
        rescore=_RESCORE.value,
    )
    lines = (json.dumps(result) + "\n" for result in results)
    if not _OUTPUT.value:
        for line in lines:
            print(line, end="")
        return
    with (
        local_output(_OUTPUT.value) as output,
        atomic_file(output) as path,
        path.open("w") as file,
    ):
        file.writelines(lines)


def _evaluate() -> None:
    model, pairs = required_value(_MODEL), required_value(_INPUT)
    check_stdout("Write it to a file: > metrics.json.")
    metrics = evaluate(
        model,
        pairs,
        _POOL.value,
        exclude=_EXCLUDE.value,
        score=_SCORE.value,
        hits=_hits(),
    )
    print(json.dumps(metrics))


def _hits() -> list[int]:
    """Returns the numbers of --hits."""
    try:
        numbers = [as_integer("--hits", text, 1) for text in _HITS.value]
    except UserError as error:
        raise UserError(f"{error} Give integers such as 1,10.") from error
    if not numbers:
        raise UserError("--hits: expected one or more integers, got none.")
    return numbers


def _required_file(flag: flags.FlagHolder[str | None]) -> str:
    value = required_value(flag)
    if not staged_file(value).is_file():
        raise UserError(f"{value}: no such file. Check --{flag.name}.")
    return value


_FUNCTIONS = {"build": _build, "add": _add, "query": _query, "evaluate": _evaluate}


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    runner.run_cli(main, _FLAG_USES)


if __name__ == "__main__":
    cli()
