"""Memory that short requests and files take, above that of the loaded model.

Each limit is half a gigabyte. Without batches by length and limits of responses, each
case took 1 to 10 GB.
"""

import concurrent.futures
import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import object2vec_tf as o2v
from export import export_saved_model
from tests.export.conftest import TIMEOUT, first_line
from tools.benchmarks.process_memory import kilobytes

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc"
    ),
]
LIMIT = 500_000  # kilobytes
MAX_BODY = 6 << 20
PREDICT = "/v1/models/object2vec:predict"
JSON, LINES = "application/json", "application/jsonlines"
LONG = ["w1"] * 2000


def reset_peak(pid):
    """Returns the memory in use, from which on the peak counts."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return kilobytes("VmHWM", pid)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Returns a function from a kind to an exported model: text, or ids of width 4,096.

    The process that exports is not the one that is measured.
    """
    made = {}

    def make(kind):
        if kind not in made:
            directory = tmp_path_factory.mktemp(kind)
            settings = {"enc0_network": "pooled_embedding", "enc0_max_seq_len": 5000}
            settings |= {"enc0_vocab_size": 1000, "mlp_dim": 4, "enc_dim": 64}
            settings |= {"output_layer": "mean_squared_error"}
            tokenizers = (None, None)
            if kind == "text":
                words = {f"w{i}": i for i in range(1000)}
                (directory / "words.json").write_text(json.dumps(words))
                settings |= {"enc0_tokenizer": "whitespace"}
                settings |= {"enc0_vocab_file": "words.json"}
            else:
                settings |= {"enc_dim": 4096, "enc0_token_embedding_dim": 4096}
            hyperparameters = o2v.Hyperparameters(**settings)
            if kind == "text":
                tokenizers = o2v.read_tokenizers(hyperparameters, str(directory))
            model = o2v.Object2Vec(hyperparameters, tokenizers=tokenizers)
            export_saved_model(model, directory / "model")
            made[kind] = directory / "model"
        return made[kind]

    return make


@contextlib.contextmanager
def gateway(model):
    command = [sys.executable, "-m", "export.gateway", f"--model={model}", "--port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        port = int(first_line(process).rsplit(":", 1)[1])
        yield process.pid, port
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def gateways(models):
    """Returns a function from a kind of model to the pid and port of its gateway."""
    with contextlib.ExitStack() as stack:
        started = {}

        def start(kind):
            if kind not in started:
                started[kind] = stack.enter_context(gateway(models(kind)))
            return started[kind]

        yield start


def post(port, path, media_type, body):
    """Returns the status, the number of bytes of the answer, and its start."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10 * TIMEOUT)
    with contextlib.closing(connection):
        connection.request("POST", path, body, {"Content-Type": media_type})
        response = connection.getresponse()
        start, size = response.read(1000), 0
        while part := response.read(1 << 20):
            size += len(part)
        return response.status, len(start) + size, start


def instances(rows):
    return json.dumps({"instances": [{"in0": row} for row in rows]}).encode()


def filled(start, item, end):
    """A body of 6 MB with as many equal items as there is room for."""
    count = (MAX_BODY - len(start) - len(end)) // (len(item) + 1)
    return start + b",".join([item] * count) + end


EMBED = b'{"signature_name":"embed_enc0",'
EMPTY = {
    "json": ("/invocations", JSON, filled(b'{"instances":[', b'{"in0":[]}', b"]}")),
    "lines": ("/invocations", LINES, b'{"in0":[]}\n' * (MAX_BODY // 11)),
    "named": (PREDICT, JSON, filled(EMBED + b'"instances":[', b'{"in0":[]}', b"]}")),
    "bare": (PREDICT, JSON, filled(EMBED + b'"instances":[', b"[]", b"]}")),
    "columns": (PREDICT, JSON, filled(EMBED + b'"inputs":{"in0":[', b"1", b"]}}")),
}
TEXTS = {
    "texts": [" ".join(LONG)] + ["w2"] * 60_000,
    "lists": [LONG] + [["w2"]] * 60_000,
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_body_of_empty_objects_at_width_4096(gateways, name):
    pid, port = gateways("wide")
    before = reset_peak(pid)
    status, _, start = post(port, *EMPTY[name])
    assert status == 413
    assert b"Send at most 4096 objects per request" in start
    assert kilobytes("VmHWM", pid) - before < LIMIT


def test_the_largest_answer_and_a_slow_reader(gateways):
    """4,096 objects of width 4,096 are all that the limit allows, 200 MB of JSON."""
    pid, port = gateways("wide")
    body = instances([[i % 1000] for i in range(4096)])
    before = reset_peak(pid)
    with socket.create_connection(("127.0.0.1", port)) as slow:
        head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
        slow.sendall(f"{head}\r\nContent-Type: {JSON}\r\n\r\n".encode() + body)
        assert slow.recv(15) == b"HTTP/1.1 200 OK"
        status, size, _ = post(port, "/invocations", JSON, body)
        assert status == 200
        assert size > 100_000_000
    assert kilobytes("VmHWM", pid) - before < LIMIT


@pytest.mark.parametrize("name", TEXTS)
def test_one_long_text_among_short_ones(gateways, name):
    pid, port = gateways("text")
    before = reset_peak(pid)
    status, _, start = post(port, "/invocations", JSON, instances(TEXTS[name]))
    assert (status, start[:29]) == (200, b'{"predictions":[{"embeddings"')
    assert kilobytes("VmHWM", pid) - before < LIMIT


def test_ping_is_answered_while_large_requests_are(gateways):
    """The limit is generous, since the machine may be busy; it was 6 seconds."""
    _, port = gateways("wide")
    body = instances([[i % 1000] for i in range(4096)])
    longest = 0.0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        requests = [
            pool.submit(post, port, "/invocations", JSON, body),
            pool.submit(post, port, *EMPTY["json"]),
        ]
        while not all(request.done() for request in requests):
            start = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
            with contextlib.closing(connection):
                connection.request("GET", "/ping")
                assert connection.getresponse().status == 200
            longest = max(longest, time.perf_counter() - start)
            time.sleep(0.01)
    assert [request.result()[0] for request in requests] == [200, 413]
    assert longest < 3


TRANSFORM = """
import sys
from pathlib import Path
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.transform import transform
from tools.benchmarks.process_memory import kilobytes

model, output = load_model(sys.argv[1]), Path(sys.argv[2], "out.jsonl")
model.warm_up()
for path in sys.argv[3:]:
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmHWM")
    count = transform(model, path, output, on_error="mark")
    print(count, kilobytes("VmHWM") - before)
"""


def test_transform_of_one_long_text_among_short_ones(models, tmp_path):
    paths = []
    for name, rows in TEXTS.items():
        paths.append(tmp_path / f"{name}.jsonl")
        paths[-1].write_text("".join(json.dumps({"in0": row}) + "\n" for row in rows))
    command = [sys.executable, "-c", TRANSFORM, models("text"), tmp_path, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    results = [list(map(int, line.split())) for line in done.stdout.splitlines()]
    assert [count for count, _ in results] == [60_001, 60_001]
    assert max(peak for _, peak in results) < LIMIT
