"""A finished run, a TensorBoard server and a corpus of text, for several tests."""

import collections
import contextlib
import json
import random
import socket
import subprocess
import time
import types
import urllib.request

import pytest

import object2vec_tf as o2v
from tests.command_server import python_m

WORDS = ["<unk>", "cat", "dog", "<b>", "a|b", "</script>"]
TEXTS = ["cat dog", "<b> a|b bird", "dog </script> cat cat", "", "a|b dog"]
LETTERS = ["a", "b", "cc", "é", "日本", "🎉", "d.", '"', "\\"]
ITEMS = 40
# Names of the first items.
NAMES = ["<script>x</script>", "*[a](b)* | `c`", "Tom & Jerry", "", "_e_ f_g"]
TIMEOUT = 120  # seconds


def rows_of(count):
    return [
        {
            "in0": TEXTS[i * 7 % 5],
            "in1": [i % ITEMS],
            "label": i % ITEMS % 2 if i % 9 else 1,
        }
        for i in range(count)
    ]


@pytest.fixture(scope="session", params=["softmax", "mean_squared_error"])
def run(request, tmp_path_factory):
    """A run of texts and ids, with a bad line and with names that look like markup.

    It has the attributes of `o2v.Run`, and ``rows`` by channel.
    """
    folder = tmp_path_factory.mktemp("run")
    (folder / "words").mkdir()
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    (folder / "words/vocab.json").write_text(json.dumps(vocabulary))
    rows = {"train": rows_of(200), "validation": rows_of(49), "test": rows_of(25)}
    for name, channel in rows.items():
        lines = "".join(json.dumps(row) + "\n" for row in channel)
        (folder / f"{name}.jsonl").write_text(lines)
    with (folder / "train.jsonl").open("a") as file:
        file.write('{"in0": "cat", "in1": [99], "label": 1}\n')
    items = "".join(json.dumps({"in1": [i]}) + "\n" for i in range(len(NAMES)))
    (folder / "items.jsonl").write_text(items)
    (folder / "names.tsv").write_text("\n".join(NAMES) + "\n")
    result = o2v.fit(
        {
            "enc0_network": "pooled_embedding",
            "enc0_tokenizer": "whitespace",
            "enc0_vocab_file": "vocab.json",
            "enc0_max_seq_len": 3,
            "enc1_network": "pooled_embedding",
            "enc1_vocab_size": ITEMS,
            "enc1_max_seq_len": 1,
            "enc_dim": 4,
            "epochs": 3,
            "mini_batch_size": 32,
            "output_layer": request.param,
        },
        **{name: folder / f"{name}.jsonl" for name in rows},
        auxiliary=folder / "words",
        items=folder / "items.jsonl",
        labels=folder / "names.tsv",
        max_bad_lines=1,
        model_dir=folder / "<my> run",
        verbose=False,
    )
    return types.SimpleNamespace(**vars(result), rows=rows)


@contextlib.contextmanager
def tensorboard(logs):
    """Yields the address of a TensorBoard whose Projector has found embeddings."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    line = [*python_m("tensorboard.main"), f"--logdir={logs}"]
    server = subprocess.Popen(
        [*line, "--host=127.0.0.1", f"--port={address.rpartition(':')[2]}"],
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + TIMEOUT
        while True:
            with contextlib.suppress(OSError):
                if json.loads(fetch(f"{address}/data/plugin/projector/runs")):
                    break
            assert time.monotonic() < deadline, "tensorboard has no projector run"
            time.sleep(0.5)
        yield address
    finally:
        server.kill()
        server.wait()


def fetch(address):
    """Returns the body of the response to a GET request."""
    with urllib.request.urlopen(address, timeout=10) as response:
        return response.read()


@pytest.fixture
def corpus(tmp_path):
    """A file of 600 lines: texts in in0, texts or lists of words in in1.

    Attributes are its path, all its words, and its distinct words, most frequent first.
    """
    generator = random.Random(3)
    words, lines = [], []
    for number in range(600):
        sides = []
        for _ in range(2):
            weights = range(len(LETTERS), 0, -1)
            chosen = generator.choices(LETTERS, weights, k=number % 8)
            chosen = [w + str(generator.randrange(40)) for w in chosen] + chosen
            words += chosen
            sides.append(chosen)
        in1 = sides[1] if number % 2 else "  ".join(sides[1])
        row = {"in0": " ".join(sides[0]), "in1": in1, "label": number % 3}
        lines.append(json.dumps(row, ensure_ascii=bool(number % 5)))
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n\n".join(lines), encoding="utf-8")
    counts = collections.Counter(words)
    words_by_count = sorted(counts, key=lambda word: (-counts[word], word))
    return types.SimpleNamespace(path=path, words=words, words_by_count=words_by_count)
