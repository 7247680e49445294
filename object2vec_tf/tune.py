r"""Searches for the best hyperparameters, and trains with them.

python -m object2vec_tf.tune --flagfile=examples/FILE.flags --model_dir=study \
        --objective=validation:mean_squared_error --trials=20

It takes the flags of object2vec_tf.fit and a few more. The first trial has the given
settings. The other trials search the hyperparameters in --tune, by default those that
AWS tunes and that are not given.
"""

from __future__ import annotations

from typing import Any

from absl import flags

from object2vec_tf.commands import flags as fit_flags
from object2vec_tf.commands import runner
from object2vec_tf.commands.device_flag import select_device_of_flag
from object2vec_tf.commands.flags import given_by_flags
from object2vec_tf.commands.table_limit_flag import TABLE_LIMIT_FLAG
from object2vec_tf.errors import UserError
from object2vec_tf.extras import import_extra
from object2vec_tf.hyperparameters import OBJECTIVES

_TRIALS = flags.DEFINE_integer(
    "trials",
    20,
    "number of trials in the finished study, including pruned ones",
    lower_bound=1,
)
_TUNE = flags.DEFINE_string(
    "tune",
    None,
    "hyperparameters to search, within the range that AWS tunes over or a given one: "
    "learning_rate=1e-4..1e-2,dropout,mlp_activation=tanh|relu (default: all that AWS "
    "tunes, that have an effect, and that no flag, flagfile or --hyperparameters sets)",
)
_PRUNER = flags.DEFINE_enum(
    "pruner",
    "median",
    ("median", "none"),
    "median: stop a trial if its best epoch so far is worse than the median of the "
    "previous trials after the same number of epochs",
)
_JOBS = flags.DEFINE_integer(
    "jobs",
    1,
    "number of processes that run trials and share the CPU cores; results repeat with "
    "the same --seed only for 1",
    lower_bound=1,
)


class _Objective(flags.Flag[str]):
    """Flag --objective, which is the training objective and that of the study.

    Values of the hyperparameter ``objective`` set the training objective. All other
    values are metrics of a channel, such as ``validation:accuracy``. Both kinds may be
    given once.

    Attributes:
        metric: Metric of a channel that the study optimizes; None if not given.
    """

    metric: str | None = None

    def parse(self, argument: Any) -> None:
        """Sets one of the two values."""
        if argument is None or argument in OBJECTIVES:
            super().parse(argument)
        else:
            self.metric = str(argument)
            self.present += 1

    def unparse(self) -> None:
        """Removes both values."""
        super().unparse()
        self.metric = None


def _define_objective() -> None:
    """Replaces the flag of the hyperparameter ``objective``."""
    hyperparameter = flags.FLAGS["objective"]
    flags.DEFINE_flag(
        _Objective(
            hyperparameter.parser,
            hyperparameter.serializer,
            "objective",
            None,
            "objective of the study, a metric of a channel: validation:accuracy, "
            "validation:cross_entropy, validation:mean_squared_error, validation:auc, "
            "test:accuracy, validation:hits@10 (with --retrieval_pool), ... (default: "
            "_tuning_objective_metric of --hyperparameters, or the validation loss). "
            "May be given a second time as "
            f"the hyperparameter: {hyperparameter.help}",
            allow_override=True,
        )
    )


def main() -> None:
    """Runs a study with the values of the flags."""
    arguments = fit_flags.run_arguments()
    for flag in (
        *(fit_flags.ITEMS, fit_flags.LABELS, fit_flags.STRATEGY),
        *(fit_flags.TABLE_PLACEMENT, TABLE_LIMIT_FLAG),
    ):
        if flag.value != flag.default:
            raise UserError(
                f"--{flag.name}={flag.value} only applies to fit. Remove it, and give "
                "it to fit together with best/hyperparameters.json of the study."
            )
    import_extra("optuna", "tune", "object2vec_tf.tune")
    select_device_of_flag()
    from object2vec_tf.tuning.study import tune

    study_objective: Any = flags.FLAGS["objective"]
    tune(
        given_by_flags(),
        objective=study_objective.metric,
        search=_TUNE.value,
        trials=_TRIALS.value,
        pruner=_PRUNER.value,
        jobs=_JOBS.value,
        **arguments,
    )


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    _define_objective()
    runner.run_cli(main, flag_modules=(fit_flags,))


if __name__ == "__main__":
    cli()
