"""The results that a study writes to stdout when it ends."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState
from rich import box
from rich.table import Table

from object2vec_tf.report.number_format import score_text
from object2vec_tf.report.result_rows import CHANNELS
from object2vec_tf.runs.result_files import Record
from object2vec_tf.training.console import RunConsole
from object2vec_tf.training.sagemaker_metrics import quality_lines
from object2vec_tf.tuning.objective import Objective

# With fewer complete trials, importances are mostly random.
_MIN_TRIALS = 8


def count_trials(count: int) -> str:
    """Returns a number of trials in words.

    Example:
        >>> count_trials(1), count_trials(20)
        ('1 trial', '20 trials')
    """
    return f"{count} trial" if count == 1 else f"{count} trials"


def importances(study: optuna.Study) -> dict[str, float]:
    """Returns the importance of each hyperparameter for the objective, by name.

    The importances add up to 1. They are computed by PED-ANOVA (Watanabe et al., 2023).
    The result is empty if too few trials are complete.
    """
    complete = [t for t in study.trials if t.state == TrialState.COMPLETE]
    if len(complete) < _MIN_TRIALS:
        return {}
    with warnings.catch_warnings():
        # The warnings say that the method is experimental, and that trials are few.
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def show_study(
    reporter: RunConsole,
    objective: Objective,
    trials: Sequence[Record],
    best: Record,
    given: Mapping[str, Any],
    importance: Mapping[str, float],
) -> None:
    """Prints the final table: the best settings next to the given ones.

    Args:
        reporter: Prints the table.
        objective: The objective of the study.
        trials: The records in trials.jsonl.
        best: The record of the best trial.
        given: The given values of the searched hyperparameters.
        importance: The result of `importances`.
    """
    states = [trial["state"] for trial in trials]
    counts = ", ".join(
        f"{states.count(state)} {state}" for state in dict.fromkeys(states)
    )
    reporter.say(f"{count_trials(len(trials))}: {counts}")
    table = Table(
        box=box.SIMPLE_HEAD if reporter.console.is_terminal else None, pad_edge=False
    )
    table.add_column("")
    table.add_column("given (trial 0)", justify="right")
    table.add_column(f"best (trial {best['number']})", justify="right")
    if importance:
        table.add_column("importance", justify="right")
    value = trials[0]["value"]
    given_result = trials[0]["why"] or "" if value is None else score_text(value)
    table.add_row(str(objective), given_result, score_text(best["value"]))
    for name, value in given.items():
        cells = [name, str(value), str(best["params"][name])]
        if importance:
            cells.append(f"{importance[name]:.2f}" if name in importance else "")
        table.add_row(*cells)
    reporter.console.print(table)


def show_best(reporter: RunConsole, metrics: Mapping[str, Any]) -> None:
    """Prints SageMaker's ``#quality_metric`` lines for the best run."""
    for channel in CHANNELS:
        epoch = None if channel == "test" else metrics["best_epoch"]
        lines = quality_lines(channel, metrics.get(channel, {}), epoch)
        reporter.metric_lines(lines)
