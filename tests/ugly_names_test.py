"""Every command works in directories of any name, with the same results in all."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import object2vec_tf as o2v
from export import export_saved_model
from tests.command_server import python_m
from tests.conftest import ratings_settings, write_ratings
from tests.export.gateway_test import gateway

pytestmark = pytest.mark.long

NAMES = {
    "brackets": b"run[1]",
    "stars": b"a*b?",
    "braces": b"{a,b}",
    "backslash": b"back\\slash\\",
    "spaces": b" a  b ",
    "unicode": "dé日\N{SNOWMAN}".encode(),
    "lines": b"new\nline\r\x1b[31m",
    "bytes": b"bad\xff\xfe",
    "long": b"x" * 200,
    "url": b"s3:a#b%20c&d=e",
    "home": b"~",
    "variable": b"$HOME",
    "quotes": b"'a\"<b>",
    "dash": b"--x=1",
}
SIGNALS = ("brackets", "bytes")
FILE = "a[1],b"  # the start of the names of files
KNOWN_LEFT = {".lock", ".transform.json"}


def command(*words, directory=None, status=0, **environment):
    """Runs a command in a fork; returns what it printed."""
    process = subprocess.run(
        [*python_m(words[0]), *map(str, words[1:])],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=300,
    )
    text = (process.stdout + process.stderr).decode(errors="replace")
    assert process.returncode == status, text
    assert "Traceback" not in text
    return process.stdout, process.stderr


def setting_flags(**changes):
    settings = {**ratings_settings(), **changes}
    return [f"--{name}={value}" for name, value in settings.items()]


def write_data(directory):
    """Writes all input files; returns the directory."""
    directory.mkdir(parents=True)
    for path in write_ratings(directory).values():
        path.rename(directory / f"{FILE}{path.name}")
    objects = [{"in1": [i]} for i in range(30)]
    words = [{"in0": f"w{i % 7} b", "in1": "a b c", "label": i % 2} for i in range(60)]
    rows = {
        "items.jsonl": objects[:-1],
        "more.jsonl": objects[-1:],
        "queries.jsonl": [{"in0": [i]} for i in range(5)],
        "text.jsonl": words,
    }
    for name, content in rows.items():
        lines = "".join(json.dumps(row) + "\n" for row in content)
        (directory / f"{FILE}{name}").write_text(lines)
    labels = [f"item {i}\n" for i in range(29)]
    (directory / f"{FILE}labels.txt").write_text("".join(labels))
    (directory / f"{FILE}label.txt").write_text("item 29\n")
    return directory


class Tour:
    """Runs the commands in a directory, and collects their results."""

    def __init__(self, directory):
        self.directory = directory
        self.results = {}

    def file(self, name):
        return f"{self.directory}/{FILE}{name}"

    def path(self, name):
        return f"{self.directory}/{name}"

    def keep(self, name):
        self.results[name] = Path(self.file(name)).read_bytes()

    def fit(self, model_dir="run", *flags, status=0):
        return command(
            "object2vec_tf.fit",
            f"--train={self.file('train.jsonl')}",
            f"--validation={self.directory}/*valid*.jsonl",
            f"--model_dir={self.path(model_dir)}",
            *setting_flags(),
            *flags,
            status=status,
        )

    def transform(self, output, *flags, model="run", source="queries.jsonl"):
        command(
            "object2vec_tf.transform",
            f"--model={self.path(model)}",
            f"--input={self.file(source)}",
            f"--output={self.file(output)}",
            *flags,
        )
        self.keep(output)

    def neighbors(self, verb, *flags):
        return command("object2vec_tf.neighbors", verb, *flags)[0]

    def train(self):
        self.fit("run", "--epochs=2", f"--cache_dir={self.path('cache')}")
        self.fit("run", "--epochs=3", f"--cache_dir={self.path('cache')}")
        self.fit("run", "--epochs=3")
        self.fit("warm", "--epochs=1", f"--initial_model={self.path('run')}")
        self.fit("warm", "--epochs=1", "--enc_dim=4", status=2)
        self.fit("warm", "--epochs=1", "--enc_dim=4", "--overwrite")
        for report in ("report.html", "report.md", "metrics.json"):
            text = Path(self.path("run"), report).read_text(encoding="utf-8")
            assert "validation" in text.lower()
        metrics = json.loads(Path(self.path("run/metrics.json")).read_bytes())
        self.results["metrics"] = metrics["validation"]
        events = list(Path(self.path("run/tensorboard")).rglob("events.out.*"))
        assert len(events) == 6  # of two processes
        assert all(path.stat().st_size > 100 for path in events)

    def export(self):
        items = [
            f"--items={self.file('items.jsonl')}",
            f"--labels={self.file('labels.txt')}",
        ]
        run = f"--model_dir={self.path('run')}"
        for _ in range(2):
            command("export", run, f"--export_dir={self.path('[e]')}", *items)
        command("export", run, f"--export_dir={self.path('onnx')}", "--format=onnx")
        assert {path.name for path in Path(self.path("[e]")).iterdir()} == {"1", "2"}

    def serve(self, runtime, model):
        flags = (f"--runtime={runtime}", "--reload_seconds=0.1")
        with gateway(f"--model={self.path(model)}", *flags) as served:
            address = f"http://127.0.0.1:{served.port}"
            self.results[f"served by {runtime}"] = ask(address)
            shutil.copytree(self.path(f"{model}/1"), self.path(f"{model}/.7"))
            Path(self.path(f"{model}/.7")).rename(self.path(f"{model}/7"))
            wait_for(lambda: "7" in versions(address))
            assert ask(address) == self.results[f"served by {runtime}"]

    def predict(self):
        self.transform("answers")
        self.transform("exported", model="[e]")
        self.transform("keras", model="run/model.keras")
        self.transform("onnx", "--runtime=onnx", model="onnx")
        self.transform("scores", source="test.jsonl")
        command(
            "object2vec_tf.transform",
            f"--model={self.path('run')}",
            f"--input={self.directory}/*tes?.jsonl,{self.file('queries.jsonl')}",
            f"--output={self.path('[o]')}/",
            "--format=parquet",
            "--on_error=mark",
        )
        parquet = Path(self.path("[o]"), f"{FILE}queries.jsonl.out.parquet")
        with parquet.open("rb") as file:
            self.results["parquet"] = pq.read_table(file).to_pylist()

    def search(self):
        index = f"--index={self.path('in[d]ex')}"
        labels = f"--labels={self.file('labels.txt')}"
        model = f"--model={self.path('run')}"
        items, queries = self.file("items.jsonl"), self.file("queries.jsonl")
        for _ in range(2):
            self.neighbors("build", model, f"--input={items}", index, labels)
        more = f"--input={self.file('more.jsonl')}"
        self.neighbors("add", more, index, f"--labels={self.file('label.txt')}")
        flags = ("--rescore", f"--exclude={self.file('train.jsonl')}", "-k", "3")
        output = f"--output={self.file('nearest')}"
        self.neighbors("query", f"--input={queries}", index, *flags, output)
        self.keep("nearest")
        pool = f"--pool={items}"
        test = f"--input={self.file('test.jsonl')}"
        self.results["evaluation"] = self.neighbors("evaluate", model, test, pool)

    def text(self):
        text, ids = f"--input={self.file('text.jsonl')}", self.file("ids")
        vocabulary = f"--enc0_vocab_file={self.file('vocab.json')}"
        word = "object2vec_tf.vocabulary"
        command(word, "build", text, f"--output={self.file('vocab.json')}")
        tokenizer = "--enc0_tokenizer=whitespace"
        command(word, "encode", text, f"--output={ids}", tokenizer, vocabulary)
        words = f"--output={self.file('words')}"
        command(word, "decode", f"--input={ids}", words, vocabulary)
        command(word, "shuffle", text, f"--output={self.file('shuffled')}")
        for name in ("vocab.json", "ids", "words", "shuffled"):
            self.keep(name)
        shutil.copy(self.file("vocab.json"), self.path("vocab.json"))
        command(
            "object2vec_tf.fit",
            f"--train={self.file('text.jsonl')}",
            f"--auxiliary={self.path('vocab.json')}",
            f"--model_dir={self.path('text')}",
            tokenizer,
            "--enc0_vocab_file=vocab.json",
            "--enc1_tokenizer=whitespace",
            "--enc1_vocab_file=vocab.json",
            *setting_flags(epochs=1, enc0_max_seq_len=3, enc1_max_seq_len=3),
        )

    def tune(self):
        for trials in (2, 3):
            command(
                "object2vec_tf.tune",
                f"--train={self.file('train.jsonl')}",
                f"--validation={self.file('validation.jsonl')}",
                f"--model_dir={self.path('study')}",
                "--objective=validation:mean_squared_error",
                f"--trials={trials}",
                *setting_flags(epochs=1),
            )
        self.transform("tuned", model="study/best")

    def sagemaker(self):
        prefix = Path(self.path("ml"))
        for name in ("input/config", "input/data/train", "model"):
            (prefix / name).mkdir(parents=True)
        shutil.copy(self.file("train.jsonl"), prefix / f"input/data/train/{FILE}.jsonl")
        settings = {name: f"{value}" for name, value in ratings_settings().items()}
        (prefix / "input/config/hyperparameters.json").write_text(json.dumps(settings))
        command("object2vec_tf.sagemaker", "train", f"--prefix={prefix}")
        assert (prefix / "model/export/1/saved_model.pb").exists()
        assert not (prefix / "output/failure").exists()

    def python(self):
        run = o2v.load(self.path("run"))
        self.results["embeddings"] = run.embed([[3], [4]], encoder=0).tolist()
        run.save(self.file("saved.keras"))
        again = o2v.load(self.file("saved.keras")).embed([[3], [4]], encoder=0)
        assert again.tolist() == self.results["embeddings"]
        exported = export_saved_model(run, self.path("by python"))
        assert exported.name == "1"
        run.export(self.path("by keras"))
        pairs = o2v.read_pairs(self.file("train.jsonl"), run.hyperparameters)
        assert len(pairs) == 300
        o2v.fit(
            run.hyperparameters,
            train=[Path(self.file("train.jsonl"))],
            model_dir=self.path("fitted"),
            verbose=False,
        )

    def relative(self):
        """Uses relative paths, an ASCII terminal, and temporary files with the name."""
        environment = {"TMPDIR": str(self.directory), "PYTHONIOENCODING": "ascii"}
        for epochs in (1, 2):
            command(
                "object2vec_tf.fit",
                f"--train={FILE}train.jsonl",
                "--model_dir=[rel]",
                *setting_flags(epochs=epochs),
                directory=self.directory,
                **environment,
            )
        flags = ("--model=[rel]", f"--input={FILE}queries.jsonl")
        command(
            "object2vec_tf.transform", *flags, directory=self.directory, **environment
        )
        self.keep("queries.jsonl.out")

    def problems(self):
        """Messages have one line that ASCII terminals show, and name the file."""
        for encoding in ("ascii", "utf-8"):
            for name, flag in (("none", "model"), ("run", "input")):
                paths = {"model": self.path("run"), "input": self.file("test.jsonl")}
                paths[flag] = self.path("none")
                _, error = command(
                    "object2vec_tf.transform",
                    *(f"--{key}={value}" for key, value in paths.items()),
                    status=2,
                    PYTHONIOENCODING=encoding,
                )
                text = error.decode(encoding)
                assert text.startswith("error: "), name
                assert text.count("\n") == 1
                assert "none" in text
                assert "\x1b" not in text


def versions(address):
    with urllib.request.urlopen(f"{address}/v1/models/object2vec") as answer:
        status = json.loads(answer.read())["model_version_status"]
    return [version["version"] for version in status]


def ask(address):
    body = json.dumps({"instances": [{"in0": [3]}, {"in0": [4]}]}).encode()
    request = urllib.request.Request(
        f"{address}/invocations", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def take_tour(directory):
    tour = Tour(write_data(directory))
    tour.train()
    tour.export()
    tour.predict()
    tour.search()
    tour.text()
    tour.tune()
    tour.sagemaker()
    tour.python()
    tour.relative()
    tour.problems()
    tour.serve("tensorflow", "[e]")
    tour.serve("onnx", "onnx")
    return tour.results


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The results in a directory of an ordinary name."""
    return take_tour(tmp_path_factory.mktemp("ordinary") / "directory")


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_the_same_results(tmp_path, expected, name):
    directory = tmp_path / os.fsdecode(NAMES[name])
    results = take_tour(directory)
    assert results.keys() == expected.keys()
    for key, value in results.items():
        assert value == expected[key], key
    left = [path for path in directory.rglob(".*") if path.name not in KNOWN_LEFT]
    assert not left


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The answers of a run of 60 epochs."""
    tour = Tour(write_data(tmp_path_factory.mktemp("ordinary") / "directory"))
    tour.fit("run", "--epochs=60")
    tour.transform("answers")
    return tour.results["answers"]


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_is_resumed(tmp_path, uninterrupted, name, number):
    tour = Tour(write_data(tmp_path / os.fsdecode(NAMES[name])))
    words = [
        f"--train={tour.file('train.jsonl')}",
        f"--validation={tour.file('validation.jsonl')}",
        f"--model_dir={tour.path('run')}",
        *setting_flags(epochs=60),
    ]
    process = subprocess.Popen([sys.executable, "-m", "object2vec_tf.fit", *words])
    history = Path(tour.path("run/history.jsonl"))
    wait_for(lambda: history.exists() and history.read_bytes().count(b"\n") > 3)
    process.send_signal(number)
    assert process.wait(60) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    assert history.read_bytes().count(b"\n") < 60
    tour.fit("run", "--epochs=60")
    tour.transform("answers")
    assert tour.results["answers"] == uninterrupted
