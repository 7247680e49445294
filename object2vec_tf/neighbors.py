"""Measures what embeddings find.

python -m object2vec_tf.neighbors evaluate --model=RUN --input=pairs.jsonl \
        --pool=items.jsonl
"""

from __future__ import annotations

import json
from pathlib import Path

from absl import flags

from object2vec_tf import command
from object2vec_tf.errors import UserError
from object2vec_tf.search.evaluation import SCORES, evaluate

_VERBS = ("evaluate",)

_MODEL = flags.DEFINE_string(
    "model", None, "a run, an exported model or a directory of versions"
)
_INPUT = flags.DEFINE_string("input", None, "evaluate: JSON Lines of true pairs")
_POOL = flags.DEFINE_string(
    "pool",
    None,
    "evaluate: JSON Lines with the items, in1, among which the true ones are to be "
    "found (default: those of the pairs)",
)
_SCORE = flags.DEFINE_enum(
    "score", "cosine", SCORES, "what items are ranked by; model: predict_pair's score"
)
_HITS = flags.DEFINE_list("hits", ["1", "10", "20"], "evaluate: k of hits@k and ndcg@k")


def main(verb: str) -> None:
    """Runs the command."""
    for flag in (_MODEL, _INPUT):
        if not flag.value:
            raise UserError(f"--{flag.name} is required; see --help")
    for flag in (_INPUT, _POOL):
        if flag.value and not Path(flag.value).is_file():
            raise UserError(f"{flag.value}: no such file; check --{flag.name}")
    if not all(k.isdecimal() and int(k) for k in _HITS.value):
        raise UserError(f"hits: {','.join(_HITS.value)}: expected numbers from 1 on")
    told = evaluate(
        _MODEL.value or "",
        _INPUT.value or "",
        _POOL.value,
        score=_SCORE.value,
        hits=[int(k) for k in _HITS.value],
    )
    print(json.dumps(told))


if __name__ == "__main__":
    command.run(main, _VERBS)
