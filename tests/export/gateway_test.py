"""The gateway as a process, with a local model and with a model server."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import boto3
import botocore.config
import botocore.exceptions
import numpy as np
import pytest

import export
from tests.command_server import python_m
from tests.export.conftest import TIMEOUT, first_line, free_port

JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/jsonlines"}


class Gateway:
    def __init__(self, process, port):
        self.process = process
        self.port = port

    def request(self, body, headers=JSON, path="/invocations", method="POST"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()


@contextlib.contextmanager
def gateway(*flags, port=0):
    if port is not None:
        flags = [f"--port={port}", *flags]
    process = subprocess.Popen(
        [*python_m("export.gateway"), *flags],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = first_line(process)
        assert line.startswith("serving on http://"), line
        yield Gateway(process, int(line.rsplit(":", 1)[1]))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module", params=["local", "tf_serving", "onnx"])
def served(request, exported, tmp_path_factory):
    model = exported("hcnn")
    if request.param == "local":
        flags = [f"--model={model.directory}"]
    elif request.param == "onnx":
        from export.onnx_model import export_onnx

        directory = tmp_path_factory.mktemp("onnx")
        export_onnx(model.model, directory)
        flags = [f"--model={directory}", "--runtime=onnx"]
    else:
        server = request.getfixturevalue("model_server")
        flags = [f"--tf_serving={server.address}", f"--model_name={model.name}"]
    with gateway(*flags, "--max_request_bytes=10000") as served:
        yield served


ROWS = {"in0": [[1, 2, 3], [4], []], "in1": [[5], [], [6, 7, 8, 9, 1]]}


def objects(names):
    return [{name: ROWS[name][i] for name in names} for i in range(3)]


@pytest.mark.parametrize("names", [["in0"], ["in1"], ["in0", "in1"]])
def test_boto3_gets_embeddings_and_scores_as_from_sagemaker(served, exported, names):
    client = boto3.client(
        "sagemaker-runtime",
        endpoint_url=f"http://127.0.0.1:{served.port}",
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )
    expected = exported("hcnn").expected({name: ROWS[name] for name in names})
    output = "scores" if len(names) == 2 else "embeddings"
    for content_type, body in (
        ("application/json", json.dumps({"instances": objects(names)})),
        ("application/jsonlines", "\n".join(map(json.dumps, objects(names)))),
    ):
        response = client.invoke_endpoint(
            EndpointName="o2v", ContentType=content_type, Body=body
        )
        assert response["ContentType"] == content_type
        text = response["Body"].read()
        rows = (
            json.loads(text)["predictions"]
            if content_type == "application/json"
            else [json.loads(line) for line in text.splitlines()]
        )
        predictions = [row[output] for row in rows]
        np.testing.assert_allclose(predictions, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(client.exceptions.ModelError) as raised:
        client.invoke_endpoint(
            EndpointName="o2v",
            ContentType="application/json",
            Body='{"instances": [{"in0": [1, "a"]}]}',
        )
    response = raised.value.response
    assert "in0[1]: expected an" in response["Error"]["Message"]
    assert response["OriginalMessage"] == response["Error"]["Message"]
    assert response["OriginalStatusCode"] == 400


def test_the_example_client_gets_a_score(served, exported):
    client = Path(export.__file__).with_name("tf_serving") / "clients/boto3_client.py"
    done = subprocess.run(
        [sys.executable, str(client), f"http://127.0.0.1:{served.port}"],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = exported("hcnn").expected({"in0": [[3, 7]], "in1": [[4]]})
    np.testing.assert_allclose(json.loads(done.stdout), expected[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("request_", "status", "path"),
    [
        ({"body": '{"instances": [{"in0": [50]}]}'}, 400, "$.instances[0].in0[0]"),
        ({"body": '{"instances": [{}]}'}, 400, "$.instances[0]"),
        ({"body": "[1]"}, 400, "$"),
        ({"body": "", "path": "/nowhere"}, 404, None),
        ({"body": "", "method": "GET"}, 405, None),
        ({"body": "{}", "headers": JSON | {"Accept": "text/html"}}, 406, None),
        ({"body": " " * 10_001}, 413, None),
        ({"body": "1", "headers": {"Content-Type": "text/csv"}}, 415, None),
        ({"body": "1", "headers": JSON | {"Content-Encoding": "gzip"}}, 415, None),
    ],
)
def test_an_invalid_request_gets_its_status_and_path(served, request_, status, path):
    actual_status, headers, body = served.request(**request_)
    assert actual_status == status
    assert headers["content-type"] == "application/json"
    error = json.loads(body)["error"]
    assert error["message"]
    assert error.get("path") == path
    assert served.request('{"instances": [{"in0": [1]}]}')[0] == 200


def test_a_request_sets_max_lengths_and_response_format(served, exported):
    body = '{"in0": [1, 2, 3]}'
    headers = {
        "Content-Type": "application/jsonlines; infer_max_seqlens=2,1",
        "Accept": "application/json",
    }
    status, _, text = served.request(body, headers)
    assert status == 200
    (row,) = json.loads(text)["predictions"]
    expected = exported("hcnn").expected({"in0": [[1, 2]]})
    np.testing.assert_allclose([row["embeddings"]], expected, rtol=1e-5, atol=1e-6)
    assert served.request('{"instances": []}')[2] == b'{"predictions":[]}'
    chunks = iter([b'{"instances": [{"in0"', b": [1, 2]}]}"])
    assert served.request(chunks)[0] == 200  # http.client sends it in chunks


def test_a_chunked_body_is_rejected_as_soon_as_it_is_too_large(served):
    chunk = b"3e8\r\n" + b" " * 1000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", served.port), TIMEOUT) as connection:
        connection.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(chunk * 10)
        connection.sendall(chunk)  # above the limit, and without an end
        response = read_all(connection)
    assert response.startswith(b"HTTP/1.1 413 ")
    assert b"at most 10000 bytes" in response
    assert b"connection: close" in response.lower()
    assert served.request('{"instances": [{"in0": [1]}]}')[0] == 200


def test_a_body_of_the_maximum_size_is_accepted(served):
    body = b'{"instances": [{"in0": [1]}]}'.ljust(10_000)
    assert served.request(body)[0] == 200
    assert served.request(iter([body[:9000], body[9000:]]))[0] == 200  # in chunks
    assert served.request(body + b" ")[0] == 413
    assert served.request(iter([body, b" "]))[0] == 413


def test_expect_100_continue_is_answered(served):
    body = b'{"instances": [{"in0": [1]}]}'
    with socket.create_connection(("127.0.0.1", served.port), TIMEOUT) as connection:
        connection.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert b"200 OK" in read_all(connection)


@pytest.mark.parametrize(
    ("length", "media_type", "status"),
    [(10_001, b"application/json", 413), (10, b"text/csv", 415)],
)
def test_expect_100_continue_is_rejected_for_an_invalid_header(
    served, length, media_type, status
):
    with socket.create_connection(("127.0.0.1", served.port), TIMEOUT) as connection:
        connection.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Type: %s\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % (media_type, length)
        )
        assert read_all(connection).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/invocations", 405, "POST"),
        ("DELETE", "/endpoints/any/invocations", 405, "POST"),
        ("POST", "/ping", 405, "GET, HEAD"),
        ("GET", "/nowhere", 404, None),
        ("POST", "/", 405, "GET, HEAD"),
        ("POST", "/invocations/more", 404, None),
        ("POST", "/endpoints//invocations", 404, None),
    ],
)
def test_the_error_for_an_unknown_path_or_method_names_the_alternatives(
    served, method, path, status, allowed
):
    actual_status, headers, body = served.request(None, JSON, path, method)
    assert actual_status == status
    allow = headers.get("allow")
    assert allow == allowed or sorted(allow.split(", ")) == allowed.split(", ")
    message = json.loads(body)["error"]["message"]
    assert message.startswith(f"{method} {path}: ")
    if allowed:
        assert message.endswith(f" Use {allowed.replace(', ', ' or ')}.")
    else:
        assert "/ping" in message


def test_ping_metrics_and_execution_parameters(served):
    assert served.request(None, path="/ping", method="GET")[0] == 200
    served.request('{"instances": [{"in1": [1]}, {"in1": [2]}]}')
    text = served.request(None, path="/metrics", method="GET")[2].decode()
    assert 'object2vec_requests_total{status="200"}' in text
    assert 'object2vec_rows_total{signature="embed_enc1"}' in text
    parameters = served.request(None, path="/execution-parameters", method="GET")[2]
    assert json.loads(parameters)["BatchStrategy"] == "MULTI_RECORD"


def test_503_if_tf_serving_is_unreachable():
    with gateway(f"--tf_serving=127.0.0.1:{free_port()}", "--timeout=5") as served:
        for request in (
            {"body": None, "path": "/ping", "method": "GET"},
            {"body": '{"instances": [{"in0": [1]}]}'},
        ):
            status, headers, body = served.request(**request)
            assert status == 503
            assert headers["retry-after"] == "1"
            assert "UNAVAILABLE" in json.loads(body)["error"]["message"]


def half_sent(port, body):
    """Opens a connection and sends a request without its last byte.

    The gateway counts it as a request in progress, because of its header Expect.
    """
    connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    head = (
        "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Expect: 100-continue\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(head.encode() + body[:-1])
    return connection


def read_all(connection):
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_503_above_max_concurrency_and_sigterm_drains(exported):
    body = b'{"instances": [{"in0": [1]}]}'
    flags = [f"--model={exported().directory}", "--max_concurrency=1"]
    with gateway(*flags) as served, half_sent(served.port, body) as connection:
        deadline = threading.Event()
        threading.Timer(TIMEOUT, deadline.set).start()
        while not deadline.is_set():  # until the incomplete request is counted
            status, headers, content = served.request(body)
            if status == 503:
                break
        assert (status, headers["retry-after"]) == (503, "1")
        assert "requests in progress" in json.loads(content)["error"]["message"]
        served.process.send_signal(signal.SIGTERM)
        refused = threading.Event()
        while (
            not deadline.is_set() and not refused.is_set()
        ):  # until it stops listening
            try:
                socket.create_connection(("127.0.0.1", served.port), 1).close()
            except OSError:
                refused.set()
        assert refused.is_set()
        connection.sendall(body[-1:])
        assert b"200 OK" in read_all(connection)
        assert served.process.wait(TIMEOUT) == 0


def test_vertex_ai_gives_port_paths_and_model(exported, monkeypatch):
    model = exported()
    monkeypatch.setenv("AIP_HTTP_PORT", str(free_port()))
    monkeypatch.setenv("AIP_HEALTH_ROUTE", "/health")
    monkeypatch.setenv("AIP_PREDICT_ROUTE", "/v1/endpoints/1/deployedModels/2:predict")
    monkeypatch.setenv("AIP_STORAGE_URI", str(model.directory))
    with gateway(port=None) as served:
        assert served.port == int(os.environ["AIP_HTTP_PORT"])
        assert served.request(None, path="/health", method="GET")[0] == 200
        body = '{"instances": [{"in0": [1], "in1": [2]}], "parameters": {"a": 1}}'
        status, _, text = served.request(body, path=os.environ["AIP_PREDICT_ROUTE"])
        assert status == 200
        (row,) = json.loads(text)["predictions"]
        expected = model.expected({"in0": [[1]], "in1": [[2]]})
        np.testing.assert_allclose([row["scores"]], expected, rtol=1e-5)


def test_an_invalid_variable_of_vertex_ai_is_an_error(monkeypatch):
    monkeypatch.setenv("AIP_HTTP_PORT", "eighty")
    done = run_gateway("--model=none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: AIP_HTTP_PORT: expected a port in 1..65535, got eighty.\n"
    )


@pytest.mark.parametrize("flags", [[], ["--model=a", "--tf_serving=b:1"]])
def test_exactly_one_of_model_and_tf_serving_is_required(flags):
    done = run_gateway(*flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: expected exactly one of --model and --tf_serving. See --help.\n"
    )


def test_a_port_in_use_is_an_error(exported):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_gateway(f"--model={exported().directory}", f"--port={port}")
    assert done.returncode == 2
    assert f"--port={port}: cannot listen there: Address already in use" in done.stderr


def test_it_listens_on_ipv6(exported):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with gateway(f"--model={exported().directory}", "--host=::1") as served:
        connection = http.client.HTTPConnection("::1", served.port, timeout=TIMEOUT)
        with contextlib.closing(connection):
            connection.request("GET", "/ping")
            assert connection.getresponse().status == 200


def test_sigterm_right_after_the_start_ends_it(exported):
    with gateway(f"--model={exported('pooled_embedding').directory}") as started:
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(TIMEOUT) == 0


def run_gateway(*flags):
    return subprocess.run(
        [*python_m("export.gateway"), *flags],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
