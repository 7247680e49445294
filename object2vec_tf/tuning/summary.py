"""What a study shows on stdout when it ends."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState
from rich import box
from rich.table import Table

from object2vec_tf.runs.run_directory import Record
from object2vec_tf.training.console import CHANNELS, RunConsole
from object2vec_tf.training.sagemaker_metrics import quality_lines
from object2vec_tf.tuning.objective import Objective

# With fewer complete trials, shares of importance are a matter of chance.
_LEAST_TRIALS = 8


def importances(study: optuna.Study) -> dict[str, float]:
    """Returns the share of each hyperparameter in how good trials are, by name.

    By PED-ANOVA (Watanabe and others, 2023); empty where too few trials are complete.
    """
    complete = [t for t in study.trials if t.state == TrialState.COMPLETE]
    if len(complete) < _LEAST_TRIALS:
        return {}
    with warnings.catch_warnings():
        # That it is an experiment, and that there are few trials.
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def show_study(
    reporter: RunConsole,
    objective: Objective,
    trials: Sequence[Record],
    best: Record,
    given: Mapping[str, Any],
    shares: Mapping[str, float],
) -> None:
    """Writes the closing table: the best settings beside those that were given.

    Args:
        reporter: Where it goes.
        objective: What the study goes by.
        trials: What trials.jsonl holds.
        best: The best of them.
        given: The given values of what was searched.
        shares: What `importances` returned.
    """
    states = [trial["state"] for trial in trials]
    shown = ", ".join(
        f"{states.count(state)} {state}" for state in dict.fromkeys(states)
    )
    reporter.say(f"{len(trials)} trials: {shown}")
    table = Table(
        box=box.SIMPLE_HEAD if reporter.console.is_terminal else None, pad_edge=False
    )
    table.add_column("")
    table.add_column("as given (trial 0)", justify="right")
    table.add_column(f"best (trial {best['number']})", justify="right")
    if shares:
        table.add_column("importance", justify="right")
    first = trials[0]["value"]
    as_given = trials[0]["why"] or "" if first is None else f"{first:.4f}"
    table.add_row(str(objective), as_given, f"{best['value']:.4f}")
    for name, value in given.items():
        cells = [name, str(value), str(best["params"][name])]
        if shares:
            cells.append(f"{shares[name]:.2f}" if name in shares else "")
        table.add_row(*cells)
    reporter.console.print(table)


def show_best(reporter: RunConsole, metrics: Mapping[str, Any]) -> None:
    """Writes SageMaker's lines of the best run."""
    for channel in CHANNELS:
        epoch = None if channel == "test" else metrics["best_epoch"]
        for line in quality_lines(channel, metrics.get(channel, {}), epoch):
            reporter.say(line)
