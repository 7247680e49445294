"""Models trained on text: their signatures, the gateway and transform."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from export import export_saved_model
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.model.loading import load_object2vec
from tests.command_server import python_m
from tests.export.conftest import TIMEOUT, make_model, start_model_server
from tests.export.gateway_test import gateway

WORDS = ["a", "man", "sleeps", "dog", "🎉", "naïve", "日本", "the", ".", "red wine"]
PIECES = "[UNK]\nun\n##break\n##able\nman\n##s\na\ndog\nsleep\n日\n##本\n🎉\n."
MAX_LENS = {"in0": 6, "in1": 4}

TEXTS = [
    "a man sleeps",
    "",
    "The DOG. sleeps",
    "zzz unknown",
    "naïve 🎉\u3000日本",
    "a\0man\x1b\n\tsleeps",
    "dog " * 25_000,
    "x" * 100_000,
    "a\u0301 man\u200b \ufeffdog",
]


def text_model(directory, kind, sides=("in0", "in1"), network="pooled_embedding"):
    """Returns a model whose named inputs are text; the others are token ids."""
    directory.mkdir(parents=True, exist_ok=True)
    if kind == "wordpiece":
        (directory / "vocab").write_text(PIECES)
    else:
        words = {word: i for i, word in enumerate([*WORDS, "[UNK]"])}
        (directory / "vocab").write_text(json.dumps(words))
    settings = {}
    for side in sides:
        options = {"tokenizer": kind, "vocab_file": "vocab", "lowercase": True}
        settings |= {f"enc{side[-1]}_{name}": v for name, v in options.items()}
    return make_model(network, **settings, auxiliary=directory)


@pytest.fixture(scope="module")
def text_models(tmp_path_factory):
    """Returns a function from a tokenizer to a model and its exported directory."""
    models = {}

    def get(kind, sides=("in0", "in1"), network="pooled_embedding"):
        key = (kind, sides, network)
        if key not in models:
            directory = tmp_path_factory.mktemp("text")
            model = text_model(directory / "auxiliary", kind, sides, network)
            export_saved_model(model, directory / "models")
            model.save(directory / "model.keras")
            models[key] = model, directory
        return models[key]

    return get


def ids_of(model, side, rows):
    """Returns the token ids of texts and lists, tokenized one at a time."""
    tokenizer = model.tokenizers[int(side[-1])]
    all_ids = []
    for row in rows:
        if isinstance(row, str):
            ids, _ = tokenizer.of_texts(tf.constant([row]))
        else:
            items = tf.ragged.constant([row], dtype=tf.string, ragged_rank=1)
            ids, _ = tokenizer.of_lists(items)
        all_ids.append(ids.to_list()[0][: MAX_LENS[side]])
    return all_ids


@pytest.mark.parametrize(
    ("kind", "network"),
    [
        ("whitespace", "pooled_embedding"),
        pytest.param("unicode_script", "hcnn", marks=pytest.mark.long),
        pytest.param("wordpiece", "bilstm", marks=pytest.mark.long),
    ],
)
@pytest.mark.long
def test_text_signatures_equal_id_signatures_in_another_process(
    text_models, kind, network
):
    model, directory = text_models(kind, network=network)
    program = """
import json, sys
import tensorflow as tf, tensorflow_text
texts = json.loads(sys.stdin.read())
signatures = tf.saved_model.load(sys.argv[1]).signatures
predictions = {}
for side in ("in0", "in1"):
    embed = signatures[f"embed_enc{side[-1]}_text"]
    embeddings = embed(**{side: tf.constant(texts)})["embeddings"]
    predictions[side] = embeddings.numpy().tolist()
pairs = signatures["predict_pair_text"](
    in0=tf.constant(texts), in1=tf.constant(texts[::-1])
)
predictions["pairs"] = pairs["scores"].numpy().tolist()
print(json.dumps(predictions))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, directory / "models/1"],
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    predictions = {n: np.float32(p) for n, p in json.loads(done.stdout).items()}
    served = tf.saved_model.load(str(directory / "models/1")).signatures
    padded = {}
    for side in ("in0", "in1"):
        ids = ids_of(model, side, TEXTS)
        assert len({len(row) for row in ids}) > 2
        padded[side] = tf.ragged.constant(ids, dtype=tf.int64).to_tensor(-1)
        expected = served[f"embed_enc{side[-1]}"](**{side: padded[side]})["embeddings"]
        np.testing.assert_array_equal(predictions[side], expected)
    pairs = served["predict_pair"](in0=padded["in0"], in1=padded["in1"][::-1])["scores"]
    np.testing.assert_array_equal(predictions["pairs"], pairs)


