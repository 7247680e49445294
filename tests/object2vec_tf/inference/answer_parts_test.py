"""Answers in parts: the same bytes as answers as a whole, in parts of bounded size."""

import itertools

import numpy as np
import orjson
import pytest

from object2vec_tf.inference.answer_parts import PART_VALUES, array_parts, list_parts
from object2vec_tf.inference.request_codec import prediction_parts

ROWS = {"none": 0, "one": 1, "part": 64, "parts": 200}


def embeddings(rows):
    generator = np.random.default_rng(rows)
    values = generator.normal(size=(rows, PART_VALUES // 64)).astype(np.float32)
    values[:1, :3] = 3, -0.0, 1e-20
    return values


def whole(value):
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_parts_of_predictions_are_the_whole_answer(rows):
    values = embeddings(rows)
    objects = [{"embeddings": row} for row in values]
    parts = list(prediction_parts(values, "embeddings", "application/json"))
    assert b"".join(parts) == whole({"predictions": objects})
    assert len(parts) == max(-(-rows // 64), 0) + 1
    parts = list(prediction_parts(values, "embeddings", "application/jsonlines"))
    assert b"".join(parts) == b"".join(whole(row) + b"\n" for row in objects)
    assert len(parts) == -(-rows // 64)


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_parts_of_arrays_and_of_lists_are_the_whole_value(rows):
    values = embeddings(rows)
    parts = list(array_parts(values, b'{"outputs":[', b"]}"))
    assert b"".join(parts) == whole({"outputs": values})
    objects = [{"a": row[0], "b": i} for i, row in enumerate(values)]
    parts = list(list_parts(rows, PART_VALUES // 64, lambda i, j: objects[i:j]))
    assert b"".join(parts) == whole(objects)
    longest = max(map(len, parts))
    assert longest < 64 * 50
    assert longest * 4 > len(whole(objects)) or rows <= 64
    assert all(itertools.chain(parts))
