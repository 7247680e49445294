"""The signatures that recommend items, compared with numpy."""

import json

import grpc
import numpy as np
import pytest
import tensorflow as tf

from export import export_saved_model
from object2vec_tf.errors import DataError, UserError
from tests.export.conftest import make_model

IN0 = [[1, 2, 3], [4], [7, 8, 9, 10, 11, 12, 13]]
EXCLUDE = [[], [0, 5, 99, 5], list(range(95))]


def padded(rows, leading=0):
    width = max(map(len, rows))
    return [[-1] * leading + row + [-1] * (width - len(row)) for row in rows]


@pytest.mark.parametrize("leading", [0, 1])
def test_a_model_server_recommends_numpys_items(recommending, model_server, leading):
    outputs = model_server.predict(
        "recommending",
        "recommend",
        in0=padded(IN0, leading),
        exclude=padded(EXCLUDE, leading),
    )
    expected, scores = recommending.best(IN0, EXCLUDE)
    np.testing.assert_array_equal(outputs["items"][:2], expected[:2])
    np.testing.assert_allclose(outputs["scores"][:2], scores[:2], rtol=1e-5, atol=2e-6)
    assert outputs["items"][2].tolist() == [*expected[2, :5], *[-1] * 15]
    np.testing.assert_allclose(outputs["scores"][2, :5], scores[2, :5], atol=2e-6)
    assert (outputs["scores"][2, 5:] == np.finfo(np.float32).min).all()
    lines = model_server.predict(
        "recommending", "describe_items", items=outputs["items"]
    )
    for row, positions in zip(lines["lines"][:2], expected, strict=False):
        assert [json.loads(line)["n"] for line in row] == positions.tolist()
    assert lines["labels"][2, :6].tolist() == [
        *(f"é {i}".encode() for i in expected[2, :5]),
        b"",
    ]


def test_a_model_server_recommends_for_text(recommending, model_server):
    outputs = model_server.predict(
        "recommending",
        "recommend_text",
        in0=np.array([b"a man sleeps", b"dog"], object),
        exclude=[[-1], [7]],
    )
    expected, _ = recommending.best([[0, 1, 2], [3]], [[], [7]])
    np.testing.assert_array_equal(outputs["items"], expected)


def test_positions_out_of_range_are_ignored_not_an_error(recommending, model_server):
    exclude = [[100, 2**62, -(2**63), -2, 3]] * 3
    outputs = model_server.predict(
        "recommending", "recommend", in0=padded(IN0), exclude=exclude
    )
    expected, _ = recommending.best(IN0, [[3]] * 3)
    np.testing.assert_array_equal(outputs["items"], expected)
    model_server.predict("recommending", "score_items", in0=padded(IN0), items=exclude)


@pytest.mark.parametrize("rows", [2, 4])
def test_exclude_has_a_row_for_each_of_in0(recommending, model_server, rows):
    message = f"exclude: expected one row for each of in0, 3, got {rows}"
    with pytest.raises(grpc.RpcError, match=message):
        model_server.predict(
            "recommending", "recommend", in0=padded(IN0), exclude=[[-1]] * rows
        )


def test_items_get_the_scores_of_their_pairs(recommending, model_server):
    items = [[0, 17], [99, -1], [50, 3]]
    outputs = model_server.predict(
        "recommending", "score_items", in0=padded(IN0), items=items
    )
    for row, positions in enumerate(items):
        for column, position in enumerate(positions):
            if position >= 0:
                in1 = recommending.item_ids[position]
                pair = {"in0": [IN0[row]], "in1": [in1]}
                np.testing.assert_allclose(
                    outputs["scores"][row, column],
                    recommending.exported.expected(pair)[0],
                    rtol=1e-5,
                )


def test_the_catalog_describes_itself(recommending, model_server):
    (catalogs,) = model_server.predict(
        "recommending", "describe_catalog", rows=[0, 0]
    ).values()
    assert [json.loads(text) for text in catalogs] == [
        {"items": 100, "k": 20, "similarity": "cosine", "labels": True}
    ] * 2


@pytest.fixture
def items(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text(
        '{"in1": [1]}\n{"in1": [2, 3], "embeddings": [1], "n": 123456789012345678901}\n'
    )
    return path


def test_a_model_of_the_in_batch_softmax_uses_its_similarity(tmp_path, items):
    model = make_model(
        "pooled_embedding",
        objective="in_batch_softmax",
        in_batch_similarity="inner_product",
    )
    path = export_saved_model(model, tmp_path / "m", items=items, k=2)
    signatures = tf.saved_model.load(str(path)).signatures
    outputs = signatures["recommend"](
        in0=tf.constant([[5]], tf.int64), exclude=tf.constant([[-1]], tf.int64)
    )
    query, first, second = (
        network(tf.ragged.constant([ids], tf.int64))[0].numpy()
        for network, ids in ((model.enc0, [5]), (model.enc1, [1]), (model.enc1, [2, 3]))
    )
    expected = sorted([query @ first, query @ second], reverse=True)
    np.testing.assert_allclose(outputs["scores"][0], expected, rtol=1e-5)
    described = signatures["describe_items"](items=tf.constant([[1, 0]], tf.int64))
    assert described["lines"].numpy().tolist() == [
        [b'{"in1":[2, 3],"n":123456789012345678901}', b'{"in1": [1]}']
    ]
    assert described["labels"].numpy().tolist() == [[b"", b""]]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('{"in1": [1]}\n{"in1": [30]}\n', DataError, r"items.jsonl:2: in1\[0\]: exp"),
        ('{"in0": [1]}\n', UserError, "expected items with in1 in each line, got in0"),
        ("\n", UserError, "expected lines such as"),
        ('{"in1": [1]}\n{"in1": [2]', DataError, "items.jsonl:2: "),
    ],
)
def test_invalid_items_leave_no_version(tmp_path, items, text, error, message):
    items.write_text(text)
    with pytest.raises(error, match=message):
        export_saved_model(make_model(), tmp_path / "m", items=items)
    assert [*(tmp_path / "m").iterdir()] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": "labels"}, "expected 2 labels, one line per item in their order"),
        ({"labels": "no"}, "labels: .*: no such file"),
        ({"items": "no"}, "items: .*: no such file"),
        ({"k": 0}, "k: expected a number of items from 1 to 10,000, got 0"),
        ({"similarity": "l2"}, "similarity: expected one of cosine, inner_product"),
        ({"items": None, "k": 3}, "k: expected items too, got k alone"),
    ],
)
def test_invalid_settings_are_errors(tmp_path, items, settings, message):
    (tmp_path / "labels").write_text("a\n")
    paths = {"items": items} | settings
    for name in ("items", "labels"):
        if paths.get(name):
            paths[name] = tmp_path / paths[name]
    with pytest.raises(UserError, match=message):
        export_saved_model(make_model(), tmp_path / "m", **paths)
