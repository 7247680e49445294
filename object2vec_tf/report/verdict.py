"""A judgment of a run: whether it is better than simple models, and what to try."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Final

from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.metrics.auc import AUC
from object2vec_tf.report.baselines import CONSTANT, PRIOR, TITLES
from object2vec_tf.report.number_format import change_text, count_text, score_text
from object2vec_tf.report.result_rows import CHANNELS

BETTER, LEVEL, WORSE, UNKNOWN = "better", "level", "worse", "unknown"
_LABELS: Final = {
    BETTER: "Better than the baselines",
    LEVEL: "No better than a baseline",
    WORSE: "Worse than a baseline",
    UNKNOWN: "Not compared",
}
_AT_CHANCE: Final = "At chance"
_TOO_FEW: Final = "Too few pairs to judge"
_TRAIN_ONLY: Final = "Measured on training pairs only"

_SQUARED_ERROR, _CROSS_ENTROPY = "mean_squared_error", "cross_entropy"
_ACCURACY, _HITS = "accuracy", "hits@10"
_NAMES: Final = {
    _SQUARED_ERROR: "mean squared error",
    _CROSS_ENTROPY: "cross entropy",
    AUC: "AUC",
}
# Lower values of these are better.
_ERRORS: Final = frozenset((_SQUARED_ERROR, _CROSS_ENTROPY))
# A relative difference of errors that is small enough to be an accident.
_SMALL_CHANGE: Final = 0.01
# As many standard errors of a share may be an accident.
_STANDARD_ERRORS: Final = 2.0
# A noise of shares from which on more pairs would help.
_LARGE_NOISE: Final = 0.02
# The losses of a constant prediction if all labels are equal, with rounding errors.
_ZERO_LOSSES: Final = ((CONSTANT, _SQUARED_ERROR, 1e-12), (PRIOR, _CROSS_ENTROPY, 1e-6))

_EQUAL_LABELS: Final = (
    "All training labels are equal, so there is nothing to compare: a model that "
    "ignores its inputs is perfect. If the data has only true pairs, train with "
    "--objective=in_batch_softmax or with --negative_sampling_rate=5."
)
_MORE_TRAINING: Final = (
    "It is no better on train either. Check that the labels depend on the pairs, and "
    "try a higher --learning_rate or more --epochs."
)
_LESS_FITTING: Final = (
    "On train it is better: it has learned the training pairs by heart. Try more "
    "pairs, a higher --dropout or --weight_decay, or fewer --epochs."
)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The judgment of a run.

    Attributes:
        grade: ``better`` than every baseline, ``level`` with one or ``worse`` than one;
            ``unknown`` if there is nothing to compare with.
        label: The grade in a few words.
        text: Sentences that give the score, that of the best baseline, and advice.
    """

    grade: str
    label: str
    text: str


@dataclasses.dataclass(frozen=True)
class _Comparison:
    """A score of the run, and the best one of the baselines.

    Attributes:
        metric: The name of the metric.
        channel: The channel.
        value: The run's score.
        baseline: The name of the best baseline; empty if none has the metric.
        best: The score of the best baseline.
        noise: The difference that may be an accident.
        pairs: The number of pairs or queries.
    """

    metric: str
    channel: str
    value: float
    baseline: str = ""
    best: float = math.nan
    noise: float = 0.0
    pairs: int = 0

    @property
    def grade(self) -> str:
        if not self.baseline:
            return UNKNOWN
        gain = self.best - self.value
        if self.metric not in _ERRORS:
            gain = -gain
        if not gain > -self.noise:  # so too if the score is not a number
            return WORSE
        return BETTER if gain > self.noise else LEVEL

    @property
    def name(self) -> str:
        return _NAMES.get(self.metric, self.metric)

    @property
    def is_undecided(self) -> bool:
        """Whether the scores differ, but by no more than so few pairs explain."""
        floor = _LARGE_NOISE
        if self.metric in _ERRORS:
            floor = _SMALL_CHANGE * self.best
        differs = abs(self.value - self.best) > self.noise / 2
        return self.grade == LEVEL and differs and self.noise > floor

    @property
    def is_at_chance(self) -> bool:
        """Whether the run is level with random or constant scores."""
        is_constant = self.baseline in (CONSTANT, PRIOR)
        return self.grade == LEVEL and is_constant and not self.is_undecided


