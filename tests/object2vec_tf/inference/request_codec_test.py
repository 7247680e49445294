import json

import numpy as np
import pytest

from object2vec_tf.inference.request_codec import (
    JSON,
    JSON_LINES,
    RequestDecoder,
    encode_predictions,
    parse_content_type,
    response_media_type,
)
from object2vec_tf.inference.request_errors import BadRequest
from object2vec_tf.ragged.token_ids import IdLimits

DECODER = RequestDecoder({"in0": IdLimits(10, 3), "in1": IdLimits(20, 4)})


def test_requests_are_truncated_and_other_keys_ignored():
    body = b'{"instances": [{"in0": [1, 2, 3, 4], "in1": [19], "label": {"a": 1}}]}'
    assert DECODER.decode(body) == {"in0": [[1, 2, 3]], "in1": [[19]]}
    lines = b'{"in1": []}\n\r\n{"in1": [1, 2, 3, 4, 5], "label": 3}'
    assert DECODER.decode(lines, JSON_LINES) == {"in1": [[], [1, 2, 3, 4]]}
    assert DECODER.decode(lines, JSON_LINES, (1, 2)) == {"in1": [[], [1, 2]]}
    assert DECODER.decode(b'{"instances": []}') == {}


@pytest.mark.parametrize(
    ("body", "media_type", "path", "message"),
    [
        ('{"instances": [{"in0": [1, 10]}]}', JSON, "$.instances[0].in0[1]", "got 10"),
        ('{"instances": [{"in1": [-2]}]}', JSON, "$.instances[0].in1[0]", "0 or more"),
        ('{"instances": [{"in1": -2.0}]}', JSON, "$.instances[0].in1", "0 or more"),
        ('{"in0": 3.0}\n{"in0": [1, 10]}', JSON_LINES, "$[1].in0[1]", "got 10"),
        ('{"in0": [3.0]}\n{"in0": [true]}', JSON_LINES, "$[1].in0[0]", "got true"),
        ('{"in0": 1e400}', JSON_LINES, "$[0].in0", "a list of token"),
        ('{"in0": [1e30]}', JSON_LINES, "$[0].in0[0]", "below enc0_vocab_size=10"),
        ('{"instances": [{"in0": ["a"]}]}', JSON, "$.instances[0].in0[0]", 'got "a"'),
        ('{"instances": [{"in0": [1.5]}]}', JSON, "$.instances[0].in0[0]", "got 1.5"),
        ('{"instances": [{"in0": [true]}]}', JSON, "$.instances[0].in0[0]", "integer"),
        ('{"instances": [{"in0": null}]}', JSON, "$.instances[0].in0", "got null"),
        ('{"instances": [{"in0": 10}]}', JSON, "$.instances[0].in0", "below enc0"),
        ('{"instances": [3]}', JSON, "$.instances[0]", "expected an object"),
        ('{"instances": [{}]}', JSON, "$.instances[0]", "expected in0 or in1"),
        ('{"instances": 3}', JSON, "$.instances", "expected a list of objects"),
        ('[{"in0": [1]}]', JSON, "$", '{"instances": [...]}'),
        ('{"in0": [1]}', JSON, "$", '{"instances": [...]}'),
        ('{"instances": [{"in0": [1', JSON, "$", "not JSON"),
        ("", JSON, "$", "empty"),
        ("\n", JSON_LINES, "$", "empty"),
        ("[" * 100_000, JSON_LINES, "$[0]", "expected one object per line"),
        ('{"in0": [1], "x": ' + "[" * 100_000, JSON_LINES, "$[0]", "nested"),
        ('{"in0": [1]}\n{"in0": [99]}', JSON_LINES, "$[1].in0[0]", "got 99"),
        ('{"in0": [1]}\n{"in0": [9', JSON_LINES, "$[1]", "ends in the middle"),
        ('{"in0": [1]}\n{"in1": [9]}', JSON_LINES, "$[1]", "before, got in1"),
        (
            '{"instances": [{"in0": [1]}, {"in0": [1], "in1": [2]}]}',
            JSON,
            "$.instances[1]",
            "expected in0 as in the objects before, got in0 and in1",
        ),
    ],
)
def test_an_invalid_request_is_an_error_with_its_path(body, media_type, path, message):
    with pytest.raises(BadRequest) as error:
        DECODER.decode(body.encode(), media_type)
    assert (error.value.status, error.value.path) == (400, path)
    assert message in str(error.value)


