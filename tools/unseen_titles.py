"""Prints the best movies that a user has not rated, as a served model recommends them.

    python -m tools.unseen_titles --model=runs/movielens_top10/export \
        --users=data/movielens_top10/ua/users.jsonl

Starts the gateway on a free port of this machine, sends one request to /recommend, and
stops the gateway. The model is an export with --items and --labels.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.commands.checks import required_value
from tools.benchmarks.gateway_process import gateway
from tools.recommend_request import read_user, recommend

MODEL = flags.DEFINE_string(
    "model", None, "export directory with version subdirectories"
)
USERS = flags.DEFINE_string(
    "users", None, 'JSON Lines file of {"in0": [...], "exclude": [...]}'
)
USER = flags.DEFINE_integer("user", 100, "line of --users, from 1", lower_bound=1)
COUNT = flags.DEFINE_integer("count", 10, "titles shown", lower_bound=1)


def main() -> None:
    """Runs the command."""
    model, users = Path(required_value(MODEL)), Path(required_value(USERS))
    user = read_user(users, USER.value)
    with gateway(model) as port:
        items = recommend(port, user, COUNT.value)
    print(
        f"User {USER.value} rated {len(user['exclude'])} movies. The best others"
        " (POST /recommend):"
    )
    for item in items:
        print(f"  {item['score']:.3f}  {item['label']}")


if __name__ == "__main__":
    runner.run(main)
