r"""Searches hyperparameters, and ends with the run of the best ones.

python -m object2vec_tf.tune --flagfile=examples/FILE.flags --model_dir=study \
        --objective=validation:mean_squared_error --trials=20

The flags are those of fit, and a few more. The first trial has the settings as they are
given; the others search what --tune names, or all that AWS tunes and that is not given.
"""

from __future__ import annotations

from typing import Any

from absl import flags

from object2vec_tf.commands import flags as fit_flags
from object2vec_tf.commands import runner
from object2vec_tf.commands.flags import given_by_flags
from object2vec_tf.errors import UserError
from object2vec_tf.extras import import_extra
from object2vec_tf.hyperparameters import OBJECTIVES

_TRIALS = flags.DEFINE_integer(
    "trials",
    20,
    "trials that the study has when it ends, with those that were stopped early",
    lower_bound=1,
)
_TUNE = flags.DEFINE_string(
    "tune",
    None,
    "what is searched, each within the range AWS tunes over or a range of its own: "
    "learning_rate=1e-4..1e-2,dropout,mlp_activation=tanh|relu (default: all that AWS "
    "tunes, that no flag, flagfile or --hyperparameters gives and that has an effect)",
)
_PRUNER = flags.DEFINE_enum(
    "pruner",
    "median",
    ("median", "none"),
    "median: a trial is stopped when its best epoch so far is worse than the median of "
    "the trials before it, behind as many epochs",
)
_JOBS = flags.DEFINE_integer(
    "jobs",
    1,
    "processes that run trials and share the cores; one alone repeats itself with the "
    "same --seed",
    lower_bound=1,
)


class _Objective(flags.Flag[str]):
    """Both meanings of --objective: what encoders learn by, and what a study goes by.

    The first is a hyperparameter, whose few words are known; all else is taken for a
    channel's metric, such as ``validation:accuracy``. Each may be given once.

    Attributes:
        measured: The channel's metric.
    """

    measured: str | None = None

    def parse(self, argument: Any) -> None:
        """Takes an argument."""
        if argument is None or argument in OBJECTIVES:
            super().parse(argument)
        else:
            self.measured = str(argument)
            self.present += 1

    def unparse(self) -> None:
        """Forgets all arguments."""
        super().unparse()
        self.measured = None


def _define_objective() -> None:
    held = flags.FLAGS["objective"]
    flags.DEFINE_flag(
        _Objective(
            held.parser,
            held.serializer,
            "objective",
            None,
            "what the study goes by, a metric of a channel: validation:accuracy, "
            "validation:cross_entropy, validation:mean_squared_error, ...; test and "
            "train are channels too (default: _tuning_objective_metric of "
            "--hyperparameters, or the validation loss). And the hyperparameter: "
            f"{held.help}",
            allow_override=True,
        )
    )


def main() -> None:
    """Runs the command."""
    arguments = fit_flags.run_arguments()
    for flag in (fit_flags.ITEMS, fit_flags.LABELS, fit_flags.STRATEGY):
        if flag.value != flag.default:
            raise UserError(
                f"--{flag.name}={flag.value} is for fit alone; leave it out, and give "
                "it to fit with the study's best/hyperparameters.json"
            )
    import_extra("optuna", "tune", "object2vec_tf.tune")
    from object2vec_tf.tuning.study import tune

    asked: Any = flags.FLAGS["objective"]
    tune(
        given_by_flags(),
        objective=asked.measured,
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
