"""Tests of queries with exclusions and rescoring; numpy sorts all items."""

import json
import types

import numpy as np
import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.search.index import NeighborIndex, build_index
from object2vec_tf.search.indexed_objects import Rescorer

ITEMS = [[i] for i in range(20)] + [[7, 1], [7]]  # [7] is there twice
USERS = [[3, 3], [1], [], [29]]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def files(small_run, tmp_path_factory):
    """The directory of an exact and an approximate index, and of queries."""
    folder = tmp_path_factory.mktemp("exclusion")
    items = write(folder / "items.jsonl", [{"in1": item} for item in ITEMS])
    write(folder / "users.jsonl", [{"in0": user} for user in USERS])
    for search in ("exact", "approximate"):
        build_index(items, folder / search, model=small_run, search=search)
    return folder


def cosines(run, side, objects):
    model = load_model(run)
    queries = model(RaggedInputs.from_rows({side: objects}))
    items = model(RaggedInputs.from_rows({"in1": ITEMS}))
    norms = [np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, items)]
    unit = [
        x / np.where(norm > 0, norm, 1)
        for x, norm in zip((queries, items), norms, strict=True)
    ]
    return unit[0] @ unit[1].T


def found_items(answer):
    return [one["item"]["in1"] for one in answer["neighbors"]]


@pytest.mark.parametrize("search", ["exact", "approximate"])
def test_known_items_are_not_returned(small_run, files, tmp_path, search):
    # All but two items of the first user; [7] is known, and so are both its copies.
    known = [[20, 21, 7, *range(5), *range(6, 19)], [7, 21, 12], [], []]
    pairs = [
        {"in0": user, "in1": ITEMS[number], "label": number % 2}
        for user, numbers in zip(USERS, known, strict=True)
        for number in numbers
        if number != 21
    ]
    pairs += [{"in0": [9], "in1": [2]}, {"in0": [1], "in1": [25]}]  # of no interest
    write(tmp_path / "known.jsonl", pairs[:10])
    write(tmp_path / "more.jsonl", pairs[10:])
    index = NeighborIndex(files / search)

    answers = list(index.query(files / "users.jsonl", 4, exclude=f"{tmp_path}/*.jsonl"))

    scores = cosines(small_run, "in0", USERS)
    for row, (answer, numbers) in enumerate(zip(answers, known, strict=True)):
        kept = np.delete(np.arange(22), numbers)
        best = sorted(scores[row, kept], reverse=True)[:4]
        assert answer["query"] == {"in0": USERS[row]}
        assert [one["rank"] for one in answer["neighbors"]] == [1, 2, 3, 4][: len(best)]
        found = [one["score"] for one in answer["neighbors"]]
        np.testing.assert_allclose(found, best, rtol=1e-4, atol=1e-6)
        assert all(
            item not in [ITEMS[i] for i in numbers] for item in found_items(answer)
        )
    assert len(answers[0]["neighbors"]) == 2
    # One query alone needs another number of results, and gets the same answer.
    single = write(tmp_path / "single.jsonl.one", [{"in0": [1]}])
    assert list(index.query(single, 4, exclude=f"{tmp_path}/*.jsonl")) == answers[1:2]


def test_the_query_itself_is_not_returned(small_run, files, tmp_path):
    index = NeighborIndex(files / "exact")
    queries = write(tmp_path / "q.jsonl", [{"in1": [7]}, {"in1": [25]}])
    alone, other = index.query(queries, 3, exclude_self=True)
    scores = cosines(small_run, "in1", [[7], [25]])
    scores[0, [7, 21]] = -np.inf
    for row, answer in enumerate([alone, other]):
        best = np.argsort(-scores[row], kind="stable")[:3]
        assert found_items(answer) == [ITEMS[i] for i in best]
    # An in0 with the same ids is another object.
    users = write(tmp_path / "u.jsonl", [{"in0": [7]}])
    with pytest.raises(UserError, match=r"u\.jsonl: expected queries with in1, .* in0"):
        next(index.query(users, 22, exclude_self=True))


def test_the_comparator_orders_the_nearest(small_run, files):
    answers = list(NeighborIndex(files / "exact").query(files / "users.jsonl", 5))
    rescored = NeighborIndex(files / "exact").query(
        files / "users.jsonl", 5, rescore=True
    )
    model = load_model(small_run)
    for user, plain, answer in zip(USERS, answers, rescored, strict=True):
        candidates = found_items(plain)
        pairs = {"in0": [user] * 5, "in1": candidates}
        chances = model(RaggedInputs.from_rows(pairs))[:, 1]
        order = np.argsort(-chances, kind="stable")
        assert found_items(answer) == [candidates[i] for i in order]
        assert [one["rank"] for one in answer["neighbors"]] == [1, 2, 3, 4, 5]
        scores = [one["score"] for one in answer["neighbors"]]
        np.testing.assert_allclose(scores, chances[order], rtol=1e-5)
        similarities = [one["similarity"] for one in answer["neighbors"]]
        before = [one["score"] for one in plain["neighbors"]]
        np.testing.assert_allclose(similarities, np.array(before)[order], rtol=1e-5)


def test_what_cannot_be_excluded_or_rescored_is_an_error(small_run, files, tmp_path):
    index = NeighborIndex(files / "exact")
    items = files / "items.jsonl"
    known = write(tmp_path / "known.jsonl", [{"in0": [1], "in1": [2]}])
    with pytest.raises(UserError, match="expected queries with in0, got in1"):
        next(index.query(items, exclude=known))
    with pytest.raises(UserError, match="expected queries with in0 to rescore items"):
        next(index.query(items, rescore=True))
    vectors = write(tmp_path / "v.jsonl", [{"embeddings": [1.0] * 8}])
    with pytest.raises(UserError, match=r"v\.jsonl: expected objects, .* embeddings"):
        next(index.query(vectors, exclude_self=True))
    build_index(vectors, tmp_path / "index")
    embedded = NeighborIndex(tmp_path / "index", small_run)
    with pytest.raises(UserError, match=r"index: expected objects, .* embeddings"):
        next(embedded.query(files / "users.jsonl", rescore=True))
    settings = types.SimpleNamespace(output_layer="softmax", num_classes=3)
    three = types.SimpleNamespace(hyperparameters=settings)
    with pytest.raises(UserError, match="got 3 class probabilities"):
        Rescorer(None, three)
