"""Tests of object2vec_tf/search/index_model.py: models that an index accepts."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.errors import UserError
from object2vec_tf.inference.predictor import SavedModelPredictor, load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.search.index import NeighborIndex, build_index
from object2vec_tf.search.index_addition import add_items
from object2vec_tf.search.index_directory import IndexFiles, model_digest
from object2vec_tf.search.index_model import load_index_model

ITEMS = [[i] for i in range(20)] + [[]]
MESSAGE = (
    "model that embedded its items, or one with the same encoder of {}, got another"
)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def frozen(small_run, tmp_path_factory):
    """A run that starts from small_run and has a frozen enc1, so that enc0 differs."""
    settings = json.loads((small_run / "hyperparameters.json").read_text())
    run = tmp_path_factory.mktemp("frozen") / "run"
    o2v.fit(
        {**settings, "learning_rate": 0.01},
        train=small_run.parent / "train.jsonl",
        model_dir=run,
        initial_model=small_run,
        freeze="enc1",
        verbose=False,
    )
    return run


@pytest.fixture
def index(request, small_run, tmp_path):
    items = write(tmp_path / "items", [{"in1": item} for item in ITEMS])
    build_index(items, tmp_path / "index", model=small_run, search=request.param)
    return tmp_path / "index"


@pytest.mark.parametrize("index", ["exact"], indirect=True)
def test_a_model_with_the_same_item_encoder_is_accepted(
    small_run, frozen, index, tmp_path
):
    queries = write(tmp_path / "queries", [{"in0": [3]}])
    new = write(tmp_path / "new", [{"in1": [7, 8]}])
    before = load_model(small_run)
    users = RaggedInputs.from_rows({"in0": [[3]]})
    user = load_model(frozen)(users)[0]
    assert not np.allclose(user, before(users)[0], rtol=1e-2)
    items = before(RaggedInputs.from_rows({"in1": [*ITEMS, [7, 8]]}))
    lengths = np.linalg.norm(items, axis=1) * np.linalg.norm(user)
    cosines = items @ user / np.where(lengths > 0, lengths, 1)
    for count in (21, 22):
        answer = next(NeighborIndex(index, frozen).query(queries, 22))
        scores = [neighbor["score"] for neighbor in answer["neighbors"]]
        expected = np.sort(cosines[:count])[::-1]
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
        add_items(new, index, model=frozen)
    digest = json.loads((index / "manifest.json").read_text())["model_digest"]
    assert digest == model_digest(frozen)


def test_a_newer_version_that_embeds_items_differently_is_an_error(
    small_run, frozen, tmp_path
):
    store, index = tmp_path / "models", tmp_path / "index"
    shutil.copytree(small_run / "export" / "1", store / "1")
    items = write(tmp_path / "items", [{"in0": item} for item in ITEMS])
    build_index(items, index, model=store, metric="inner_product")
    manifest = (index / "manifest.json").read_bytes()
    queries = write(tmp_path / "queries", [{"in1": [3]}])
    shutil.copytree(frozen / "export" / "1", store / "2")
    message = rf"{MESSAGE.format('in0')} one in {store}/2\. Build the index again"
    with pytest.raises(UserError, match=message):
        next(NeighborIndex(index).query(queries))
    with pytest.raises(UserError, match=message):
        add_items(write(tmp_path / "new", [{"in0": [7, 8]}]), index)
    assert (index / "manifest.json").read_bytes() == manifest
    assert next(NeighborIndex(index, store / "1").query(queries))


@pytest.mark.parametrize("index", ["exact", "approximate"], indirect=True)
def test_a_model_that_rounds_differently_is_known_by_its_digest(small_run, index):
    files = IndexFiles.read(index)
    vectors = files.vectors.reconstruct_n(0, len(ITEMS))

    class Rounded:
        def reconstruct(self, row):
            return vectors[row] * np.float32(1.01)

    rounded = dataclasses.replace(files, vectors=Rounded())
    load_index_model(small_run, rounded, index)
    rounded.manifest["model_digest"] = "1"
    with pytest.raises(UserError, match=MESSAGE.format("in1")):
        load_index_model(small_run, rounded, index)
    load_index_model(small_run, files, index)


@pytest.mark.parametrize("index", ["exact"], indirect=True)
@pytest.mark.parametrize("scale", [1e25, 1e-25])
def test_embeddings_whose_squares_overflow_or_vanish_are_compared(
    scale, small_run, index, monkeypatch
):
    embed = SavedModelPredictor.__call__
    files = IndexFiles.read(index)
    stored = load_model(small_run)(RaggedInputs.from_rows({"in1": ITEMS}))

    class Scaled:
        def reconstruct(self, row):
            return stored[row] * np.float32(scale)

    manifest = files.manifest | {"metric": "inner_product", "model_digest": "1"}
    scaled = dataclasses.replace(files, vectors=Scaled(), manifest=manifest)
    for factor, is_same in ((1, True), (1.01, False)):
        monkeypatch.setattr(
            SavedModelPredictor,
            "__call__",
            lambda model, inputs, by=scale * factor: (
                embed(model, inputs) * np.float32(by)
            ),
        )
        if is_same:
            load_index_model(small_run, scaled, index)
        else:
            with pytest.raises(UserError, match=MESSAGE.format("in1")):
                load_index_model(small_run, scaled, index)


@pytest.mark.parametrize("index", ["exact"], indirect=True)
def test_tokens_of_the_checked_items_are_not_counted(small_run, index, monkeypatch):
    embed = SavedModelPredictor.__call__

    def embed_and_count(model, inputs):
        model.token_counts = {"in1": len(inputs)}
        return embed(model, inputs)

    monkeypatch.setattr(SavedModelPredictor, "__call__", embed_and_count)
    assert load_index_model(small_run, IndexFiles.read(index), index).token_counts == {}
