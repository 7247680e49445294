"""Ids of any kind from end to end: training, o2v.load, transform and serving.

Users are UUIDs, items are numbers and stock codes. Expected predictions are those of
the Keras layers for token ids looked up in the vocabulary by hand.
"""

import asyncio
import json
import random
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from export.serving.http_app import Gateway
from export.serving.local_backend import LocalBackend
from object2vec_tf.bulk.ray_runner import SplitPredictor
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.token_counts import TokenCounts, counts_from_json
from object2vec_tf.search.index import build_index
from object2vec_tf.text.tokenizer import Tokenization
from object2vec_tf.text.vocabularies import vocabulary_json
from object2vec_tf.text.vocabulary_builder import build_vocabulary
from object2vec_tf.transform import transform
from tests.export.conftest import start_model_server
from tests.export.gateway_test import gateway

USERS = [str(uuid.UUID(int=number**9)) for number in range(1, 9)]
ITEMS = ["SKU 12/a", "sku-9", "0042", 42, 2**70, -5, 10**15, "Ünï\tcödé\n", "日本"]
UNKNOWN = ["SKU 12/A", 43, "42 ", 2**70 + 1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run, and the vocabularies of users and items."""
    directory = tmp_path_factory.mktemp("ids")
    choice = random.Random(1)
    lines = [
        json.dumps(
            {
                "in0": user if number % 2 else [user],
                "in1": choice.sample([item, str(item), *ITEMS], 3),
                "label": number % 2,
            }
        )
        for number, (user, item) in enumerate(
            (user, item) for user in USERS for item in ITEMS
        )
    ]
    train = directory / "train.jsonl"
    train.write_text("\n".join(lines))
    words = []
    for side, reserved in enumerate((["[UNK]"], [])):
        words.append(
            build_vocabulary(
                train, [f"in{side}"], Tokenization("id"), reserved=reserved
            ).words
        )
        (directory / f"words{side}.json").write_text(vocabulary_json(words[side]))
    settings = {f"enc{side}_vocab_file": f"words{side}.json" for side in (0, 1)}
    settings |= {f"enc{side}_tokenizer": "id" for side in (0, 1)}
    settings |= {f"enc{side}_max_seq_len": 1 + 3 * side for side in (0, 1)}
    settings |= {f"enc{side}_network": "pooled_embedding" for side in (0, 1)}
    settings["enc1_num_oov_buckets"] = BUCKETS
    result = o2v.fit(
        settings | {"enc_dim": 4, "mlp_dim": 4, "epochs": 1},
        train=train,
        auxiliary=directory,
        model_dir=directory / "run",
        verbose=False,
    )
    return result, words


OBJECTS = {
    "in0": [USERS[3], [USERS[5]], "no such user", [], [USERS[0], USERS[1]]],
    "in1": [
        [42, "42", "sku-9"],
        2**70,
        [*UNKNOWN, -5],
        "Ünï\tcödé\n",
        ["日本", 43, 42],
    ],
}
PAIRS = [
    {"in0": in0, "in1": in1}
    for in0, in1 in zip(OBJECTS["in0"], OBJECTS["in1"], strict=True)
]
BUCKETS = 3  # of in1; in0 has [UNK]


def expected_ids(words, name):
    known = {word: number for number, word in enumerate(words[int(name[-1])])}
    lists = [row if isinstance(row, list) else [row] for row in OBJECTS[name]]
    if name == "in0":
        return [[known.get(item, 0) for item in row][:1] for row in lists]
    for row in lists:
        for item in row:
            bucket = tf.strings.to_hash_bucket_fast([str(item)], BUCKETS)
            known.setdefault(str(item), len(words[1]) + int(bucket[0]))
    return [[known[str(item)] for item in row][:4] for row in lists]


def expected(run):
    """Returns embeddings of in0, embeddings of in1, and scores."""
    result, words = run
    ids = {
        name: tf.ragged.constant(expected_ids(words, name), tf.int64, ragged_rank=1)
        for name in OBJECTS
    }
    model = result.model
    return (
        model.enc0(ids["in0"]).numpy(),
        model.enc1(ids["in1"]).numpy(),
        model(ids).numpy(),
    )


def test_the_vocabulary_contains_each_id_once_by_its_text(run):
    _, words = run
    assert sorted(words[0]) == sorted(["[UNK]", *USERS])
    assert sorted(words[1]) == sorted(map(str, ITEMS))


def test_a_loaded_run_embeds_and_scores_ids(run):
    result, _ = run
    model = o2v.load(result.model_dir)
    in0, in1, scores = expected(run)
    np.testing.assert_allclose(model.embed(OBJECTS["in0"]), in0, atol=1e-6)
    np.testing.assert_allclose(model.embed(OBJECTS["in1"], encoder=1), in1, atol=1e-6)
    np.testing.assert_allclose(model.score(OBJECTS), scores, atol=1e-6)
    np.testing.assert_allclose(model.predict(PAIRS, verbose=0), scores, atol=1e-6)


def test_the_served_signatures_take_strings(run):
    result, _ = run
    path = result.model_dir / "export/1"
    signatures = tf.saved_model.load(str(path)).signatures
    padded = [row if isinstance(row, list) else [row] for row in OBJECTS["in1"]]
    width = max(map(len, padded))
    in1 = tf.constant(
        [[str(item) for item in row] + [""] * (width - len(row)) for row in padded]
    )
    in0 = tf.constant(
        [[row] if isinstance(row, str) else (row or [""])[:1] for row in OBJECTS["in0"]]
    )
    embeddings0, embeddings1, scores = expected(run)
    for signature, inputs, answer in (
        ("embed_enc0_text", {"in0": in0}, {"embeddings": embeddings0}),
        ("embed_enc1_text", {"in1": in1}, {"embeddings": embeddings1}),
        ("predict_pair_text", {"in0": in0, "in1": in1}, {"scores": scores}),
        ("embed_enc0_text", {"in0": in0[:, 0]}, {"embeddings": embeddings0}),
    ):
        ((name, values),) = answer.items()
        output = signatures[signature](**inputs)[name]
        np.testing.assert_allclose(output, values, atol=1e-6)


def test_transform_looks_ids_up(run, tmp_path):
    result, _ = run
    source = tmp_path / "pairs.jsonl"
    rows = PAIRS
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    predictor = load_model(result.model_dir)
    transform(predictor, source, tmp_path / "out")
    # One user and UNKNOWN with 43 are unknown; UNKNOWN fills enc1_max_seq_len.
    assert predictor.token_counts == {
        "in0": TokenCounts(5, 1, 4, 1),
        "in1": TokenCounts(13, 5, 5, 1),
    }
    lines = (tmp_path / "out").read_text().splitlines()
    scores = [json.loads(line)["scores"] for line in lines]
    np.testing.assert_allclose(scores, expected(run)[2], atol=1e-6)


def test_unknown_ids_are_counted_once_in_every_format(run, tmp_path):
    result, _ = run
    # Bad lines divide the block of lines again and again.
    lines = [line for row in PAIRS for line in (json.dumps(row), "x")]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    columns = {
        name: [[str(i) for i in as_list(row[name])] for row in PAIRS]
        for name in ("in0", "in1")
    }
    columns["in0"].append(None)
    columns["in1"].append(["42"])
    pq.write_table(pa.table(columns), tmp_path / "pairs.parquet")
    counts = {"in0": TokenCounts(5, 1, 4, 1), "in1": TokenCounts(13, 5, 5, 1)}
    split = {"job": 0, "split": 0, "start": 0, "stop": -1, "format": "jsonl"}
    worker = SplitPredictor(str(result.model_dir), "tensorflow", 1)
    for name in ("pairs.jsonl", "pairs.parquet"):
        task = {"path": str(tmp_path / name), "output": str(tmp_path / f"{name}.out")}
        options = {"options": '{"on_error": "skip"}'}
        done = worker(split | task | options)
        assert counts_from_json(done["tokens"]) == counts, name


def as_list(item):
    return item if isinstance(item, list) else [item]


def test_an_index_reports_unknown_items(run, tmp_path):
    result, _ = run
    items = tmp_path / "items.jsonl"
    lines = [json.dumps({"in1": item}) for item in [42, *UNKNOWN]]
    items.write_text("\n".join(lines))
    with pytest.warns(UserWarning, match="in1: 4 of 5 tokens are unknown and share 3"):
        build_index(items, tmp_path / "index", model=result.model_dir)
    manifest = json.loads((tmp_path / "index/manifest.json").read_text())
    expected = {"tokens": 5, "unknown": 4, "objects": 5, "unknown_objects": 4}
    assert manifest["tokens"] == {"in1": expected}


@pytest.mark.long
@pytest.mark.parametrize("backend", ["local", "tf_serving"])
def test_the_gateway_takes_integers_and_strings(run, backend, tmp_path):
    result, _ = run
    models = result.model_dir / "export"
    if backend == "local":
        with gateway(f"--model={models}") as served:
            check_gateway(lambda body: served.request(body)[::2], run)
        return
    with start_model_server({"ids": models}, tmp_path) as server:
        flags = [f"--tf_serving={server.address}", "--model_name=ids"]
        with gateway(*flags) as served:
            check_gateway(lambda body: served.request(body)[::2], run)


def test_the_gateways_application_takes_integers_and_strings(run):
    result, _ = run
    application = Gateway(LocalBackend(load_model(result.model_dir))).application()

    async def request(body):
        sent = []
        scope = {"type": "http", "method": "POST", "path": "/invocations"}
        scope |= {"headers": [], "query_string": b""}

        async def receive():
            return {"type": "http.request", "body": body}

        async def send(message):
            sent.append(message)

        await application(scope, receive, send)
        return sent[0]["status"], sent[1]["body"]

    with asyncio.Runner() as runner:
        check_gateway(lambda body: runner.run(request(body)), run)


def check_gateway(send, run):
    def post(instances):
        status, content = send(json.dumps({"instances": instances}).encode())
        return status, json.loads(content)

    in0, in1, scores = expected(run)
    rows = PAIRS
    for instances, output, answer in (
        (rows, "scores", scores),
        ([{"in0": row} for row in OBJECTS["in0"]], "embeddings", in0),
        ([{"in1": row} for row in OBJECTS["in1"]], "embeddings", in1),
    ):
        status, content = post(instances)
        assert status == 200, content
        values = [row[output] for row in content["predictions"]]
        np.testing.assert_allclose(values, answer, atol=1e-6)
    status, content = post([{"in1": [123, "sku-9", 1.5]}])
    assert (status, content["error"]["path"]) == (400, "$.instances[0].in1[2]")
    assert "expected an integer or a string, got 1.5" in content["error"]["message"]
