"""Text in, text out: what a model trained with text answers at every door."""

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
from tests.export.conftest import PATIENCE, make_model, start_model_server
from tests.export.gateway_test import gateway

WORDS = ["a", "man", "sleeps", "dog", "🎉", "naïve", "日本", "the", ".", "red wine"]
PIECES = "[UNK]\nun\n##break\n##able\nman\n##s\na\ndog\nsleep\n日\n##本\n🎉\n."
LONGEST = {"in0": 6, "in1": 4}

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
    """A model whose sides are text, but for those that are not named."""
    directory.mkdir(parents=True, exist_ok=True)
    if kind == "wordpiece":
        (directory / "vocab").write_text(PIECES)
    else:
        words = {word: i for i, word in enumerate([*WORDS, "[UNK]"])}
        (directory / "vocab").write_text(json.dumps(words))
    settings = {}
    for side in sides:
        of_side = {"tokenizer": kind, "vocab_file": "vocab", "lowercase": True}
        settings |= {f"enc{side[-1]}_{name}": v for name, v in of_side.items()}
    return make_model(network, **settings, auxiliary=directory)


@pytest.fixture(scope="module")
def text_models(tmp_path_factory):
    """Returns a model of a kind, and the directory that it was exported to."""
    made = {}

    def get(kind, sides=("in0", "in1"), network="pooled_embedding"):
        key = (kind, sides, network)
        if key not in made:
            directory = tmp_path_factory.mktemp("text")
            model = text_model(directory / "auxiliary", kind, sides, network)
            export_saved_model(model, directory / "models")
            model.save(directory / "model.keras")
            made[key] = model, directory
        return made[key]

    return get


def ids_of(model, side, rows):
    """The token ids of texts and lists, each by itself, by the model's tokenizer."""
    tokenizer = model.tokenizers[int(side[-1])]
    found = []
    for row in rows:
        if isinstance(row, str):
            ids, _ = tokenizer.of_texts(tf.constant([row]))
        else:
            items = tf.ragged.constant([row], dtype=tf.string, ragged_rank=1)
            ids, _ = tokenizer.of_lists(items)
        found.append(ids.to_list()[0][: LONGEST[side]])
    return found


