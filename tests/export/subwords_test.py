"""Models with subwords: runs, resume, the SavedModel, the gateway and transform."""

import json
import subprocess

import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.ragged.token_ids import SubwordIds
from object2vec_tf.text.tokenizer import load_text_ops
from tests.command_server import python_m
from tests.export.conftest import start_model_server
from tests.export.gateway_test import gateway
from tests.export.text_test import predict
from tests.fasttext_ngrams import buckets_of

pytestmark = pytest.mark.long
TIMEOUT = 600

WORDS = ["[UNK]", "dog", "über", "日本", "the"]
TEXTS = [
    "the dogs",
    "",
    "日本語 🎉🎉 überall dog the dog zebra",
    "naïve dog",
    "x y z w",
]
SUBWORDS = SubwordIds(len(WORDS), shortest=3, longest=6, buckets=30)
FLAGS = {
    "enc0_network": "pooled_embedding",
    "enc0_tokenizer": "whitespace",
    "enc0_vocab_file": "words.json",
    "enc0_max_seq_len": 4,
    "enc0_subword_ngrams": "3..6",
    "enc0_subword_buckets": 30,
    "enc_dim": 6,
    "mlp_dim": 4,
    "learning_rate": 0.01,
    "token_embedding_storage_type": "row_sparse",
}


def run(module, **options):
    flags = [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [*python_m(module), *flags],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A run of two epochs, the second of which resumed it."""
    path = tmp_path_factory.mktemp("subwords")
    words = {word: id_ for id_, word in enumerate(WORDS)}
    (path / "words.json").write_text(json.dumps(words))
    rows = [
        {"in0": text, "in1": TEXTS[number % 3], "label": number % 2}
        for number, text in enumerate(TEXTS * 8)
    ]
    (path / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    files = dict.fromkeys(("train", "validation"), path / "train.jsonl")
    files |= {"auxiliary": path / "words.json", "model_dir": path / "run"}
    run("object2vec_tf.fit", epochs=1, **files, **FLAGS)
    out = run("object2vec_tf.fit", epochs=2, **files, **FLAGS)
    assert json.loads((path / "run/metrics.json").read_text())["epochs_run"] == 2, out
    return path


@pytest.fixture(scope="module")
def model(directory):
    return o2v.load(directory / "run")


def ids_of(text, limit):
    """The ids of the first words of a text."""
    ids = []
    for word in text.split()[:limit]:
        if word in WORDS:
            ids.append(WORDS.index(word))
        else:
            first, *others = buckets_of(word.encode(), SUBWORDS)
            ids += [5 + first, *(35 + bucket for bucket in others)]
    return ids


def test_the_exported_run_equals_the_saved_model(directory, model):
    path = directory / "run/export/2"  # that of the resumed run
    load_text_ops()
    signatures = tf.saved_model.load(str(path)).signatures
    tokenized = signatures["tokenize_in0"](in0=tf.constant(TEXTS))["ids"].numpy()
    assert [row[row >= 0].tolist() for row in tokenized] == [
        ids_of(text, 4) for text in TEXTS
    ]
    texts = {"in0": tf.constant(TEXTS), "in1": tf.constant(TEXTS[::-1])}
    scores = signatures["predict_pair_text"](**texts)["scores"].numpy()
    np.testing.assert_array_equal(
        scores, model.score(list(zip(TEXTS, TEXTS[::-1], strict=True)))
    )
    for side in (0, 1):
        embed = signatures[f"embed_enc{side}_text"]
        found = embed(**{f"in{side}": texts["in0"]})["embeddings"].numpy()
        np.testing.assert_array_equal(found, model.embed(TEXTS, encoder=side))


@pytest.mark.parametrize("backend", ["local", "tf_serving"])
def test_the_gateway_takes_texts_and_ids(directory, model, backend, tmp_path):
    def check(served):
        expected = model.embed(TEXTS)
        rows = [{"in0": text} for text in TEXTS]
        found = [row["embeddings"] for row in predict(served, rows)]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        ids = [{"in0": ids_of(text, 99)} for text in TEXTS]
        assert predict(served, ids) == predict(served, rows)
        short = predict(served, rows, "application/jsonlines; infer_max_seqlens=2,2")
        cut = [{"in0": ids_of(text, 2)} for text in TEXTS]
        assert short == predict(served, cut, "application/jsonlines")

    export = directory / "run/export"
    if backend == "local":
        with gateway(f"--model={export}") as served:
            check(served)
        return
    with start_model_server({"words": export}, tmp_path) as server:
        flags = [f"--tf_serving={server.address}", "--model_name=words"]
        with gateway(*flags) as served:
            check(served)


def test_transform_and_neighbors_take_words_never_seen(directory, model, tmp_path):
    items = tmp_path / "items.jsonl"
    items.write_text("".join(json.dumps({"in1": text}) + "\n" for text in TEXTS))
    output = tmp_path / "out.jsonl"
    out = run(
        "object2vec_tf.transform", model=directory / "run", input=items, output=output
    )
    found = [json.loads(line)["embeddings"] for line in output.read_text().splitlines()]
    np.testing.assert_allclose(found, model.embed(TEXTS, encoder=1), atol=1e-6)
    assert "have only the vectors of their n-grams" in out
    assert "do not distinguish" not in out
    queries = tmp_path / "queries.jsonl"
    queries.write_text(json.dumps({"in1": TEXTS[3]}) + "\n")
    index = tmp_path / "index"
    python = python_m("object2vec_tf.neighbors")
    build = ["build", f"--model={directory / 'run'}", f"--input={items}"]
    query = ["query", f"--input={queries}", "-k", "1"]
    for verb in (build, query):
        done = subprocess.run(
            [*python, *verb, f"--index={index}"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    (neighbor,) = json.loads(done.stdout.splitlines()[-1])["neighbors"]
    assert neighbor["item"] == {"in1": TEXTS[3]}
