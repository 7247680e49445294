"""POST /recommend, with a model in this process and with a model server."""

import asyncio
import contextlib
import json

import numpy as np
import pytest

from export.serving.local_backend import LocalBackend
from export.serving.tf_serving_backend import TFServingBackend
from object2vec_tf.inference.predictor import SavedModelPredictor
from tests.export.serving.asgi import App


@pytest.fixture(scope="module")
def predictor(recommending):
    return SavedModelPredictor(recommending.exported.path)


@pytest.fixture(params=["local", "tf_serving"])
def ask(request, predictor, model_server):
    """Returns a function that sends requests concurrently, and returns responses."""

    def ask(*requests, **options):
        async def main():
            if request.param == "local":
                backend = LocalBackend(predictor)
            else:
                backend = TFServingBackend(model_server.address, "recommending")
            app = App(backend)
            async with contextlib.aclosing(_Closing(backend)):
                return await asyncio.gather(
                    *(app.json(body, **options) for body in requests)
                )

        return asyncio.run(main())

    return ask


class _Closing:
    def __init__(self, backend):
        self.aclose = backend.close


def check(recommending, answer, in0, exclude, k):
    """Checks an answer against numpy."""
    (expected,), (scores,) = recommending.best([in0], [exclude], k)
    items = answer["items"]
    assert [item["position"] for item in items] == expected.tolist()
    np.testing.assert_allclose([item["score"] for item in items], scores, atol=2e-6)
    assert [item["item"] for item in items] == [recommending.items[i] for i in expected]
    assert [item["label"] for item in items] == [f"é {i}" for i in expected]
    assert all([*item] == ["position", "score", "item", "label"] for item in items)


def test_items_equal_numpys_for_concurrent_requests(ask, recommending):
    generator = np.random.default_rng(3)
    requests = []
    for number in range(30):
        exclude = generator.integers(100, size=number % 7 * 10).tolist()
        in0 = generator.integers(50, size=1 + number % 6).tolist()
        requests.append({"in0": in0, "k": 1 + number % 20, "exclude": exclude})
    bodies = [{"instances": requests[i : i + 3]} for i in range(0, 30, 3)]
    answers = []
    for status, content in ask(*bodies):
        assert status == 200
        answers += content["predictions"]
    for request, answer in zip(requests, answers, strict=True):
        k, exclude = request["k"], request["exclude"]
        check(recommending, answer, request["in0"], exclude, k)


def test_defaults_text_and_too_few_items(ask, recommending):
    exclude = list(range(98))
    instances = [
        {"in0": [5]},
        {"in0": "a man sleeps", "k": 3},
        {"in0": ["dog", "dog"], "exclude": [4]},
        {"in0": [2], "exclude": exclude},
        {"in0": [2], "exclude": [*exclude, 98, 99], "rescore": True},
    ]
    ((status, content),) = ask({"instances": instances})
    assert status == 200
    answers = content["predictions"]
    check(recommending, answers[0], [5], [], 10)
    check(recommending, answers[1], [0, 1, 2], [], 3)
    check(recommending, answers[2], [3, 3], [4], 10)
    check(recommending, answers[3], [2], exclude, 2)
    assert answers[4] == {"items": []}
    assert ask({"instances": []}) == [(200, {"predictions": []})]


def test_options_are_of_an_instance_or_of_all(ask, recommending):
    instances = [{"in0": 5.0}, {"in0": [2], "k": 2.0, "exclude": [7, -1, 9.0]}]
    options = {"k": 3, "exclude": 4, "rescore": True}
    (plain, common, wrong) = ask(
        {"instances": instances},
        {"instances": instances, **options},
        {"instances": instances, "k": 21},
    )
    check(recommending, plain[1]["predictions"][0], [5], [], 10)
    check(recommending, plain[1]["predictions"][1], [2], [7, 9], 2)
    for answer, in0, exclude, k in zip(
        common[1]["predictions"], ([5], [2]), ([4], [7, 9]), (3, 2), strict=True
    ):
        (best,), _ = recommending.best([in0], [exclude], k)
        items = [recommending.item_ids[i] for i in best]
        pairs = {"in0": [in0] * k, "in1": items}
        scores = sorted(recommending.exported.expected(pairs)[:, 1], reverse=True)
        assert {x["position"] for x in answer["items"]} == {*best}
        np.testing.assert_allclose(
            [x["score"] for x in answer["items"]], scores, rtol=1e-5
        )
    assert (wrong[0], wrong[1]["error"]["path"]) == (400, "$.k")