def test_objects_follow_the_rule_of_every_door():
    body = json.dumps(
        {
            "instances": [
                {"in0": [-1, 1, -1, 2, 3, 4], "in1": 5},
                {"in0": [], "in1": [6.0, -1.0, 7]},
                {"in0": 8.0, "in1": -1},
            ]
        }
    ).encode()
    expected = {"in0": [[1, 2, 3], [], [8]], "in1": [[5], [6, 7], []]}
    assert DECODER.decode(body) == expected
    text = RequestDecoder({"in0": IdLimits(10, 3), "in1": IdLimits(20, 4)}, ["in0"])
    body = b'{"in0": [-1, 1]}\n{"in0": "a"}\n{"in0": ["b"]}\n{"in0": 3.0}'
    assert text.decode(body, JSON_LINES) == {"in0": [[1], "a", ["b"], [3]]}


def test_content_types():
    assert parse_content_type("") == (JSON, None)
    assert parse_content_type("Application/JSON; charset=UTF-8") == (JSON, None)
    header = "application/jsonlines;infer_max_seqlens=1, 5000"
    assert parse_content_type(header) == (JSON_LINES, (1, 5000))
    for header, status in (
        ("text/csv", 415),
        ("application/json; charset=latin-1", 415),
        ("application/json; infer_max_seqlens=0,1", 400),
        ("application/json; infer_max_seqlens=1,5001", 400),
        ("application/json; infer_max_seqlens=1", 400),
    ):
        with pytest.raises(BadRequest) as error:
            parse_content_type(header)
        assert error.value.status == status


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", JSON_LINES),
        ("*/*", JSON_LINES),
        ("application/*", JSON_LINES),
        ("application/json", JSON),
        ("text/html, application/json;q=0.5, */*;q=0.1", JSON),
        ("application/json;q=0.5, application/jsonlines", JSON_LINES),
    ],
)
def test_accept_sets_the_media_type_which_defaults_to_the_requests(header, expected):
    assert response_media_type(header, JSON_LINES) == expected


@pytest.mark.parametrize("header", ["text/html", "application/json;q=0"])
def test_an_unsupported_accept_is_an_error(header):
    with pytest.raises(BadRequest) as error:
        response_media_type(header, JSON)
    assert error.value.status == 406


@pytest.mark.parametrize("shape", [(0, 2), (1, 1), (3, 1), (2, 5)])
def test_encoded_predictions_are_read_back_unchanged(shape):
    predictions = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    rows = json.loads(encode_predictions(predictions, "scores", JSON))["predictions"]
    lines = encode_predictions(predictions, "scores", JSON_LINES).decode()
    assert [json.loads(line) for line in lines.splitlines()] == rows
    assert lines == "" or lines.endswith("\n")
    decoded = np.array([row["scores"] for row in rows], np.float32).reshape(shape)
    np.testing.assert_array_equal(decoded, predictions)


def test_ids_of_any_kind_become_lists_of_strings():
    decoder = RequestDecoder(
        {"in0": IdLimits(10, 3), "in1": IdLimits(20, 4)}, ["in0"], ["in0"]
    )
    body = json.dumps(
        {
            "instances": [
                {"in0": [123, "sku-9", 2**80]},
                {"in0": "a b"},
                {"in0": -5},
                {"in0": [3.0, "a"]},
                {"in0": []},
            ]
        }
    )
    expected = [["123", "sku-9", str(2**80)], ["a b"], ["-5"], ["3", "a"], []]
    assert decoder.decode(body.encode()) == {"in0": expected}
    for value, place in ((1.5, ""), (None, ""), ([1, True], "[1]"), ([[1]], "[0]")):
        body = json.dumps({"instances": [{"in0": value}]}).encode()
        with pytest.raises(BadRequest) as error:
            decoder.decode(body)
        assert error.value.path == f"$.instances[0].in0{place}"
        assert "expected a" in str(error.value)


def test_ids_of_any_kind_need_a_runtime_that_looks_them_up():
    decoder = RequestDecoder(
        {"in0": IdLimits(10, 3), "in1": IdLimits(20, 4)}, (), ["in0"]
    )
    with pytest.raises(BadRequest, match="looks ids up in the vocabulary"):
        decoder.decode(b'{"instances": [{"in0": [1]}]}')
