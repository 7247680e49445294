"""Trains a model.

python -m object2vec_tf.fit --flagfile=examples/FILE.flags
"""

from __future__ import annotations

from absl import flags

from object2vec_tf.commands import flags as fit_flags
from object2vec_tf.commands import runner
from object2vec_tf.commands.device_flag import select_device_of_flag
from object2vec_tf.commands.flags import hyperparameters_from_flags, num_gpus_from_flags
from object2vec_tf.commands.table_limit_flag import TABLE_LIMIT_FLAG
from object2vec_tf.distributed.joining import failures_reported, joined_workers
from object2vec_tf.training.run import fit

__all__ = ["cli", "fit", "main"]


def main() -> None:
    """Trains with the values of the flags."""
    with joined_workers(fit_flags.STRATEGY.value):
        arguments = fit_flags.run_arguments()
        select_device_of_flag()
        fit(
            hyperparameters_from_flags(),
            items=fit_flags.ITEMS.value,
            labels=fit_flags.LABELS.value,
            strategy=fit_flags.STRATEGY.value,
            table_placement=fit_flags.TABLE_PLACEMENT.value,
            table_limit=TABLE_LIMIT_FLAG.value,
            num_gpus=num_gpus_from_flags(),
            **arguments,
        )


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    with failures_reported(_strategy):
        runner.run_cli(main, flag_modules=(fit_flags,))


def _strategy() -> str:
    """Returns the value of --strategy; its default if the flags are invalid."""
    is_parsed = flags.FLAGS.is_parsed()
    return str(fit_flags.STRATEGY.value if is_parsed else fit_flags.STRATEGY.default)


if __name__ == "__main__":
    cli()
