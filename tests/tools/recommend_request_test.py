"""Tests of tools/recommend_request.py against a server that records the request."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from object2vec_tf.errors import UserError
from tools.recommend_request import read_user, recommend

ITEMS = [{"position": 2, "score": 0.5, "item": {"in1": [3]}, "label": "Café (1993)"}]


class Recorder(BaseHTTPRequestHandler):
    """Answers every request with one prediction, or rejects a k above 100."""

    requests: ClassVar[list[tuple[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append((self.path, body))
        is_valid = body["instances"][0]["k"] <= 100
        self.send_response(200 if is_valid else 400)
        self.end_headers()
        answer: Any = {"predictions": [{"items": ITEMS}]}
        self.wfile.write(json.dumps(answer if is_valid else "k: too large").encode())

    def log_message(self, *args: Any) -> None:
        """Keeps the output of the tests clean."""


@pytest.fixture
def port() -> Iterator[int]:
    Recorder.requests.clear()
    with HTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_the_gateway_is_asked_for_items_that_are_not_excluded(port: int) -> None:
    assert recommend(port, {"in0": [7, 950], "exclude": [1, 4]}, 10) == ITEMS
    instance = {"in0": [7, 950], "exclude": [1, 4], "k": 10}
    assert Recorder.requests == [("/recommend", {"instances": [instance]})]


def test_a_rejected_request_is_a_user_error(port: int) -> None:
    with pytest.raises(UserError, match="k: too large"):
        recommend(port, {"in0": [7], "exclude": []}, 101)


def test_users_are_lines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "users.jsonl"
    path.write_text('{"in0": [1], "exclude": []}\n{"in0": [2], "exclude": [3]}\n')
    assert read_user(path, 2) == {"in0": [2], "exclude": [3]}
    with pytest.raises(UserError, match="expected at most 2, the lines of"):
        read_user(path, 3)
    with pytest.raises(UserError, match=r"--users: .*missing\.jsonl: No such file"):
        read_user(tmp_path / "missing.jsonl", 1)
