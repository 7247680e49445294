"""Retrieval measures of a run, in catalogs whose ranking is known."""

import json
import re

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.training.retrieval import RetrievalTask

# Items 1 to 6 of user 7 and of user 8 from the best to the worst.
ORDERS = {7: [3, 1, 5, 2, 4, 6], 8: [6, 5, 4, 3, 2, 1]}
SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc1_network": "pooled_embedding",
    "enc0_vocab_size": 10,
    "enc1_vocab_size": 9,
    "enc0_max_seq_len": 1,
    "enc1_max_seq_len": 1,
    "enc_dim": 4,
    "mlp_layers": 0,
    "objective": "in_batch_softmax",
    "in_batch_similarity": "inner_product",
    "learning_rate": 0.05,
}


class KnownModel:
    """A model whose inner products order the items of each user as `ORDERS` does."""

    def embed_tokens(self, tokens, encoder):
        rows = [
            row.tolist() for row in np.split(tokens.values, tokens.row_splits[1:-1])
        ]
        if encoder:
            return np.eye(7, dtype=np.float32)[[row[0] for row in rows]]
        scores = np.zeros((len(rows), 7), np.float32)
        for vector, (user,) in zip(scores, rows, strict=True):
            vector[ORDERS[user]] = [6, 5, 4, 3, 2, 1]
        return scores


def pairs(*rows):
    in0, in1, labels = zip(*rows, strict=True)
    columns = [RaggedColumn.from_rows([[i] for i in ids]) for ids in (in0, in1)]
    report = Report((), {}, {}, (), {}, "")
    return Pairs(*columns, np.array(labels), o2v.Hyperparameters(**SETTINGS), report)


# The last pair is also in train.
VALIDATION = pairs((7, 1, 1), (7, 4, 1), (8, 3, 1), (8, 6, 0), (7, 1, 1), (8, 5, 1))
TRAIN = pairs((7, 3, 1), (8, 5, 1), (8, 2, 0), (9, 2, 1), (9, 3, 1), (7, 8, 1))


def test_the_object_key_decides_what_is_known():
    settings = o2v.Hyperparameters(**SETTINGS, object_key="first_token")

    def with_history(*rows):
        columns = [RaggedColumn.from_rows([*ids]) for ids in zip(*rows, strict=True)]
        report = Report((), {}, {}, (), {}, "")
        return Pairs(*columns, np.ones(len(rows), int), settings, report)

    validation = with_history(([7, 5], [1]), ([8], [2]))
    train = with_history(([7], [3, 9]), ([7, 6], [2]), ([8, 3], [3]), ([6], [3]))
    pool = RaggedColumn.from_rows([[1], [2], [3], [3, 4]])
    task = RetrievalTask(validation, train, "inner_product", pool)
    assert task.popularity.tolist() == [0, 1, 3, 3]
    assert np.split(task.excluded.items, task.excluded.splits[1:-1]) == [
        pytest.approx([1, 2, 3]),
        pytest.approx([2, 3]),
    ]


@pytest.mark.parametrize("in_file", [[1, 2, 3, 4, 5, 6], [5, 2, 2, 6]])
def test_known_pairs_and_other_true_items_are_left_out(in_file):
    pool = RaggedColumn.from_rows([[i] for i in in_file])
    task = RetrievalTask(VALIDATION, TRAIN, "inner_product", pool)
    # Items of validation pairs that the pool lacks are added: 1, 4 and 3.
    expected = [1, 2, 3, 4, 5, 6] if len(in_file) == 6 else [5, 2, 6, 1, 4, 3]
    assert task.items.values.tolist() == expected
    # User 7 without item 3: 1, 5, 2, 4, 6. Item 1 has rank 1, and 4 has rank 3 without
    # the true item 1. User 8 without item 5: 6, 4, 3, ...
    measures = task.measure(KnownModel())
    assert measures == pytest.approx(
        {
            "hits@1": 1 / 2,
            "hits@10": 1.0,
            "recall@10": 1.0,
            "mean_rank": (1 + 3 + 3) / 3,
            "mrr": (1 + 1 / 3) / 2,
        }
    )
    assert task.sizes() == {
        "similarity": "inner_product",
        "queries": 2,
        "pairs": 3,
        "pool": 6,
    }


def test_popularity_counts_true_training_pairs():
    pool = RaggedColumn.from_rows([[i] for i in range(1, 7)])
    task = RetrievalTask(VALIDATION, TRAIN, "inner_product", pool)
    np.testing.assert_array_equal(task.popularity, [0, 1, 2, 0, 1, 0])
    # User 7 without 3: 2 and 5 are first; then 1 (true), 4 (true) and 6 are equal. Each
    # true one is equal to 6. User 8 without 5: 3 (true) is first.
    measures = task.measure_popularity()
    assert measures["hits@1"] == pytest.approx(1 / 2)
    assert measures["mean_rank"] == pytest.approx((3.5 + 3.5 + 1) / 3)


def test_without_a_pool_the_items_of_the_channel_are_ranked():
    task = RetrievalTask(VALIDATION, TRAIN, "cosine")
    assert sorted(task.items.values.tolist()) == [1, 3, 4, 5, 6]
    few = RetrievalTask(VALIDATION, TRAIN, "cosine", max_scores=5)
    assert few.queries.values.tolist() == [7]
    assert few.relevant.items.tolist() == [
        few.items.values.tolist().index(i) for i in (1, 4)
    ]


