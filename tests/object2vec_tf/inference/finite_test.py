import numpy as np
import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.inference.finite import not_finite, require_finite
from object2vec_tf.inference.ragged_inputs import RaggedInputs, predict_batches
from object2vec_tf.inference.recommend_requests import (
    RecommendedItem,
    recommendation_parts,
)
from object2vec_tf.inference.request_codec import encode_predictions
from object2vec_tf.inference.request_errors import BadRequest

JSON = "application/json"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_json_lacks_are_refused(value):
    predictions = np.array([[1.0, 2.0], [value, 0.0]], np.float32)
    message = f"expected finite numbers, got {value}"
    assert not_finite(predictions, "scores").startswith(f"scores: {message}")
    with pytest.raises(BadRequest, match=message) as error:
        encode_predictions(predictions, "embeddings", JSON)
    assert error.value.status == 500
    with pytest.raises(BadRequest, match=message):
        recommendation_parts([[RecommendedItem(0, value, b"{}", None)]], JSON)
    inputs = RaggedInputs.from_rows({"in0": [[1], [2]]})
    with pytest.raises(UserError, match=f"embeddings: {message}"):
        predict_batches(inputs, lambda batch: predictions)


def test_large_finite_numbers_are_accepted():
    largest = np.finfo(np.float32).max
    require_finite(np.array([[largest, largest]], np.float32), "scores")
    require_finite(np.zeros((0, 3), np.float32), "scores")
    require_finite(np.array([[3, 4]]), "items")