def test_python_predictions_equal_those_of_the_saved_model(text_models):
    model, directory = text_models("whitespace")
    predictor = load_model(directory / "models")
    generator = np.random.default_rng(3)
    words = [*TEXTS, ["red wine", "dog"], []]
    # More objects of different lengths than one call of the model takes.
    ids = [generator.integers(0, 30, i % 9).tolist() for i in range(2500)]
    for rows in (words, ids):
        in0, in1 = rows, rows[::-1]
        tokens, _ = predictor.tokenize({"in0": in0, "in1": in1})
        padded = {
            name: tf.ragged.constant(objects, tf.int64).to_tensor(-1).numpy()
            for name, objects in tokens.items()
        }
        expected = predictor.run_signature("embed_enc0", {"in0": padded["in0"]})
        np.testing.assert_allclose(model.embed(in0), expected, atol=1e-6)
        expected = predictor.run_signature("embed_enc1", {"in1": padded["in1"]})
        np.testing.assert_allclose(model.embed(in1, encoder=1), expected, atol=1e-6)
        expected = predictor.run_signature("predict_pair", padded)
        pairs = list(zip(in0, in1, strict=True))
        np.testing.assert_allclose(model.score(pairs), expected, atol=1e-6)
        np.testing.assert_array_equal(
            model.score({"in0": in0, "in1": in1}), model.score(pairs)
        )


def test_a_saved_model_keeps_its_tokenizers(text_models):
    model, directory = text_models("wordpiece", ("in0",))
    loaded = load_object2vec(directory / "model.keras")
    assert loaded.tokenizers[1] is None
    assert ids_of(loaded, "in0", TEXTS) == ids_of(model, "in0", TEXTS)
    again = export_saved_model(loaded, directory / "again")
    for name in ("golden.jsonl", "tf_serving_warmup_requests"):
        file = f"assets.extra/{name}"
        assert (again / file).read_bytes() == (
            directory / "models/1" / file
        ).read_bytes()


def test_inputs_with_the_same_settings_share_one_tokenizer(text_models):
    model, directory = text_models("whitespace")
    loaded = load_object2vec(directory / "model.keras")
    for text_model in (model, loaded):
        assert text_model.tokenizers[0] is text_model.tokenizers[1]


@pytest.mark.long
def test_one_side_of_text_and_one_of_ids(text_models):
    model, directory = text_models("whitespace", ("in0",))
    signatures = tf.saved_model.load(str(directory / "models/1")).signatures
    assert "embed_enc0_text" in signatures
    assert "embed_enc1_text" not in signatures
    scores = signatures["predict_pair_text"](
        in0=tf.constant(["a man"]), in1=tf.constant([[3, -1, 4]], tf.int64)
    )["scores"]
    expected = model(
        {
            "in0": tf.ragged.constant(ids_of(model, "in0", ["a man"]), tf.int64),
            "in1": tf.ragged.constant([[3, 4]], tf.int64),
        }
    )
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_a_model_without_its_tokenizer_is_not_exported(tmp_path):
    settings = make_model().hyperparameters.to_dict() | {
        "enc0_tokenizer": "whitespace",
        "enc0_vocab_file": "vocab",
    }
    with pytest.raises(
        o2v.UserError, match="expected a tokenizer for in0, got a model without"
    ):
        export_saved_model(o2v.Object2Vec(settings), tmp_path)


@pytest.fixture(scope="module", params=["local", "tf_serving"])
def gateway_and_model(request, text_models, tmp_path_factory):
    """A gateway for a text model, with the local or the TF Serving backend."""
    model, directory = text_models("whitespace")
    if request.param == "local":
        with gateway(f"--model={directory / 'models'}") as served:
            yield served, model
        return
    path = tmp_path_factory.mktemp("server")
    with start_model_server({"words": directory / "models"}, path) as server:
        flags = [f"--tf_serving={server.address}", "--model_name=words"]
        with gateway(*flags) as served:
            yield served, model


OBJECTS = [*TEXTS[:6], ["a", "red wine", ""], [], [1, 2, 3], ["zzz"], [0] * 9]


def expected_ids(model, side):
    all_ids = []
    for row in OBJECTS:
        if isinstance(row, list) and all(isinstance(item, int) for item in row):
            all_ids.append(row[: MAX_LENS[side]])
        else:
            all_ids += ids_of(model, side, [row])
    return all_ids


