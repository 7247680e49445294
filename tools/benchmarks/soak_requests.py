"""The requests of a soak, with the answers that each version of the model gives."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.model.object2vec import Object2Vec

JSON: Final = "application/json"
LINES: Final = "application/jsonlines"
TF_SERVING: Final = "/v1/models/object2vec:predict"
VERTEX: Final = "/predict"
QUERIES: Final = 200
ITEMS: Final = 300
MAX_REQUEST_BYTES: Final = 1 << 20
MAX_HEADER_BYTES: Final = 64 << 10
_DIM: Final = 32
_K: Final = 5

Rows = list[list[int]]
Values = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Request:
    """A request and what has to be answered.

    Attributes:
        name: The protocol, or what is wrong with the request.
        data: Head and body.
        head_size: The size of the head.
        status: The status of the answer.
        read: Returns the values of a good answer; None for an error.
        expected: The values of each of the two versions.
        closes: Whether the gateway closes the connection after the answer.
    """

    name: str
    data: bytes
    head_size: int
    status: int = 200
    read: Callable[[bytes], Values] | None = None
    expected: tuple[Values, ...] = ()
    closes: bool = False


def build_model(seed: int) -> Object2Vec:
    """Returns one of the two models, which differ in their weights."""
    model = Object2Vec(
        Hyperparameters(
            enc0_network="pooled_embedding",
            enc0_max_seq_len=8,
            enc0_vocab_size=QUERIES,
            enc1_network="pooled_embedding",
            enc1_max_seq_len=8,
            enc1_vocab_size=ITEMS,
            enc_dim=_DIM,
            output_layer="mean_squared_error",
        )
    )
    generator = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        values = generator.normal(scale=0.3, size=variable.shape)
        variable.assign(values.astype(np.float32))
    return model


def good_requests(models: Sequence[Object2Vec]) -> list[Request]:
    """Returns valid requests of all protocols, with the answers of both models."""
    generator = random.Random(1)
    requests: list[Request] = []
    for number in range(120):
        count = generator.choice([1, 1, 1, 2, 9])
        rows = {
            "in0": _rows(generator, count, QUERIES),
            "in1": _rows(generator, count, ITEMS),
        }
        names = (("in0",), ("in1",), ("in0", "in1"))[number % 3]
        rows = {name: rows[name] for name in names}
        expected = tuple(_predictions(model, rows) for model in models)
        requests += _encodings(rows, expected)
    for _ in range(60):
        queries = _rows(generator, generator.choice([1, 1, 4]), QUERIES)
        requests.append(_recommend(models, queries, generator))
    return requests


def large_request(models: Sequence[Object2Vec]) -> Request:
    """Returns a request with a large answer, for clients that read slowly."""
    rows = {"in0": _rows(random.Random(2), 4000, QUERIES)}
    expected = tuple(_predictions(model, rows) for model in models)
    return _encodings(rows, expected)[0]


def _rows(generator: random.Random, count: int, size: int) -> Rows:
    return [
        generator.choices(range(size), k=generator.randrange(1, 9))
        for _ in range(count)
    ]


def _predictions(model: Object2Vec, rows: dict[str, Rows]) -> Values:
    if len(rows) == 2:
        return np.asarray(model.score(rows), np.float64)
    ((name, objects),) = rows.items()
    return np.asarray(model.embed(objects, encoder=int(name[-1])), np.float64)


def _encodings(rows: dict[str, Rows], expected: tuple[Values, ...]) -> list[Request]:
    """Returns the same objects as requests of all protocols."""
    objects = [
        dict(zip(rows, values, strict=True))
        for values in zip(*rows.values(), strict=True)
    ]
    signature = "predict_pair" if len(rows) == 2 else f"embed_enc{next(iter(rows))[-1]}"
    named = {"instances": objects}
    bodies = {
        "SageMaker JSON": (JSON, "/invocations", named, _read_json),
        "SageMaker endpoint": (JSON, "/endpoints/o2v/invocations", named, _read_json),
        "Vertex": (JSON, VERTEX, named | {"parameters": {}}, _read_json),
        "TF Serving rows": (
            JSON,
            TF_SERVING,
            named | {"signature_name": signature},
            _read_rows,
        ),
        "KServe columns": (
            JSON,
            TF_SERVING,
            {"signature_name": signature, "inputs": rows},
            _read_columns,
        ),
    }
    requests = [
        make_request(name, path, media_type, json.dumps(body).encode(), read, expected)
        for name, (media_type, path, body, read) in bodies.items()
    ]
    lines = "\n".join(map(json.dumps, objects)).encode()
    requests.append(
        make_request(
            "SageMaker JSON Lines", "/invocations", LINES, lines, _read_lines, expected
        )
    )
    return requests


def _recommend(
    models: Sequence[Object2Vec], queries: Rows, generator: random.Random
) -> Request:
    exclude = [generator.sample(range(ITEMS), 3) for _ in queries]
    body = {
        "instances": [
            {"in0": query, "k": _K, "exclude": positions}
            for query, positions in zip(queries, exclude, strict=True)
        ]
    }
    expected = tuple(_best_items(model, queries, exclude) for model in models)
    return make_request(
        "recommend",
        "/recommend",
        JSON,
        json.dumps(body).encode(),
        _read_recommendations,
        expected,
    )


def _best_items(model: Object2Vec, queries: Rows, exclude: Rows) -> Values:
    """Returns positions and cosines of the best items, by numpy."""
    unit = []
    for encoder, rows in enumerate((queries, [[i] for i in range(ITEMS)])):
        vectors = np.asarray(model.embed(rows, encoder=encoder), np.float64)
        unit.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    cosines = unit[0] @ unit[1].T
    for row, positions in zip(cosines, exclude, strict=True):
        row[positions] = -2
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :_K]
    return np.stack([best, np.take_along_axis(cosines, best, 1)], axis=-1)


def make_request(
    name: str,
    path: str,
    media_type: str,
    body: bytes,
    read: Callable[[bytes], Values] | None = None,
    expected: tuple[Values, ...] = (),
    *,
    status: int = 200,
    headers: str = "",
    closes: bool = False,
    method: str = "POST",
) -> Request:
    """Returns a request with its head."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nContent-Type: {media_type}\r\n"
        f"{headers}Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    return Request(name, head + body, len(head), status, read, expected, closes)