def test_the_comparator_orders_the_best_items_by_similarity(ask, recommending):
    instances = [{"in0": [1, 2], "k": 8, "rescore": i == 0} for i in range(2)]
    instances.append({"in0": [9], "k": 4, "rescore": True})
    ((status, content),) = ask({"instances": instances})
    assert status == 200
    first, second, third = content["predictions"]
    check(recommending, second, [1, 2], [], 8)
    for answer, in0, k in ((first, [1, 2], 8), (third, [9], 4)):
        (best,), _ = recommending.best([in0], [[]], k)
        pairs = {
            "in0": [in0] * k,
            "in1": [recommending.item_ids[i] for i in best],
        }
        scores = recommending.exported.expected(pairs)[:, 1]
        order = np.argsort(-np.round(scores, 6), kind="stable")
        assert [x["position"] for x in answer["items"]] == best[order].tolist()
        np.testing.assert_allclose(
            [x["score"] for x in answer["items"]], scores[order], rtol=1e-5
        )
    assert [x["position"] for x in first["items"]] != [
        x["position"] for x in second["items"]
    ]


@pytest.mark.parametrize(
    ("instance", "path", "message"),
    [
        ({"in0": [50]}, "in0[0]", "expected a token id below enc0_vocab_size=50"),
        ({"in0": [1], "exclude": [3, 100]}, "exclude[1]", "from 0 to 99, got 100"),
        ({"in0": [1], "exclude": [-2]}, "exclude[0]", "from 0 to 99, got -2"),
        ({"in0": [1], "exclude": [2.5]}, "exclude[0]", "from 0 to 99, got 2.5"),
        ({"in0": [1], "exclude": "3"}, "exclude", 'a single position, got "3"'),
        ({"in0": [1], "k": 2.5}, "k", "from 1 to 20, the k of the export, got 2.5"),
        ({"in0": [1], "k": 21}, "k", "from 1 to 20, the k of the export, got 21"),
        ({"in0": [1], "k": 0}, "k", "from 1 to 20, the k of the export, got 0"),
        ({"in0": [1], "rescore": 1}, "rescore", "expected true or false, got 1"),
        ({"in1": [1]}, "", "expected in0, for which items are recommended"),
        ({"in0": [1, "a"]}, "in0[1]", "expected only token ids or only strings"),
    ],
)
def test_an_invalid_instance_gets_its_path(ask, instance, path, message):
    ((status, content),) = ask({"instances": [{"in0": [1]}, instance]})
    error = content["error"]
    expected_path = f"$.instances[1].{path}".removesuffix(".")
    assert (status, error["path"]) == (400, expected_path)
    assert message in error["message"]


def test_json_lines_methods_and_models_without_items(predictor, exported):
    async def main():
        app = App(LocalBackend(predictor))
        lines = b'{"in0": [1], "k": 2}\n{"in0": [2], "k": 1}\n'
        media_type = {"content-type": "application/jsonlines"}
        status, headers, content = await app.request(lines, **media_type)
        assert (status, headers["content-type"]) == (200, "application/jsonlines")
        sizes = [len(json.loads(line)["items"]) for line in content.splitlines()]
        assert sizes == [2, 1]
        status, content = await app.json(lines + b'{"k": "a"}', **media_type)
        assert (status, content["error"]["path"]) == (400, "$[2].k")
        status, content = await app.json([1])
        assert (status, content["error"]["path"]) == (400, "$")
        assert '{"instances": [{"in0": [1], "k": 10}]}' in content["error"]["message"]
        status, headers, _ = await app.request(b"", method="GET")
        assert (status, headers["allow"]) == (405, "POST")
        assert (await app.request(b"1", **{"content-type": "text/csv"}))[0] == 415
        status, _, text = await app.request(b"", path="/metrics", method="GET")
        assert b'object2vec_rows_total{signature="recommend"} 2.0' in text
        assert b"object2vec_model_version 1.0" in text
        plain = App(LocalBackend(SavedModelPredictor(exported().path)))
        status, content = await plain.json({"instances": [{"in0": [1]}]})
        assert status == 404
        assert "python -m export --items=items.jsonl" in content["error"]["message"]

    asyncio.run(main())


def test_more_than_two_classes_have_no_score_to_order_by():
    from object2vec_tf.inference.catalog import Catalog
    from object2vec_tf.inference.recommend_requests import RecommendDecoder
    from object2vec_tf.inference.request_errors import BadRequest
    from object2vec_tf.ragged.token_ids import IdLimits

    catalog = Catalog(5, 5, "cosine", False)
    decoder = RecommendDecoder({"in0": IdLimits(9, 9)}, catalog, output_dim=3)
    with pytest.raises(BadRequest, match="but 3 class probabilities") as error:
        decoder.decode(b'{"instances": [{"in0": [1], "rescore": true}]}')
    assert error.value.path == "$.instances[0].rescore"
