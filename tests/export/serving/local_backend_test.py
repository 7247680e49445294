import asyncio

import numpy as np
import pytest

from export.serving.local_backend import LocalBackend
from object2vec_tf.inference.predictor import SavedModelPredictor


class Recording:
    """Counts a model's calls, and fails for objects that hold a certain id."""

    def __init__(self, model, breaks_on=None):
        self.hyperparameters = model.hyperparameters
        self.texts = ()
        self.sizes = []
        self._model = model
        self._breaks_on = breaks_on

    def __call__(self, objects):
        self.sizes.append(len(objects))
        ids = np.concatenate([c.values for c in objects.columns.values()])
        if self._breaks_on in ids:
            raise FloatingPointError("broken")
        return self._model(objects)


def ask(model, requests, **more):
    async def main():
        backend = LocalBackend(model, **more)
        answers = [backend.predict(rows) for rows in requests]
        try:
            return await asyncio.gather(*answers, return_exceptions=True)
        finally:
            await backend.close()

    return asyncio.run(main())


@pytest.fixture(scope="module")
def loaded(exported):
    return SavedModelPredictor(exported().path)


def test_what_waits_is_answered_together_and_to_whom_it_belongs(exported, loaded):
    requests = [{"in0": [[i % 50, (7 * i) % 50]] * (1 + i % 3)} for i in range(60)]
    requests += [{"in0": [[i]], "in1": [[i]]} for i in range(20)]
    model = Recording(loaded)
    answers = ask(model, requests)
    assert sum(model.sizes) == sum(len(r["in0"]) for r in requests)
    assert len(model.sizes) <= 4
    for rows, answer in zip(requests, answers, strict=True):
        expected = exported().expected(rows)
        np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-6)


def test_a_call_holds_no_more_rows_than_allowed(loaded):
    model = Recording(loaded)
    ask(model, [{"in1": [[1]] * n} for n in (3, 3, 3, 9, 1)], max_rows=6)
    assert max(model.sizes) == 9
    assert sorted(model.sizes)[-2] <= 6


def test_a_failure_is_told_to_nobody_but_its_request(exported, loaded):
    model = Recording(loaded, breaks_on=13)
    requests = [{"in0": [[i]]} for i in (11, 12, 13, 14)]
    answers = ask(model, requests)
    assert isinstance(answers[2], FloatingPointError)
    for i in (0, 1, 3):
        expected = exported().expected(requests[i])
        np.testing.assert_allclose(answers[i], expected, rtol=1e-5, atol=1e-6)