def bad_requests() -> list[Request]:
    """Returns invalid requests, with their status."""
    valid = b'{"instances": [{"in0": [1]}]}'
    chunked = (
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    bodies = {
        "empty": b"",
        "half a JSON": b'{"instances": [{"in0": [1',
        "id outside": b'{"instances": [{"in0": [%d]}]}' % QUERIES,
        "float id": b'{"instances": [{"in0": [1.5]}]}',
        "not UTF-8": b'{"instances": [{"in0": [1], "x": "\xff"}]}',
        "different inputs": b'{"instances": [{"in0": [1]}, {"in1": [1]}]}',
    }
    requests = [
        make_request(name, path, JSON, body, status=400)
        for name, body in bodies.items()
        for path in ("/invocations", TF_SERVING, VERTEX, "/recommend")
    ]
    large = b" " * (MAX_REQUEST_BYTES + 1)
    padding = f"X-Padding: {'x' * MAX_HEADER_BYTES}\r\n"
    requests += [
        make_request("no such path", "/nowhere", JSON, valid, status=404),
        make_request("no such model", "/v1/models/x:predict", JSON, valid, status=404),
        make_request("method", "/invocations", JSON, b"", status=405, method="GET"),
        make_request(
            "Accept", "/invocations", JSON, valid, status=406, headers="Accept: a/b\r\n"
        ),
        make_request("media type", "/invocations", "text/csv", b"1", status=415),
        make_request("large", "/invocations", JSON, large, status=413, closes=True),
        make_request(
            "large head",
            "/invocations",
            JSON,
            valid,
            status=431,
            headers=padding,
            closes=True,
        ),
        Request("no HTTP", b"no HTTP\r\n\r\n", 4, 400, closes=True),
        Request("chunk", chunked + b"zz\r\n", len(chunked), 400, closes=True),
    ]
    return requests


def _read_json(body: bytes) -> Values:
    rows: list[dict[str, Any]] = json.loads(body)["predictions"]
    return np.array([next(iter(row.values())) for row in rows])


def _read_lines(body: bytes) -> Values:
    return np.array([next(iter(json.loads(line).values())) for line in body.split()])


def _read_rows(body: bytes) -> Values:
    return np.array(json.loads(body)["predictions"])


def _read_columns(body: bytes) -> Values:
    return np.array(json.loads(body)["outputs"])


def _read_recommendations(body: bytes) -> Values:
    return np.array(
        [
            [[item["position"], item["score"]] for item in row["items"]]
            for row in json.loads(body)["predictions"]
        ]
    )
