"""Tests of object2vec_tf/search/evaluation.py and of the command, with a trained run.

The expected metrics come from scoring one pair at a time with the model.
"""

import json
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.search.evaluation import evaluate, pair_scorer, true_ranks
from tests.command_server import python_m

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 30,
    "enc0_max_seq_len": 3,
    "enc1_network": "pooled_embedding",
    "enc1_vocab_size": 30,
    "enc1_max_seq_len": 2,
    "enc_dim": 8,
    "mlp_dim": 8,
    "mlp_activation": "tanh",
    "epochs": 1,
    "learning_rate": 0.05,
}
PAIRS = [
    ([1, 2, 3], [4, 5]),
    ([1, 2, 3], [6]),
    ([7], [4, 5, 29]),  # is truncated to [4, 5]
    ([], [8]),
    ([9, 9], [6]),
]
ITEMS = [[10], [4, 5], [11, 12], [10], [13], [8]]  # without [6]


def write(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module", params=["softmax", "mean_squared_error"])
def run(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    rows = [
        {"in0": [i % 30, i % 7], "in1": [i * 7 % 30], "label": i % 2} for i in range(64)
    ]
    train = write(folder / "train.jsonl", rows)
    settings = {**SETTINGS, "output_layer": request.param}
    o2v.fit(settings, train=str(train), model_dir=str(folder / "run"))
    return folder / "run"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    pairs = write(
        tmp_path / "pairs.jsonl",
        [{"in0": a, "in1": b, "label": 1} for a, b in PAIRS],
    )
    return pairs, write(tmp_path / "items.jsonl", [{"in1": item} for item in ITEMS])


QUERIES = [[1, 2, 3], [7], [], [9, 9]]
POOL = [[10], [4, 5], [11, 12], [13], [8], [6]]
RELEVANT = [[1, 5], [1], [4], [5]]  # positions in the pool


def score_table(run: Path, score: str) -> np.ndarray:
    """The scores of single pairs of a query and an item, ``[queries, items]``."""
    model = keras.models.load_model(run / "model.keras")
    table = np.empty((len(QUERIES), len(POOL)))
    for i, in0 in enumerate(QUERIES):
        for j, in1 in enumerate(POOL):
            ids = {
                "in0": tf.ragged.constant([in0], dtype=tf.int32, ragged_rank=1),
                "in1": tf.ragged.constant([in1], dtype=tf.int32, ragged_rank=1),
            }
            if score == "model":
                table[i, j] = model(ids)[0, -1]
                continue
            a = model.enc0(ids["in0"]).numpy()[0].astype(float)
            b = model.enc1(ids["in1"]).numpy()[0].astype(float)
            lengths = max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30)
            table[i, j] = {
                "cosine": a @ b / lengths,
                "inner_product": a @ b,
                "euclidean": -np.linalg.norm(a - b),
            }[score]
    return table


def expected_metrics(table, relevant, known=((), (), (), ()), cutoffs=(1, 3)):
    """Metrics counted pair by pair; a tie with an irrelevant item is half a miss."""
    queries, filtered = [], []
    for row, own, out in zip(table, relevant, known, strict=True):
        others = np.delete(row, [*own, *out])
        misses = []
        for item in own:
            tied = np.isclose(others, row[item], rtol=1e-5, atol=1e-7)
            misses.append(np.sum((others > row[item]) & ~tied) + tied.sum() / 2)
        misses.sort()
        places = [1 + place + miss for place, miss in enumerate(misses)]
        filtered += [1 + miss for miss in misses]
        one = {"mrr": 1 / places[0]}
        precisions = [number / place for number, place in enumerate(places, 1)]
        one["map"] = np.mean(precisions)
        for k in cutoffs:
            found = [place for place in places if place <= k]
            ideal = sum(1 / np.log2(2 + i) for i in range(min(k, len(own))))
            one[f"hits@{k}"] = bool(found)
            one[f"recall@{k}"] = len(found) / len(own)
            one[f"precision@{k}"] = len(found) / k
            one[f"ndcg@{k}"] = sum(1 / np.log2(1 + p) for p in found) / ideal
        queries.append(one)
    means = {name: np.mean([one[name] for one in queries]) for name in queries[0]}
    return {**means, "mean_rank": np.mean(filtered)}


@pytest.mark.parametrize("score", ["cosine", "inner_product", "euclidean", "model"])
def test_metrics_equal_those_of_single_pairs(run: Path, files, score: str):
    pairs, pool = files
    table = score_table(run, score)

    metrics = evaluate(run, pairs, pool, score=score, hits=(1, 3))

    expected = expected_metrics(table, RELEVANT)
    assert metrics == pytest.approx({**expected, "queries": 4, "pairs": 5, "pool": 6})
    if score == "cosine":
        ranks, items = true_ranks(run, pairs, pool)
        singles = [expected_metrics(table[[i]], [[j]], [[]]) for i, j in POSITIONS]
        assert ranks == pytest.approx([single["mean_rank"] for single in singles])
        assert items == 6


# The query and the item of each of the pairs.
POSITIONS = [(0, 1), (0, 5), (1, 1), (2, 4), (3, 5)]


@pytest.mark.parametrize("run", ["softmax"], indirect=True)
def test_known_pairs_are_no_candidates_and_define_popularity(
    run: Path, files, tmp_path: Path
):
    pairs, pool = files
    write(
        tmp_path / "known.1.jsonl",
        [
            {"in0": [1, 2, 3, 4], "in1": [10], "label": 1},  # in0 is truncated
            {"in0": [9, 9], "in1": [8], "label": 0},
            {"in0": [9, 9], "in1": [10], "label": 0.5},
        ],
    )
    # Another query, another item, and a pair that is evaluated.
    write(
        tmp_path / "known.2.jsonl",
        [
            {"in0": [20], "in1": [11, 12]},
            {"in0": [9, 9], "in1": [20]},
            {"in0": [7], "in1": [4, 5]},
        ],
    )
    known = str(tmp_path / "known.*.jsonl")

    with pytest.warns(
        UserWarning, match=r"pairs.jsonl: 1 true pairs are also excluded"
    ):
        metrics = evaluate(run, pairs, pool, exclude=known, hits=(1, 3))

    kept = [0, 2, 3]
    relevant, excluded = [[1, 5], [4], [5]], [[0], [], [0, 4]]
    popularity = metrics.pop("popularity")
    table = score_table(run, "cosine")[kept]
    expected = expected_metrics(table, relevant, excluded)
    assert metrics == pytest.approx({**expected, "queries": 3, "pairs": 4, "pool": 6})
    counts = np.tile([2.0, 1, 1, 0, 0, 0], (3, 1))
    assert popularity == pytest.approx(expected_metrics(counts, relevant, excluded))


@pytest.mark.parametrize("run", ["softmax"], indirect=True)
def test_labels_above_0_make_true_pairs(run: Path, tmp_path: Path):
    rows = [{"in0": in0, "in1": in1, "label": int(in0 == [7])} for in0, in1 in PAIRS]
    metrics = evaluate(run, write(tmp_path / "pairs.jsonl", rows))
    assert (metrics["queries"], metrics["pairs"], metrics["pool"]) == (1, 1, 3)
    for row in rows:
        row["label"] = 0
    with pytest.raises(UserError, match=r"pairs with a label above 0 .*, got none"):
        evaluate(run, write(tmp_path / "pairs.jsonl", rows))
    rows[3]["label"] = "yes"
    with pytest.raises(DataError, match=r':4: label: expected a number, got "yes"'):
        evaluate(run, write(tmp_path / "pairs.jsonl", rows))


@pytest.mark.parametrize("run", ["softmax"], indirect=True)
def test_the_default_pool_is_the_items_of_the_pairs(run: Path, files):
    table = score_table(run, "cosine")[:, [1, 5, 4]]
    relevant = [[0, 1], [0], [2], [1]]
    metrics = evaluate(run, files[0])
    mean_rank = expected_metrics(table, relevant)["mean_rank"]
    assert (metrics["mean_rank"], metrics["pool"]) == (pytest.approx(mean_rank), 3)


@pytest.mark.parametrize("max_pairs", [1, 4, 13])
def test_scores_do_not_depend_on_the_number_of_pairs_per_step(run: Path, max_pairs):
    generator = np.random.default_rng(2)
    items = generator.normal(size=(6, 8)).astype(np.float32)
    queries = generator.normal(size=(5, 8)).astype(np.float32)
    scores = pair_scorer(run, max_pairs=max_pairs)(items)(queries)
    expected = pair_scorer(run)(items)(queries)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def test_invalid_arguments_are_rejected(run: Path, files, tmp_path: Path):
    pairs, pool = files
    with pytest.raises(
        UserError, match=r"score: expected one of cosine, .*, got 'best'"
    ):
        evaluate(run, pairs, score="best")
    with pytest.raises(
        UserError, match=r"export: expected a run directory with model.keras"
    ):
        evaluate(run / "export", pairs, score="model")
    with pytest.raises(UserError, match=r"items.jsonl: expected in0 and in1 in each"):
        evaluate(run, pool)
    in0 = write(tmp_path / "in0.jsonl", [{"in0": [1]}])
    with pytest.raises(
        UserError, match=r"in0.jsonl: expected in1 in each line, got only in0"
    ):
        evaluate(run, pairs, in0)
    for name in ("pairs", "pool"):
        empty = write(tmp_path / "empty.jsonl", [])
        with pytest.raises(
            UserError, match=r"empty.jsonl: expected lines with .*, got an empty file"
        ):
            evaluate(run, **{"pairs": pairs, name: empty})
    wrong = write(tmp_path / "wrong.jsonl", [{"in1": [1]}, {"in1": [30]}])
    with pytest.raises(DataError, match=r"wrong.jsonl:2: in1\[0\]"):
        evaluate(run, pairs, wrong)


def test_a_model_with_several_classes_has_no_single_score(tmp_path: Path, files):
    train = write(
        tmp_path / "train.jsonl",
        [{"in0": [i], "in1": [i], "label": i % 3} for i in range(8)],
    )
    o2v.fit({**SETTINGS, "num_classes": 3}, train=train, model_dir=tmp_path / "run")
    with pytest.raises(UserError, match=r"got 3 class probabilities"):
        evaluate(tmp_path / "run", files[0], score="model")


@pytest.mark.parametrize("run", ["softmax"], indirect=True)
def test_the_command_prints_one_line_of_json(run: Path, files):
    pairs, pool = files
    line = [*python_m("object2vec_tf.neighbors"), "evaluate"]
    line += [f"--model={run}", f"--input={pairs}", f"--pool={pool}", "--hits=1,5"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert metrics == pytest.approx(evaluate(run, pairs, pool, hits=(1, 5)))
    line.append("--pool=none.jsonl")
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    message = "pool: none.jsonl: no such file or directory"
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
