"""Asks a gateway for the items that it recommends to a user of a file."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from object2vec_tf.errors import UserError

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
