import asyncio

import numpy as np
import pytest

from export.serving.backends import Unavailable
from export.serving.local_backend import LocalBackend
from object2vec_tf.inference.predictor import SavedModelPredictor
from object2vec_tf.tables.mapped_table import TableFileChanged


class Recording:
    """A model that records the size of its calls and fails for a certain id."""

    def __init__(self, model, failing_id=None):
        self.hyperparameters = model.hyperparameters
        self.texts = ()
        self.version = None
        self.sizes = []
        self._model = model
        self._failing_id = failing_id

    def __call__(self, inputs):
        self.sizes.append(len(inputs))
        ids = np.concatenate([c.values for c in inputs.columns.values()])
        if self._failing_id in ids:
            raise FloatingPointError("broken")
        return self._model(inputs)


def predict_concurrently(model, requests, **options):
    async def main():
        backend = LocalBackend(model, **options)
        predictions = [backend.predict(rows) for rows in requests]
        try:
            return await asyncio.gather(*predictions, return_exceptions=True)
        finally:
            await backend.close()

    return asyncio.run(main())


@pytest.fixture(scope="module")
def loaded(exported):
    return SavedModelPredictor(exported().path)


def test_waiting_requests_share_calls_and_get_their_own_predictions(exported, loaded):
    requests = [{"in0": [[i % 50, (7 * i) % 50]] * (1 + i % 3)} for i in range(60)]
    requests += [{"in0": [[i]], "in1": [[i]]} for i in range(20)]
    model = Recording(loaded)
    results = predict_concurrently(model, requests)
    assert sum(model.sizes) == sum(len(r["in0"]) for r in requests)
    assert len(model.sizes) <= 4
    for rows, predictions in zip(requests, results, strict=True):
        expected = exported().expected(rows)
        np.testing.assert_allclose(predictions, expected, rtol=1e-5, atol=1e-6)


def test_a_call_has_at_most_max_rows_unless_one_request_is_larger(loaded):
    model = Recording(loaded)
    predict_concurrently(
        model, [{"in1": [[1]] * n} for n in (3, 3, 3, 9, 1)], max_rows=6
    )
    assert max(model.sizes) == 9
    assert sorted(model.sizes)[-2] <= 6


def test_a_failure_reaches_only_its_own_request(exported, loaded):
    model = Recording(loaded, failing_id=13)
    requests = [{"in0": [[i]]} for i in (11, 12, 13, 14)]
    results = predict_concurrently(model, requests)
    assert isinstance(results[2], FloatingPointError)
    for i in (0, 1, 3):
        expected = exported().expected(requests[i])
        np.testing.assert_allclose(results[i], expected, rtol=1e-5, atol=1e-6)


def test_a_backend_whose_table_was_changed_is_not_available(loaded):
    class Changed(Recording):
        def __call__(self, inputs):
            raise TableFileChanged("part-00000.parquet: was changed")

    async def main():
        backend = LocalBackend(Changed(loaded))
        await backend.check()
        try:
            for call in (backend.predict({"in0": [[1]]}), backend.check()):
                with pytest.raises(Unavailable, match="parquet: was changed"):
                    await call
        finally:
            await backend.close()

    asyncio.run(main())
