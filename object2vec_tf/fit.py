"""Trains a model: ``python -m object2vec_tf.fit --flagfile=examples/FILE.flags``."""

from __future__ import annotations

from absl import flags

from object2vec_tf import command
from object2vec_tf import flags as fit_flags
from object2vec_tf.errors import UserError
from object2vec_tf.flags import hyperparameters_from_flags, num_gpus_from_flags
from object2vec_tf.training.run import fit

__all__ = ["fit", "main"]


def main() -> None:
    """Runs the command."""
    train, model_dir = fit_flags.TRAIN.value, fit_flags.MODEL_DIR.value
    if not train or not model_dir:
        missing = "--model_dir" if train else "--train"
        raise UserError(f"{missing} is required; see --help")
    fit(
        hyperparameters_from_flags(),
        train=train,
        validation=fit_flags.VALIDATION.value,
        test=fit_flags.TEST.value,
        auxiliary=fit_flags.AUXILIARY.value,
        items=fit_flags.ITEMS.value,
        labels=fit_flags.LABELS.value,
        model_dir=model_dir,
        seed=fit_flags.SEED.value,
        max_bad_lines=fit_flags.MAX_BAD_LINES.value,
        export_dir=fit_flags.EXPORT_DIR.value,
        overwrite=fit_flags.OVERWRITE.value,
        checkpoint_seconds=fit_flags.CHECKPOINT_SECONDS.value,
        cache_dir=fit_flags.CACHE_DIR.value,
        cache_limit=fit_flags.CACHE_LIMIT.value,
        strategy=fit_flags.STRATEGY.value,
        num_gpus=num_gpus_from_flags(),
    )


if __name__ == "__main__":
    flags.adopt_module_key_flags(fit_flags)
    command.run(main)
