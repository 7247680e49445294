"""Prints the best movies that a user has not rated, as a served model recommends them.

    python -m tools.unseen_titles --model=runs/movielens_top10/export \
        --users=data/movielens_top10/ua/users.jsonl

Starts the gateway on a free port of this machine, sends one request to /recommend, and
stops the gateway. The model is an export with --items and --labels.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.commands.checks import required_value
from object2vec_tf.errors import UserError
from tools.benchmarks.gateway_process import gateway

MODEL = flags.DEFINE_string(
    "model", None, "export directory with version subdirectories"
)
USERS = flags.DEFINE_string(
    "users", None, 'JSON Lines file of {"in0": [...], "exclude": [...]}'
)
USER = flags.DEFINE_integer("user", 100, "line of --users, from 1", lower_bound=1)
COUNT = flags.DEFINE_integer("count", 10, "titles shown", lower_bound=1)

_TIMEOUT = 60


def read_user(path: Path, line: int) -> dict[str, Any]:
    """Returns a line of a file of users.

    Raises:
        UserError: The file is missing or shorter.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UserError(f"--users: {path}: {error.strerror}.") from error
    if line > len(lines):
        raise UserError(
            f"--user: expected at most {len(lines)}, the lines of {path}, got {line}."
        )
    return dict(json.loads(lines[line - 1]))


def recommend(port: int, user: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Returns the items that the gateway on a port recommends, best first.

    Raises:
        UserError: The gateway rejects the request.
    """
    body = json.dumps({"instances": [{**user, "k": count}]}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/recommend",
        body,
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            [prediction] = json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        raise UserError(
            f"/recommend: {error.read().decode(errors='replace')}"
        ) from error
    return list(prediction["items"])


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
