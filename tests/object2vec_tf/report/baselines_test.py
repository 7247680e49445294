"""Expected scores are computed with plain loops over the pairs."""

import json
import math

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.report.baselines import baselines

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 9,
    "enc0_max_seq_len": 3,
    "enc_dim": 4,
}
REGRESSION = o2v.Hyperparameters(**SETTINGS, output_layer="mean_squared_error")
RANDOM = np.random.default_rng(2)
TRAIN = [
    ([int(u)], [int(i), 3], float(u + i % 3)) for u, i in RANDOM.integers(0, 8, (60, 2))
]
VALIDATION = [([1], [2, 3], 4.0), ([8], [1, 3], 2.0), ([0], [8], 5.5), ([], [], 1.0)]


def read(folder, hyperparameters, **channels):
    pairs = {}
    for name, rows in channels.items():
        path = folder / f"{name}.jsonl"
        lines = [json.dumps({"in0": a, "in1": b, "label": c}) for a, b, c in rows]
        path.write_text("\n".join(lines))
        pairs[name] = o2v.read_pairs(path, hyperparameters)
    return pairs


def test_real_values_are_predicted_by_the_mean_and_by_biases(tmp_path):
    channels = read(tmp_path, REGRESSION, train=TRAIN, validation=VALIDATION)
    scores = baselines(REGRESSION, channels)

    mean = sum(label for _, _, label in TRAIN) / len(TRAIN)
    users, items = {}, {}
    for _ in range(10):
        for own, others, side, reg in ((items, users, 1, 10), (users, items, 0, 15)):
            own.clear()
            for key in {tuple(row[side]) for row in TRAIN}:
                rows = [row for row in TRAIN if tuple(row[side]) == key]
                rest = [r[2] - mean - others.get(tuple(r[1 - side]), 0) for r in rows]
                own[key] = sum(rest) / (len(rest) + reg)
    for name, rows in (("train", TRAIN), ("validation", VALIDATION)):
        constant = [(label - mean) ** 2 for _, _, label in rows]
        biased = [
            (label - mean - users.get(tuple(a), 0) - items.get(tuple(b), 0)) ** 2
            for a, b, label in rows
        ]
        for model, errors in (("constant", constant), ("biases", biased)):
            score = scores[model][name]["mean_squared_error"]
            assert score == pytest.approx(sum(errors) / len(errors)), (model, name)
    assert (
        scores["biases"]["train"]["mean_squared_error"]
        < scores["constant"]["train"]["mean_squared_error"]
    )


@pytest.mark.parametrize("rate", [0, 3])
def test_classes_are_predicted_by_their_shares(tmp_path, rate):
    hyperparameters = o2v.Hyperparameters(
        **SETTINGS, num_classes=3, negative_sampling_rate=rate
    )
    labels = [1, 1, 1, 1, 2, 0]
    train = [([1], [2], label) for label in labels]
    validation = [([1], [2], label) for label in (0, 1, 1)]
    channels = read(tmp_path, hyperparameters, train=train, validation=validation)

    scores = baselines(hyperparameters, channels)["prior"]

    counts = [1 + rate * 6, 4, 1]
    shares = [count / sum(counts) for count in counts]
    cost = -(math.log(shares[0]) + 2 * math.log(shares[1])) / 3
    assert scores["validation"]["cross_entropy"] == pytest.approx(cost)
    accuracy = 1 / 3 if rate else 2 / 3
    assert scores["validation"]["accuracy"] == pytest.approx(accuracy)
    # The scores on train count the negatives, too.
    entropy = -sum(share * math.log(share) for share in shares)
    assert scores["train"]["cross_entropy"] == pytest.approx(entropy)
    assert scores["train"]["accuracy"] == pytest.approx(max(shares))


def test_baselines_count_the_negatives_that_were_made(tmp_path):
    hyperparameters = o2v.Hyperparameters(
        **SETTINGS, output_layer="mean_squared_error", negative_sampling_rate=9
    )
    channels = read(
        tmp_path,
        hyperparameters,
        train=[([1], [2], 4.0), ([3], [4], 2.0)],
        validation=[([1], [2], 1.0)],
    )

    scores = baselines(hyperparameters, channels, {"weight": 4.0})

    # The mean of 4, 2 and four negatives with label 0 is 1.
    train = ((4 - 1) ** 2 + (2 - 1) ** 2 + 4 * 1) / 6
    assert scores["constant"] == {
        "train": {"mean_squared_error": pytest.approx(train)},
        "validation": {"mean_squared_error": pytest.approx(0.0)},
    }
    # Which objects the negatives combine is not known.
    assert set(scores["biases"]) == {"validation"}


def test_a_class_without_training_pairs_has_a_finite_loss(tmp_path):
    hyperparameters = o2v.Hyperparameters(**SETTINGS, num_classes=2)
    channels = read(
        tmp_path, hyperparameters, train=[([1], [2], 1)], test=[([1], [2], 0)]
    )
    scores = baselines(hyperparameters, channels)["prior"]
    assert scores["test"]["cross_entropy"] == pytest.approx(-math.log(1e-7), rel=1e-3)
    assert "auc" not in scores["train"]  # a single class


def test_the_class_frequencies_have_an_auc_of_a_half(tmp_path):
    hyperparameters = o2v.Hyperparameters(**SETTINGS, num_classes=2)
    pairs = [([1], [2], label) for label in (0, 1, 1)]
    channels = read(tmp_path, hyperparameters, train=pairs)
    assert baselines(hyperparameters, channels)["prior"]["train"]["auc"] == 0.5


@pytest.mark.long
def test_a_run_reports_baselines_with_its_own_scores(tmp_path, capsys):
    read(tmp_path, REGRESSION, train=TRAIN, validation=VALIDATION)
    run = o2v.fit(
        {**SETTINGS, "output_layer": "mean_squared_error", "epochs": 1},
        train=tmp_path / "train.jsonl",
        validation=tmp_path / "validation.jsonl",
        model_dir=tmp_path / "run",
    )
    saved = json.loads((tmp_path / "run/metrics.json").read_text())["baselines"]
    assert saved == run.metrics["baselines"]
    output = capsys.readouterr().out
    value = saved["biases"]["validation"]["mean_squared_error"]
    row = next(
        line for line in output.splitlines() if "baseline: object biases" in line
    )
    assert row.split()[-1] == f"{value:#.4g}"
    assert "baseline: mean label" in output


@pytest.mark.parametrize("layer", ["softmax", "mean_squared_error"])
def test_a_weight_of_n_equals_n_copies_of_the_pair(tmp_path, layer):
    settings = o2v.Hyperparameters(**SETTINGS, output_layer=layer, num_classes=3)
    rows = [(a, b, int(c) % 3, 1 + i % 3) for i, (a, b, c) in enumerate(TRAIN)]

    def scores(name, repeat):
        lines = [
            json.dumps({"in0": a, "in1": b, "label": c} | weight)
            for a, b, c, n in rows
            for weight in ([{}] * n if repeat else [{"weight": n}])
        ]
        (tmp_path / name).write_text("\n".join(lines))
        pairs = o2v.read_pairs(tmp_path / name, settings)
        return pairs, baselines(settings, {"train": pairs})

    weighted_pairs, weighted = scores("weighted", False)
    repeated_pairs, repeated = scores("repeated", True)

    assert weighted_pairs.mean_label() == pytest.approx(repeated_pairs.mean_label())
    for model, by_channel in repeated.items():
        assert weighted[model]["train"] == pytest.approx(by_channel["train"]), model
