"""Tests of object2vec_tf/search/evaluation.py and of the command, with a trained run.

The expected ranks come from scoring one pair at a time with the model.
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
from object2vec_tf.search.evaluation import evaluate, pair_scorer
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


def expected_ranks(run: Path, score: str, items) -> list[float]:
    """The rank of each pair's in1, from scores of one pair at a time."""
    model = keras.models.load_model(run / "model.keras")
    ranks = []
    for in0, in1 in PAIRS:
        scores = []
        for item in [in1[:2], *[item for item in items if item != in1[:2]]]:
            ids = {
                "in0": tf.ragged.constant([in0], dtype=tf.int32, ragged_rank=1),
                "in1": tf.ragged.constant([item], dtype=tf.int32, ragged_rank=1),
            }
            if score == "model":
                scores.append(float(model(ids)[0, -1]))
                continue
            a = model.enc0(ids["in0"]).numpy()[0].astype(float)
            b = model.enc1(ids["in1"]).numpy()[0].astype(float)
            lengths = max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30)
            scores.append(
                {
                    "cosine": a @ b / lengths,
                    "inner_product": a @ b,
                    "euclidean": -np.linalg.norm(a - b),
                }[score]
            )
        others = np.array(scores[1:])
        ties = np.isclose(others, scores[0], rtol=1e-5, atol=1e-7)
        ranks.append(1 + np.sum((others > scores[0]) & ~ties) + ties.sum() / 2)
    return ranks


@pytest.mark.parametrize("score", ["cosine", "inner_product", "euclidean", "model"])
def test_metrics_equal_those_of_single_pairs(run: Path, files, score: str):
    pairs, pool = files
    ranks = np.array(
        expected_ranks(run, score, [[10], [4, 5], [11, 12], [13], [8], [6]])
    )

    metrics = evaluate(run, pairs, pool, score=score, hits=(1, 3))

    assert metrics == pytest.approx(
        {
            "hits@1": np.mean(ranks <= 1),
            "hits@3": np.mean(ranks <= 3),
            "mean_rank": ranks.mean(),
            "mrr": np.mean(1 / ranks),
            "ndcg@3": np.mean((ranks <= 3) / np.log2(1 + ranks)),
            "queries": 5,
            "pool": 6,
        }
    )


def test_the_default_pool_is_the_items_of_the_pairs(run: Path, files):
    ranks = np.array(expected_ranks(run, "cosine", [[4, 5], [6], [8]]))
    metrics = evaluate(run, files[0])
    assert (metrics["mean_rank"], metrics["pool"]) == (pytest.approx(ranks.mean()), 3)


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
    message = "none.jsonl: no such file. Check --pool"
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
