"""New versions of a model, loaded while requests are running."""

import asyncio
import gc
import logging
import shutil
import weakref

import numpy as np
import pytest

from export.serving.active_backend import ActiveBackend
from export.serving.http_app import Gateway
from export.serving.reload import Reloader
from export.serving.server import local_backend
from tests.bit_flips import flipped
from tests.export.conftest import TIMEOUT
from tests.export.serving.asgi import App


@pytest.fixture
def versions(exported, tmp_path):
    """A directory with version 1, and a function that adds versions."""
    sources = [exported(output=o).path for o in ("softmax", "mean_squared_error")]

    def add(number, source, name=None):
        target = tmp_path / (name or str(number))
        shutil.copytree(sources[source], target)
        return target

    add(1, 0)
    return tmp_path, add


def recording(load=local_backend):
    """Returns a loader that records what it loads."""
    paths = []

    def recorded(path):
        paths.append(path.name)
        return load(path)

    return recorded, paths


class FakeBackend:
    """Names the version that it was loaded from."""

    def __init__(self, path):
        self.path = path
        self.closed = False

    async def close(self):
        self.closed = True


def looks(reloader, count=3):
    """Looks several times; returns the names of the loaded versions."""
    found = [reloader.look() for _ in range(count)]
    return [backend.path.name for backend in found if backend]


def test_it_loads_the_highest_version_once(versions):
    root, add = versions
    reloader = Reloader(root, FakeBackend)
    assert reloader.first().path.name == "1"
    assert looks(reloader) == []
    add(2, 1)
    add(10, 1)
    assert looks(reloader) == ["10"]
    assert looks(reloader) == []
    shutil.rmtree(root / "10")  # the way back
    assert looks(reloader) == ["2"]
    shutil.rmtree(root / "1")
    shutil.rmtree(root / "2")
    assert looks(reloader) == []


def test_a_run_directory_and_a_replaced_version(versions):
    root, add = versions
    run = root / "run"
    shutil.copytree(root / "1", run / "export/1")
    reloader = Reloader(run, FakeBackend)
    assert reloader.first().path == run / "export/1"
    shutil.rmtree(run / "export/1")
    add(0, 1, "run/export/1")
    assert looks(reloader) == ["1"]
    one = Reloader(root / "1", FakeBackend)  # a version itself has no other versions
    one.first()
    add(2, 1)
    assert looks(one) == []


def test_a_version_that_is_being_copied_is_left_alone(versions):
    root, add = versions
    load, paths = recording(FakeBackend)
    reloader = Reloader(root, load)
    reloader.first()
    new = add(2, 1)
    data = new / "variables/variables.data-00000-of-00001"
    content = data.read_bytes()
    for size in (0, 10, 20):
        data.write_bytes(content[:size])
        assert reloader.look() is None
    data.write_bytes(content)
    assert looks(reloader) == ["2"]
    assert paths == ["1", "2"]


@pytest.mark.parametrize(
    "damage",
    [
        "truncated",
        pytest.param("missing", marks=pytest.mark.long),
        pytest.param("no model", marks=pytest.mark.long),
    ],
)
def test_a_damaged_version_is_reported_once_and_ignored(versions, caplog, damage):
    root, add = versions
    load, paths = recording()
    reloader = Reloader(root, load)
    first = reloader.first()
    new = add(2, 1)
    data = new / "variables/variables.data-00000-of-00001"
    if damage == "truncated":
        data.write_bytes(data.read_bytes()[:100])
    elif damage == "missing":
        (new / "assets.extra/tf_serving_warmup_requests").unlink()
    else:
        (new / "saved_model.pb").write_bytes(b"no model")
    with caplog.at_level(logging.WARNING):
        assert [reloader.look() for _ in range(5)] == [None] * 5
    assert paths == ["1", "2"]
    (record,) = caplog.records
    assert record.message.startswith(f"{new}: this version cannot be served, and is ")
    embedding = asyncio.run(first.predict({"in0": [[1]]}))
    assert embedding.shape == (1, 8)
    shutil.rmtree(new)  # repaired
    add(2, 1)
    backends = [reloader.look() for _ in range(2)]
    assert backends[1].version == 2


def test_the_old_backend_is_closed_after_its_last_request():
    async def main():
        old, new = FakeBackend("old"), FakeBackend("new")
        active = ActiveBackend(old)
        async with active.use() as first:
            replacing = asyncio.create_task(active.replace(new))
            await asyncio.sleep(0)
            async with active.use() as second:
                assert (first, second) == (old, new)
            assert not old.closed
        await replacing
        assert (old.closed, new.closed) == (True, False)

    asyncio.run(main())


def test_no_request_fails_while_versions_change(versions, exported):
    root, add = versions
    pairs = {"in0": [[1, 2, 3], [4]], "in1": [[5], [6, 7]]}
    body = {"instances": [{"in0": [1, 2, 3], "in1": [5]}, {"in0": [4], "in1": [6, 7]}]}
    # Three probabilities, or one value.
    expected = {
        len(scores[0]): scores
        for output in ("softmax", "mean_squared_error")
        for scores in [exported(output=output).expected(pairs)]
    }
    reloader = Reloader(root, local_backend, seconds=0.02)

    async def hammer(app, widths, done):
        while not done.is_set():
            status, answer = await app.json(body, path="/invocations")
            assert status == 200
            scores = [row["scores"] for row in answer["predictions"]]
            np.testing.assert_allclose(scores, expected[len(scores[0])], rtol=1e-5)
            widths.append(len(scores[0]))
            await asyncio.sleep(0.01)

    async def main():
        backend = reloader.first()
        old = weakref.ref(backend._model)
        gateway = Gateway(backend, reloader=reloader)
        del backend
        app = App(None, gateway=gateway)
        widths, done = [], asyncio.Event()
        async with gateway.lifespan():
            tasks = [asyncio.create_task(hammer(app, widths, done)) for _ in range(8)]
            await asyncio.sleep(0.1)
            add(2, 1, "new").rename(root / "2")  # appears complete
            async with asyncio.timeout(TIMEOUT):
                while not widths or widths[-1] == 3 or old():
                    await asyncio.sleep(0.05)
                    for task in tasks:
                        if task.done():
                            task.result()
            done.set()
            await asyncio.gather(*tasks)
            page = await app.request(b"", path="/metrics", method="GET")
        assert b"object2vec_model_version 2.0" in page[2]
        return widths

    counts = asyncio.run(main())
    gc.unfreeze()  # of the reloader
    first_new = counts.index(1)
    assert first_new > 0
    assert 0 not in counts[first_new + 8 :]  # eight requests may have been running


def test_a_damaged_version_does_not_replace_the_one_that_is_served(versions, caplog):
    root, add = versions
    reloader = Reloader(root, local_backend)
    assert reloader.first().version == 1
    data = add(2, 1) / "saved_model.pb"
    content = data.read_bytes()
    data.write_bytes(flipped(content, 4 * len(content)))
    assert [reloader.look() for _ in range(3)] == [None] * 3
    (line,) = caplog.messages
    assert "2: this version cannot be served, and is ignored: " in line
    assert "saved_model.pb: is damaged: its checksum differs" in line
    data.write_bytes(content)
    backends = [reloader.look() for _ in range(2)]
    assert [backend and backend.version for backend in backends] == [None, 2]
