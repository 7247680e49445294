"""A run's report, its embeddings in TensorBoard, and the figures in them."""

import html.parser
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.training.figures import curves, principal_components, scatter

WORDS = ["<unk>", "cat", "dog", "<b>", "a|b"]


@pytest.fixture(scope="module", params=["softmax", "mean_squared_error"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "words").mkdir()
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    (folder / "words/vocab.json").write_text(json.dumps(vocabulary))
    rows = [
        {"in0": "cat dog" if i % 2 else "<b> a|b bird", "in1": [i % 7], "label": i % 2}
        for i in range(50)
    ]
    for name, part in (("train", rows), ("validation", rows[:9])):
        lines = "".join(json.dumps(row) + "\n" for row in part)
        (folder / f"{name}.jsonl").write_text(lines)
    return o2v.fit(
        {
            "enc0_network": "pooled_embedding",
            "enc0_tokenizer": "whitespace",
            "enc0_vocab_file": "vocab.json",
            "enc0_max_seq_len": 3,
            "enc1_network": "pooled_embedding",
            "enc1_vocab_size": 7,
            "enc1_max_seq_len": 1,
            "enc_dim": 4,
            "epochs": 3,
            "output_layer": request.param,
        },
        train=folder / "train.jsonl",
        validation=folder / "validation.jsonl",
        auxiliary=folder / "words",
        model_dir=folder / "<my> run",
        verbose=False,
    )


class Page(html.parser.HTMLParser):
    """Counts tags, and collects addresses and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.open, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href")]
        if tag not in ("meta", "line", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_whole_loads_nothing_and_holds_what_was_measured(run):
    text = (run.model_dir / "report.html").read_text(encoding="utf-8")
    page = Page(text.removeprefix("<!doctype html>"))

    assert page.open == []
    assert page.addresses == []
    assert "script" not in page.tags
    shown = " ".join(page.words)
    loss = run.model.hyperparameters.loss_name
    assert f"{run.metrics['validation'][loss]:.4f}" in shown
    for scores in run.metrics["baselines"].values():
        assert f"{scores['validation'][loss]:.4f}" in shown
    assert "<my> run" in shown
    # Curves of each metric, and maps of two texts and of seven numbers.
    metrics = len(run.history[0]["train"])
    assert page.tags.count("svg") == metrics + 2
    assert page.tags.count("polyline") == 2 * metrics
    assert page.tags.count("title") == 1 + 2 + 7
    assert "<b> a|b <unk>" in shown


def test_the_model_card_has_the_same_tables(run):
    text = (run.model_dir / "report.md").read_text(encoding="utf-8")
    assert text.startswith("---\nlibrary_name: keras\n")
    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert len(tables) == 6
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1
    loss = run.model.hyperparameters.loss_name
    assert f"| {loss} | {run.metrics['train'][loss]:.4f} " in text


@pytest.mark.parametrize("run", ["softmax"], indirect=True)
def test_the_projector_is_served_every_vector_and_its_name(run):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    logs = run.model_dir / "tensorboard"
    line = [sys.executable, "-m", "tensorboard.main", f"--logdir={logs}"]
    server = subprocess.Popen(
        [*line, "--host=127.0.0.1", f"--port={port}"], stderr=subprocess.DEVNULL
    )

    def get(path):
        address = f"http://127.0.0.1:{port}/data/plugin/projector/{path}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.read()

    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                runs = json.loads(get("runs"))
                if runs:
                    break
            except OSError:
                pass
            assert time.monotonic() < deadline, "tensorboard has no projector run"
            time.sleep(0.5)
        info = json.loads(get(f"info?run={runs[0]}"))
        sides = {each["tensorName"]: each for each in info["embeddings"]}
        assert {n: e["tensorShape"] for n, e in sides.items()} == {
            "in0": [2, 4],
            "in1": [7, 4],
        }
        raw = get(f"tensor?run={runs[0]}&name=in1")
        vectors = np.frombuffer(raw, np.float32).reshape(7, 4)
        names = get(f"metadata?run={runs[0]}&name=in1").decode().splitlines()[1:]
        table = run.model.enc1.get_weights()[0]
        for name, vector in zip(names, vectors, strict=True):
            number = int(name.split("\t")[0])
            np.testing.assert_allclose(vector, table[number], rtol=1e-4)
    finally:
        server.kill()
        server.wait()


def test_principal_components_keep_the_distances_that_there_are():
    random = np.random.default_rng(0)
    flat = random.normal(size=(20, 2)) @ np.linalg.qr(random.normal(size=(9, 2)))[0].T
    places = principal_components(flat.astype(np.float32))
    for one, other in ((0, 1), (3, 9), (19, 2)):
        assert np.linalg.norm(places[one] - places[other]) == pytest.approx(
            np.linalg.norm(flat[one] - flat[other]), rel=1e-4
        )
    assert places[:, 0].std() >= places[:, 1].std()
    assert principal_components(np.ones((1, 5), np.float32)).shape == (1, 2)


def test_figures_of_little_are_whole():
    assert "nan" not in curves("loss", {"train": [1.0]})
    one = scatter("x", np.ones((1, 3), np.float32), ["a&b"], np.array([2.0]))
    assert "nan" not in one
    assert "a&amp;b (2)" in one