def judge(metrics: Mapping[str, Any], hyperparameters: Hyperparameters) -> Verdict:
    """Compares a run with its baselines on the decisive channel and metric.

    The channel is test, else validation, else train. The metric is hits@10 for the
    in-batch softmax, AUC for two classes, accuracy for more, and the mean squared error
    for real-valued labels.

    Args:
        metrics: The content of metrics.json.
        hyperparameters: The run's.
    """
    channel = next(name for name in reversed(CHANNELS) if name in metrics)
    in_batch = hyperparameters.objective == "in_batch_softmax"
    if not in_batch and _labels_are_equal(metrics):
        return Verdict(UNKNOWN, "All labels are equal", _EQUAL_LABELS)
    metric = _decisive_metric(metrics, channel, hyperparameters)
    found = _compare(metrics, channel, metric)
    sentences = [_main_sentence(found)]
    is_bad = found.grade in (LEVEL, WORSE) and not found.is_undecided
    if is_bad and channel != "train" and not in_batch:
        on_train = _compare(metrics, "train", metric)
        if on_train.baseline:
            fits = on_train.grade == BETTER
            sentences.append(_LESS_FITTING if fits else _MORE_TRAINING)
    if found.grade == BETTER:
        sentences.append(_calibration_sentence(metrics, channel, metric))
    if channel == "train":
        sentences.append(
            "There is no validation or test channel: the score says nothing about "
            "pairs that the model has not seen."
        )
    text = " ".join(filter(None, sentences))
    # On train, any table of vectors of objects is better.
    if channel == "train" and found.grade == BETTER:
        return Verdict(UNKNOWN, _TRAIN_ONLY, text)
    if found.is_undecided:
        return Verdict(UNKNOWN, _TOO_FEW, text)
    label = _AT_CHANCE if found.is_at_chance else _LABELS[found.grade]
    return Verdict(found.grade, label, text)


def _labels_are_equal(metrics: Mapping[str, Any]) -> bool:
    """Returns whether a constant prediction has no loss on train, negatives included.

    Only equal labels allow that.
    """
    return any(
        loss in (scores := metrics.get("baselines", {}).get(name, {}).get("train", {}))
        and scores[loss] < largest
        for name, loss, largest in _ZERO_LOSSES
    )


def _decisive_metric(
    metrics: Mapping[str, Any], channel: str, hyperparameters: Hyperparameters
) -> str:
    scores = metrics[channel]
    if hyperparameters.objective == "in_batch_softmax":
        return _HITS if _HITS in scores else hyperparameters.loss_name
    if hyperparameters.output_layer != "softmax":
        return hyperparameters.loss_name
    prior = metrics.get("baselines", {}).get(PRIOR, {}).get(channel, {})
    if AUC in scores and AUC in prior:
        return AUC
    # The accuracy of a constant class is all or nothing if the labels are equal.
    return _ACCURACY if 0 < prior.get(_ACCURACY, 0) < 1 else _CROSS_ENTROPY


def _compare(metrics: Mapping[str, Any], channel: str, metric: str) -> _Comparison:
    value = float(metrics[channel].get(metric, math.nan))
    scores = {
        name: float(channels[channel][metric])
        for name, channels in metrics.get("baselines", {}).items()
        if metric in channels.get(channel, {})
    }
    if not scores:
        return _Comparison(metric, channel, value)
    choose = min if metric in _ERRORS else max
    best = choose(scores, key=lambda name: scores[name])
    rows = metrics["rows"][channel]
    if metric == _HITS:
        rows = metrics["retrieval"][channel]["queries"]
    noise = _noise(metrics, channel, metric, scores[best], rows)
    return _Comparison(metric, channel, value, best, scores[best], noise, rows)


