"""The example requests in export/tf_serving/README.md work."""

import json
import re
import shlex
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import export
from tests.export.conftest import start_model_server
from tests.export.gateway_test import gateway

README = Path(export.__file__).with_name("tf_serving") / "README.md"


def curls():
    """Returns the address, path, headers and body of each curl command, by its verb."""
    text = re.sub(r"\\\n\s*", "", README.read_text(encoding="utf-8"))
    requests = {}
    for line in text.splitlines():
        if line.startswith("curl "):
            words = shlex.split(line)
            address, path = words[1].split("/", 1)
            headers = dict(
                words[i + 1].split(": ") for i, word in enumerate(words) if word == "-H"
            )
            body = json.loads(words[words.index("-d") + 1])
            name = re.split("[:/]", path)[-1]
            signature = body.get("signature_name", "")
            if signature.endswith("_text"):
                name += "_text"
            elif signature == "recommend":  # needs a model that was exported with items
                name += "_recommend"
            requests[name] = (address, path, headers, body)
    return requests


def post(address, path, headers, body):
    request = urllib.request.Request(
        f"http://{address}/{path}", json.dumps(body).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


@pytest.fixture(scope="module")
def model(exported):
    return exported("pooled_embedding", "mean_squared_error")


def test_rest(model, tmp_path):
    commands = curls()
    with start_model_server({"object2vec": model.directory}, tmp_path) as server:
        address, path, headers, body = commands["predict"]
        assert address == "localhost:8501"
        response = post(server.rest_address, path, headers, body)
        expected = model.expected({"in0": [[3, 7], [5]]})
        np.testing.assert_allclose(response["predictions"], expected, rtol=1e-6)
        response = post(server.rest_address, *commands["regress"][1:])
        expected = model.expected({"in0": [[3, 7], [5]], "in1": [[4], []]})
        np.testing.assert_allclose(response["results"], expected[:, 0], rtol=1e-6)


def test_the_gateway(model):
    address, path, headers, body = curls()["invocations"]
    assert address == "localhost:8080"
    with gateway(f"--model={model.directory}") as served:
        response = post(f"127.0.0.1:{served.port}", path, headers, body)
    expected = model.expected({"in0": [[3, 7]], "in1": [[4]]})
    scores = [row["scores"] for row in response["predictions"]]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