def predict(served, objects, media_type="application/json"):
    lines = "\n".join(map(json.dumps, objects))
    body = {
        "application/json": json.dumps({"instances": objects}),
        "application/jsonlines": lines,
    }[media_type.split(";")[0]]
    status, _, content = served.request(body.encode(), {"Content-Type": media_type})
    assert status == 200, content
    if media_type == "application/json":
        return json.loads(content)["predictions"]
    return [json.loads(line) for line in content.splitlines()]


@pytest.mark.parametrize("media_type", ["application/json", "application/jsonlines"])
def test_a_request_mixes_texts_lists_of_strings_and_ids(gateway_and_model, media_type):
    served, model = gateway_and_model
    for side in MAX_LENS:
        objects = [{side: row} for row in OBJECTS]
        predictions = predict(served, objects, media_type)
        ids = [{side: row} for row in expected_ids(model, side)]
        assert predictions == predict(served, ids, media_type)
        assert len({json.dumps(row) for row in predictions}) > 5
    pairs = [{"in0": a, "in1": b} for a, b in zip(OBJECTS, OBJECTS[::-1], strict=True)]
    both = zip(
        expected_ids(model, "in0"), expected_ids(model, "in1")[::-1], strict=True
    )
    ids = [{"in0": a, "in1": b} for a, b in both]
    assert predict(served, pairs, media_type) == predict(served, ids, media_type)


def test_infer_max_seqlens_counts_tokens_not_characters(gateway_and_model):
    served, model = gateway_and_model
    media_type = "application/jsonlines; infer_max_seqlens=2,1"
    predictions = predict(served, [{"in0": "a man sleeps"}], media_type)
    ids = ids_of(model, "in0", ["a man"])[0]
    assert predictions == predict(served, [{"in0": ids}], "application/jsonlines")


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        (["a", 1], "$.instances[0].in0[1]", "expected only token ids or only strings"),
        ([1, "a"], "$.instances[0].in0[1]", "expected only token ids or only strings"),
        ([1.5], "$.instances[0].in0[0]", "expected an integer or a string, got 1.5"),
        ({}, "$.instances[0].in0", "ids, a string, or a list of strings, got {}"),
        ([50], "$.instances[0].in0[0]", "below enc0_vocab_size=50, got 50"),
    ],
)
def test_an_object_that_is_neither_text_nor_ids_is_an_error(
    gateway_and_model, value, path, message
):
    served, _ = gateway_and_model
    body = json.dumps({"instances": [{"in0": value}]}).encode()
    status, _, content = served.request(body)
    error = json.loads(content)["error"]
    assert (status, error["path"]) == (400, path)
    assert message in error["message"]


def test_unknown_tokens_are_counted(gateway_and_model):
    served, _ = gateway_and_model

    def count():
        text = served.request(b"", path="/metrics", method="GET")[2].decode()
        (line,) = (
            line
            for line in text.splitlines()
            if line.startswith("object2vec_unknown_tokens_total ")
        )
        return float(line.split()[1])

    before = count()
    predict(served, [{"in0": "zzz a yyy"}])
    assert count() == before + 2


def test_a_model_of_ids_takes_no_text(exported):
    with gateway(f"--model={exported().directory}") as served:
        body = json.dumps({"instances": [{"in0": "a man"}]}).encode()
        status, _, content = served.request(body)
    assert status == 400
    message = json.loads(content)["error"]["message"]
    assert "expected a list of token ids, got" in message
    assert "takes no text" in message


@pytest.mark.long
def test_transform_takes_text(text_models, tmp_path):
    model, directory = text_models("unicode_script")
    source = tmp_path / "pairs.jsonl"
    generator = random.Random(0)
    rows = [
        {"in0": " ".join(generator.choices(WORDS, k=n % 9)), "in1": [], "label": 1}
        for n in range(300)
    ]
    for number, row in enumerate(rows):
        row["in1"] = row["in0"].split() if number % 2 else row["in0"][::-1]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    subprocess.run(
        [
            *python_m("object2vec_tf.transform"),
            f"--model={directory / 'models'}",
            f"--input={source}",
        ],
        check=True,
        timeout=TIMEOUT,
        capture_output=True,
    )
    lines = (tmp_path / "pairs.jsonl.out").read_text().splitlines()
    assert len(lines) == len(rows)
    predictor = load_model(directory / "models")
    for number in (0, 1, 7, 299):
        ids = {
            side: tf.ragged.constant(
                ids_of(model, side, [rows[number][side]]), tf.int64
            )
            for side in MAX_LENS
        }
        padded = {side: row.to_tensor(-1).numpy() for side, row in ids.items()}
        expected = predictor.run_signature("predict_pair", padded)
        scores = json.loads(lines[number])["scores"]
        np.testing.assert_allclose(scores, expected[0], rtol=1e-5, atol=1e-6)