def _noise(
    metrics: Mapping[str, Any], channel: str, metric: str, baseline: float, rows: int
) -> float:
    """Returns how far a score may be from the baseline's by accident.

    The standard error of a share is that of the binomial distribution. That of the AUC
    of random scores is that of the statistic of Mann and Whitney (1947).

    A prediction that differs from the baseline's by independent noise of variance v has
    a squared error that is larger by v, with a standard error of 2 sqrt(v m / n) for n
    pairs of error m. So z standard errors lower it by at most z^2 m / n, where v is
    that number. For the cross entropy and noise of logits, it is z^2 / (2 n).
    """
    if metric in _ERRORS:
        accident = _STANDARD_ERRORS**2 / max(rows, 1)
        accident *= baseline if metric == _SQUARED_ERROR else 0.5
        return max(_SMALL_CHANGE * baseline, accident)
    if metric == AUC:
        # The share of one of the classes.
        share = metrics["baselines"][PRIOR][channel][_ACCURACY]
        cases = max(rows * share * (rows - rows * share), 1.0)
        return _STANDARD_ERRORS * math.sqrt((rows + 1) / (12 * cases))
    return _STANDARD_ERRORS * math.sqrt(baseline * (1 - baseline) / rows)


def _capitalized(name: str) -> str:
    """Returns a name for the start of a sentence, except names of metrics as such."""
    return name if "_" in name else name[0].upper() + name[1:]


def _main_sentence(found: _Comparison) -> str:
    value, best = score_text(found.value), score_text(found.best)
    start = f"{_capitalized(found.name)} on {found.channel} is {value}"
    if not found.baseline:
        return f"{start}. No baseline can be compared with it."
    title = TITLES[found.baseline]
    if found.is_undecided:
        is_auc = found.metric == AUC
        other = "random scores have" if is_auc else f"the best baseline, {title}, has"
        return (
            f"{start}, and {other} {best}. With only {_pairs_text(found)}, a "
            f"difference of up to {score_text(found.noise)} may be an accident."
        )
    if found.metric == AUC:
        return _auc_sentence(found, start)
    if found.grade == LEVEL:
        return (
            f"{start}, about the same as that of the best baseline, {title} ({best}). "
            + ("The model has learned nothing about new pairs." * found.is_at_chance)
        ).strip()
    if found.metric in _ERRORS and found.best > 0:
        change = change_text(found.value / found.best - 1)
        direction = "lower" if found.grade == BETTER else "higher"
        return (
            f"{start}, {change} {direction} than the best baseline, {title} ({best})."
        )
    direction = "better" if found.grade == BETTER else "worse"
    return f"{start}, {direction} than the best baseline, {title} ({best})."


def _pairs_text(found: _Comparison) -> str:
    if found.metric == _HITS:
        return "one query" if found.pairs == 1 else f"{found.pairs:,} queries"
    return count_text(found.pairs, "pair")


def _auc_sentence(found: _Comparison, start: str) -> str:
    if found.grade == BETTER:
        return f"{start}; random scores have 0.5, and perfect ones 1."
    if found.grade == LEVEL:
        return (
            f"{start}, and random scores have 0.5: the model does not know which pairs "
            "are true."
        )
    return f"{start}, below the 0.5 of random scores: the model prefers wrong pairs."


def _calibration_sentence(metrics: Mapping[str, Any], channel: str, metric: str) -> str:
    """Warns if the order of the scores is good, but the probabilities are not."""
    if metric not in (AUC, _ACCURACY):
        return ""
    found = _compare(metrics, channel, _CROSS_ENTROPY)
    if found.grade != WORSE:
        return ""
    return (
        f"Its probabilities are too sure: the cross entropy on {channel} is "
        f"{score_text(found.value)}, and that of {TITLES[found.baseline]} is "
        f"{score_text(found.best)}. Use the scores for ranking only, or try a higher "
        "--dropout or fewer --epochs."
    )
