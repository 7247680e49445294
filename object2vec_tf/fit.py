"""Trains a model: ``python -m object2vec_tf.fit --flagfile=examples/FILE.flags``."""

from __future__ import annotations

from absl import flags

from object2vec_tf.commands import flags as fit_flags
from object2vec_tf.commands import runner
from object2vec_tf.commands.flags import hyperparameters_from_flags, num_gpus_from_flags
from object2vec_tf.training.run import fit

__all__ = ["fit", "main"]


def main() -> None:
    """Runs the command."""
    arguments = fit_flags.run_arguments()
    fit(
        hyperparameters_from_flags(),
        items=fit_flags.ITEMS.value,
        labels=fit_flags.LABELS.value,
        strategy=fit_flags.STRATEGY.value,
        num_gpus=num_gpus_from_flags(),
        **arguments,
    )


if __name__ == "__main__":
    flags.adopt_module_key_flags(fit_flags)
    runner.run(main)