@pytest.mark.parametrize(
    ("kind", "network"),
    [
        ("whitespace", "pooled_embedding"),
        pytest.param("unicode_script", "hcnn", marks=pytest.mark.long),
        pytest.param("wordpiece", "bilstm", marks=pytest.mark.long),
    ],
)
def test_a_text_is_answered_as_its_ids_are_in_a_fresh_process(
    text_models, kind, network
):
    model, directory = text_models(kind, network=network)
    program = """
import json, sys
import tensorflow as tf, tensorflow_text
texts = json.loads(sys.stdin.read())
signatures = tf.saved_model.load(sys.argv[1]).signatures
answers = {}
for side in ("in0", "in1"):
    embed = signatures[f"embed_enc{side[-1]}_text"]
    answers[side] = embed(**{side: tf.constant(texts)})["embeddings"].numpy().tolist()
pairs = signatures["predict_pair_text"](
    in0=tf.constant(texts), in1=tf.constant(texts[::-1])
)
answers["pairs"] = pairs["scores"].numpy().tolist()
print(json.dumps(answers))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, directory / "models/1"],
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = {name: np.float32(a) for name, a in json.loads(done.stdout).items()}
    served = tf.saved_model.load(str(directory / "models/1")).signatures
    padded = {}
    for side in ("in0", "in1"):
        ids = ids_of(model, side, TEXTS)
        assert len({len(row) for row in ids}) > 2
        padded[side] = tf.ragged.constant(ids, dtype=tf.int64).to_tensor(-1)
        expected = served[f"embed_enc{side[-1]}"](**{side: padded[side]})["embeddings"]
        np.testing.assert_array_equal(answers[side], expected)
    pairs = served["predict_pair"](in0=padded["in0"], in1=padded["in1"][::-1])["scores"]
    np.testing.assert_array_equal(answers["pairs"], pairs)


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


def test_both_sides_share_one_tokenizer_where_they_are_alike(text_models):
    model, directory = text_models("whitespace")
    loaded = load_object2vec(directory / "model.keras")
    for each in (model, loaded):
        assert each.tokenizers[0] is each.tokenizers[1]


def test_one_side_of_text_and_one_of_ids(text_models):
    model, directory = text_models("whitespace", ("in0",))
    signatures = tf.saved_model.load(str(directory / "models/1")).signatures
    assert "embed_enc0_text" in signatures
    assert "embed_enc1_text" not in signatures
    got = signatures["predict_pair_text"](
        in0=tf.constant(["a man"]), in1=tf.constant([[3, -1, 4]], tf.int64)
    )["scores"]
    expected = model(
        {
            "in0": tf.ragged.constant(ids_of(model, "in0", ["a man"]), tf.int64),
            "in1": tf.ragged.constant([[3, 4]], tf.int64),
        }
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_model_without_its_tokenizer_is_not_exported(tmp_path):
    settings = make_model().hyperparameters.to_dict() | {
        "enc0_tokenizer": "whitespace",
        "enc0_vocab_file": "vocab",
    }
    with pytest.raises(
        o2v.UserError, match="expected a tokenizer for in0, got a model without"
    ):
        export_saved_model(o2v.Object2Vec(settings), tmp_path)


@pytest.fixture(scope="module", params=["in process", "behind TF Serving"])
def door(request, text_models, tmp_path_factory):
    """A model of text and one of ids and text, and a gateway to it."""
    model, directory = text_models("whitespace")
    if request.param == "in process":
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
    found = []
    for each in OBJECTS:
        if isinstance(each, list) and all(isinstance(item, int) for item in each):
            found.append(each[: LONGEST[side]])
        else:
            found += ids_of(model, side, [each])
    return found


def answers(served, objects, media_type="application/json"):
    lines = "\n".join(map(json.dumps, objects))
    body = {
        "application/json": json.dumps({"instances": objects}),
        "application/jsonlines": lines,
    }[media_type.split(";")[0]]
    status, _, answer = served.ask(body.encode(), {"Content-Type": media_type})
    assert status == 200, answer
    if media_type == "application/json":
        return json.loads(answer)["predictions"]
    return [json.loads(line) for line in answer.splitlines()]


@pytest.mark.parametrize("media_type", ["application/json", "application/jsonlines"])
def test_the_gateway_takes_texts_lists_of_strings_and_ids_together(door, media_type):
    served, model = door
    for side in LONGEST:
        objects = [{side: each} for each in OBJECTS]
        got = answers(served, objects, media_type)
        ids = [{side: each} for each in expected_ids(model, side)]
        assert got == answers(served, ids, media_type)
        assert len({json.dumps(row) for row in got}) > 5
    pairs = [{"in0": a, "in1": b} for a, b in zip(OBJECTS, OBJECTS[::-1], strict=True)]
    both = zip(
        expected_ids(model, "in0"), expected_ids(model, "in1")[::-1], strict=True
    )
    ids = [{"in0": a, "in1": b} for a, b in both]
    assert answers(served, pairs, media_type) == answers(served, ids, media_type)


def test_lengths_of_one_request_cut_tokens_not_characters(door):
    served, model = door
    media_type = "application/jsonlines; infer_max_seqlens=2,1"
    got = answers(served, [{"in0": "a man sleeps"}], media_type)
    ids = ids_of(model, "in0", ["a man"])[0]
    assert got == answers(served, [{"in0": ids}], "application/jsonlines")


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
def test_what_is_neither_text_nor_ids_is_told(door, value, path, message):
    served, _ = door
    body = json.dumps({"instances": [{"in0": value}]}).encode()
    status, _, answer = served.ask(body)
    error = json.loads(answer)["error"]
    assert (status, error["path"]) == (400, path)
    assert message in error["message"]


def test_unknown_tokens_are_counted(door):
    served, _ = door

    def count():
        text = served.ask(b"", path="/metrics", method="GET")[2].decode()
        (line,) = (
            line
            for line in text.splitlines()
            if line.startswith("object2vec_unknown_tokens_total ")
        )
        return float(line.split()[1])

    before = count()
    answers(served, [{"in0": "zzz a yyy"}])
    assert count() == before + 2


def test_a_model_of_ids_says_that_it_takes_no_text(exported):
    with gateway(f"--model={exported().directory}") as served:
        body = json.dumps({"instances": [{"in0": "a man"}]}).encode()
        status, _, answer = served.ask(body)
    assert status == 400
    told = json.loads(answer)["error"]["message"]
    assert "expected a list of token ids, got" in told
    assert "takes no text" in told


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
            sys.executable,
            "-m",
            "object2vec_tf.transform",
            f"--model={directory / 'models'}",
            f"--input={source}",
        ],
        check=True,
        timeout=PATIENCE,
        capture_output=True,
    )
    lines = (tmp_path / "pairs.jsonl.out").read_text().splitlines()
    assert len(lines) == len(rows)
    served = load_model(directory / "models")
    for place in (0, 1, 7, 299):
        ids = {
            side: tf.ragged.constant(ids_of(model, side, [rows[place][side]]), tf.int64)
            for side in LONGEST
        }
        padded = {side: each.to_tensor(-1).numpy() for side, each in ids.items()}
        expected = served.run_signature("predict_pair", padded)
        got = json.loads(lines[place])["scores"]
        np.testing.assert_allclose(got, expected[0], rtol=1e-5, atol=1e-6)