@pytest.fixture
def files(tmp_path):
    generator = np.random.default_rng(0)
    paths = {}
    for name, count in (("train", 60), ("validation", 20)):
        # User u likes the items u mod 3, u mod 3 + 3 and u mod 3 + 6.
        users = generator.integers(0, 10, count)
        items = users % 3 + 3 * generator.integers(0, 3, count)
        rows = zip(users.tolist(), items.tolist(), strict=True)
        lines = [json.dumps({"in0": [u], "in1": [i], "label": 1}) for u, i in rows]
        paths[name] = tmp_path / f"{name}.jsonl"
        paths[name].write_text("\n".join(lines))
    paths["pool"] = tmp_path / "pool.jsonl"
    paths["pool"].write_text("".join(f'{{"in1": [{i}]}}\n' for i in range(9)))
    return paths


def read_rows(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {(row["in0"][0], row["in1"][0]) for row in rows}


def measures_of(model, files):
    """Ranks the items of each validation pair in a plain loop."""
    items = model.embed([[i] for i in range(9)], encoder=1)
    known = read_rows(files["train"])
    true = read_rows(files["validation"]) - known
    ranks = {}
    for user, item in true:
        scores = items @ model.embed([[user]])[0]
        left_out = {i for i in range(9) if (user, i) in known | true} - {item}
        better = {i for i in range(9) if scores[i] > scores[item]} - left_out
        ranks.setdefault(user, []).append(1 + len(better))
    best = np.array([min(values) for values in ranks.values()])
    return {
        "hits@1": np.mean(best == 1),
        "mean_rank": np.mean([rank for values in ranks.values() for rank in values]),
        "mrr": np.mean(1 / best),
    }


def test_a_run_measures_every_epoch_and_shows_what_means_something(
    files, tmp_path, capsys
):
    hyperparameters = SETTINGS | {"epochs": 2}
    settings = {
        "train": files["train"],
        "validation": files["validation"],
        "test": files["validation"],
        "model_dir": tmp_path / "run",
    }
    run = o2v.fit(hyperparameters, **settings, retrieval_pool=files["pool"])
    names = ["hits@1", "hits@10", "recall@10", "mean_rank", "mrr"]
    expected, known = measures_of(run.model, files), read_rows(files["train"])
    for channel in ("validation", "test"):
        for name, value in expected.items():
            assert run.metrics[channel][name] == pytest.approx(value), (channel, name)
    for record in run.history:
        assert [*record["validation"]][-5:] == names
        assert "hits@1" not in record["train"]
    best = run.history[run.metrics["best_epoch"]]
    assert run.metrics["validation"] == best["validation"]
    popularity = run.metrics["baselines"]["popularity"]
    assert [*popularity] == ["validation", "test"]

    out = capsys.readouterr().out
    value = run.metrics["validation"]["mean_rank"]
    lines = [line for line in out.splitlines() if not line.startswith("#")]
    assert f"mean_rank  {value:#.4g}  {value:#.4g}" in [
        "  ".join(line.split()) for line in lines
    ]
    score = popularity["test"]["mrr"]
    assert f"baseline: popularity {score:#.4g} {score:#.4g}" in [
        " ".join(line.split()) for line in lines
    ]
    # All training labels are 1: the comparator's metrics mean nothing.
    report = (tmp_path / "run/report.md").read_text()
    assert not re.search("(?<!in_batch_)accuracy", "".join(lines))
    assert "| accuracy |" not in report
    users = len({u for u, _ in read_rows(files["validation"]) - known})
    assert f"{users} in0 rank 9 items by inner_product" in report
    assert run.metrics["validation"]["accuracy"] == 1.0
    assert "epoch=1, validation hits@10 <score>=" in out
    assert "epoch=1, validation mean_rank <loss>=" in out
    assert "epoch=1, validation accuracy <score>=1\n" in out

    # History has the measures of one pool: another one is another run.
    with pytest.raises(o2v.RunDirectoryError, match=r"retrieval_pool: .*not set now"):
        o2v.fit(hyperparameters, **settings)


def test_invalid_pools_are_errors_before_training(files, tmp_path):
    def fit(pool, **channels):
        o2v.fit(
            SETTINGS,
            train=files["train"],
            **channels,
            retrieval_pool=pool,
            model_dir=tmp_path / "run",
        )

    with pytest.raises(o2v.UserError, match="retrieval_pool: expected a validation ch"):
        fit(files["pool"])
    with pytest.raises(o2v.UserError, match=r"retrieval_pool: .*/none\.jsonl: no such"):
        fit(tmp_path / "none.jsonl", validation=files["validation"])
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"in1": [9]}\n')
    with pytest.raises(o2v.UserError, match=r"wrong\.jsonl:1: in1\[0\]: expected"):
        fit(wrong, validation=files["validation"])
    wrong.write_text('{"in0": [9]}\n')
    with pytest.raises(o2v.UserError, match="expected in1 in each line, got only in0"):
        fit(wrong, validation=files["validation"])
    negative = tmp_path / "negative.jsonl"
    negative.write_text('{"in0": [1], "in1": [1], "label": 0}\n')
    with pytest.raises(o2v.UserError, match="0 that are not in train, got none"):
        fit(files["pool"], validation=negative)
    with pytest.raises(o2v.UserError, match="0 that are not in train, got none"):
        fit(files["pool"], validation=files["train"])
