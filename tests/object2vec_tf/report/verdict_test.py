"""The judgment of a run by metrics that are made by hand."""

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.report.verdict import judge


def hyperparameters(**values):
    sizes = {"enc0_vocab_size": 9, "enc0_max_seq_len": 3}
    return o2v.Hyperparameters(**sizes, **values)


def ratings(value, train=0.7, channel="test"):
    """Metrics of a run with real-valued labels; the best baseline has 0.92."""
    scores = {"train": train, channel: value}
    baselines = {"constant": 1.26, "biases": 0.92}
    return {
        **{name: {"mean_squared_error": score} for name, score in scores.items()},
        "baselines": {
            name: {c: {"mean_squared_error": score} for c in scores}
            for name, score in baselines.items()
        },
        "rows": dict.fromkeys(scores, 1000),
    }


def classes(accuracy, prior=0.5, auc=None, entropy=0.6, rows=2000):
    scores = {"cross_entropy": entropy, "accuracy": accuracy}
    baseline = {"cross_entropy": 0.693, "accuracy": prior}
    if auc is not None:
        scores["auc"], baseline["auc"] = auc, 0.5
    return {
        "train": scores,
        "test": scores,
        "baselines": {"prior": {"train": baseline, "test": baseline}},
        "rows": {"train": rows, "test": rows},
    }


VALUES = hyperparameters(output_layer="mean_squared_error")
CLASSES = hyperparameters(output_layer="softmax", num_classes=2)


def test_a_good_run_is_compared_with_its_best_baseline():
    verdict = judge(ratings(0.851), VALUES)
    assert (verdict.grade, verdict.label) == ("better", "Better than the baselines")
    # 0.851 / 0.92 = 0.925
    assert verdict.text == (
        "Mean squared error on test is 0.8510, 7.5% lower than the best baseline, "
        "object biases (0.9200)."
    )


def test_a_run_that_is_worse_than_a_baseline_is_called_so():
    verdict = judge(ratings(1.012), VALUES)
    assert (verdict.grade, verdict.label) == ("worse", "Worse than a baseline")
    assert "10% higher than the best baseline" in verdict.text
    assert "learned the training pairs by heart" in verdict.text
    assert "no better on train" in judge(ratings(1.012, train=1.1), VALUES).text


def test_a_small_difference_may_be_an_accident():
    verdict = judge(ratings(0.915), VALUES)
    assert (verdict.grade, verdict.label) == ("level", "No better than a baseline")
    assert "about the same as that of the best baseline" in verdict.text


@pytest.mark.parametrize("auc", [0.5036, 0.49])
def test_a_model_at_chance_is_called_so(auc):
    verdict = judge(classes(0.502, auc=auc), CLASSES)
    assert (verdict.grade, verdict.label) == ("level", "At chance")
    assert f"AUC on test is {auc:.4f}, and random scores have 0.5" in verdict.text


def test_classes_without_auc_are_judged_by_accuracy():
    settings = hyperparameters(output_layer="softmax", num_classes=3)
    # The standard error of 0.34 among 2,000 pairs is 0.0106.
    verdict = judge(classes(0.35, prior=0.34), settings)
    assert (verdict.grade, verdict.label) == ("level", "At chance")
    assert judge(classes(0.37, prior=0.34), settings).grade == "better"
    assert judge(classes(0.30, prior=0.34), settings).grade == "worse"


def test_probabilities_that_are_too_sure_are_mentioned():
    text = judge(classes(0.8, auc=0.9, entropy=0.9), CLASSES).text
    assert text.startswith("AUC on test is 0.9000; random scores have 0.5")
    assert "Its probabilities are too sure" in text


def test_equal_labels_cannot_be_judged():
    metrics = ratings(0.001)
    metrics["baselines"]["constant"]["train"]["mean_squared_error"] = 0.0
    verdict = judge(metrics, VALUES)
    assert (verdict.grade, verdict.label) == ("unknown", "All labels are equal")
    assert "--objective=in_batch_softmax" in verdict.text


def test_retrieval_is_compared_with_popularity():
    settings = hyperparameters(objective="in_batch_softmax")
    metrics = {
        "train": {"in_batch_cross_entropy": 5.8},
        "test": {"hits@10": 0.84, "in_batch_cross_entropy": 6.9},
        "baselines": {"popularity": {"test": {"hits@10": 0.58}}},
        "retrieval": {"test": {"queries": 900}},
        "rows": {"train": 9000, "test": 5000},
    }
    verdict = judge(metrics, settings)
    assert verdict.text == (
        "Hits@10 on test is 0.8400, better than the best baseline, popularity (0.5800)."
    )
    metrics["test"]["hits@10"] = 0.5
    assert judge(metrics, settings).grade == "worse"
    del metrics["test"], metrics["baselines"]
    verdict = judge(metrics, settings)
    assert verdict.grade == "unknown"
    assert "No baseline can be compared with it" in verdict.text


def test_training_scores_alone_say_nothing_about_new_pairs():
    metrics = ratings(0.8)
    del metrics["test"]
    text = judge(metrics, VALUES).text
    assert "There is no validation or test channel" in text


def test_a_score_that_is_not_a_number_is_worse():
    assert judge(ratings(float("nan")), VALUES).grade == "worse"


def test_training_scores_alone_are_no_reason_for_praise():
    metrics = ratings(0.8)
    del metrics["test"]
    verdict = judge(metrics, VALUES)
    assert verdict.grade == "unknown"
    assert verdict.label == "Measured on training pairs only"


@pytest.mark.parametrize("pairs", [10, 60, 1000])
@pytest.mark.parametrize("variance", [0.002, 0.02, 0.2])
def test_noise_is_rarely_better_than_the_baseline(pairs, variance):
    generator = np.random.default_rng(7)
    grades = []
    for _ in range(500):
        labels = generator.normal(size=pairs)
        scores = generator.normal(scale=variance**0.5, size=pairs)
        metrics = ratings(np.mean((scores - labels) ** 2))
        metrics["baselines"] = {
            "constant": {
                "train": {"mean_squared_error": 1.0},
                "test": {"mean_squared_error": np.mean(labels**2)},
            }
        }
        metrics["rows"] = {"train": 400, "test": pairs}
        grades.append(judge(metrics, VALUES).grade)
    assert grades.count("better") <= 0.05 * len(grades)


def test_few_pairs_are_no_reason_to_blame_the_model():
    verdict = judge(classes(0.8, auc=1.0, rows=4), CLASSES)
    assert (verdict.grade, verdict.label) == ("unknown", "Too few pairs to judge")
    assert "With only 4 pairs" in verdict.text
    assert "by heart" not in verdict.text
    assert judge(classes(0.5, auc=0.51, rows=4), CLASSES).label == "At chance"

    metrics = ratings(1.05)
    metrics["rows"]["test"] = 20
    verdict = judge(metrics, VALUES)
    assert verdict.label == "Too few pairs to judge"
    assert "the best baseline, object biases, has 0.9200" in verdict.text
    metrics["rows"]["test"] = 1000
    assert judge(metrics, VALUES).grade == "worse"


def test_labels_of_a_small_scale_are_not_equal_labels():
    metrics = ratings(3e-9)
    for name, score in {"constant": 8e-9, "biases": 5e-9}.items():
        for scores in metrics["baselines"][name].values():
            scores["mean_squared_error"] = score
    assert judge(metrics, VALUES).grade == "better"
