"""The gateway as a process: recommendations, and new versions under load."""

import json
import shutil
import threading
import time

import numpy as np
import pytest

from tests.export.conftest import TIMEOUT
from tests.export.gateway_test import gateway

PAIRS = {"in0": [[1, 2, 3], [4]], "in1": [[5], [6, 7]]}
BODY = json.dumps(
    {"instances": [{"in0": [1, 2, 3], "in1": [5]}, {"in0": [4], "in1": [6, 7]}]}
)


@pytest.fixture
def versions(exported, tmp_path):
    """A directory with version 1, and the path of a version to move into it."""
    shutil.copytree(exported().path, tmp_path / "m/1")
    other = exported(output="mean_squared_error")
    shutil.copytree(other.path, tmp_path / "new")
    return tmp_path / "m", tmp_path / "new"


def scores(served):
    status, _, text = served.request(BODY)
    assert status == 200, text
    return [row["scores"] for row in json.loads(text)["predictions"]]


@pytest.mark.long
def test_threads_get_only_answers_of_the_old_or_new_version(versions, exported):
    root, new = versions
    expected = {
        len(rows[0]): rows
        for output in ("softmax", "mean_squared_error")
        for rows in [exported(output=output).expected(PAIRS)]
    }
    widths, errors, done = [], [], threading.Event()

    def hammer(served):
        try:
            while not done.is_set():
                rows = scores(served)
                np.testing.assert_allclose(rows, expected[len(rows[0])], rtol=1e-5)
                widths.append(len(rows[0]))
        except BaseException as error:
            errors.append(error)

    with gateway(f"--model={root}", "--reload_seconds=0.1") as served:
        threads = [threading.Thread(target=hammer, args=[served]) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        new.rename(root / "2")
        deadline = time.monotonic() + TIMEOUT
        while not errors and 1 not in widths[-8:] and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)
        done.set()
        for thread in threads:
            thread.join()
        assert not errors
        page = served.request(None, path="/metrics", method="GET")[2].decode()
        assert "object2vec_model_version 2.0" in page
        assert 'status="500"' not in page
    first_new = widths.index(1)
    assert first_new > 0
    assert set(widths[first_new + 8 :]) == {1}


@pytest.mark.long
def test_noreload_keeps_the_version(versions):
    root, new = versions
    with gateway(f"--model={root}", "--noreload", "--reload_seconds=0.1") as served:
        new.rename(root / "2")
        time.sleep(2)
        assert len(scores(served)[0]) == 3


@pytest.mark.long
def test_the_gateway_of_a_model_server_recommends(recommending, model_server):
    flags = [f"--tf_serving={model_server.address}", "--model_name=recommending"]
    body = {"instances": [{"in0": [5], "k": 4, "exclude": [3]}]}
    with gateway(*flags) as served:
        status, _, text = served.request(json.dumps(body), path="/recommend")
    assert status == 200
    items = json.loads(text)["predictions"][0]["items"]
    (expected,), _ = recommending.best([[5]], [[3]], 4)
    assert [item["position"] for item in items] == expected.tolist()
    assert [item["label"] for item in items] == [f"é {i}" for i in expected]
