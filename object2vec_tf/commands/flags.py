"""The absl flags of the training command, made from the hyperparameters."""

from __future__ import annotations

from typing import Any

from absl import flags

from object2vec_tf.distributed.strategies import STRATEGIES
from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import (
    Hyperparameters,
    Specification,
    defaults,
    max_gpus,
    read_json,
    specifications,
)
from object2vec_tf.hyperparameters.kinds import Boolean
from object2vec_tf.text.tokenizer_loading import with_vocab_sizes

TRAIN = flags.DEFINE_string(
    "train",
    None,
    "training pairs: comma-separated files, directories or globs of JSON Lines, "
    ".gz and .zst read as they are",
)
VALIDATION = flags.DEFINE_string("validation", None, "validation pairs, as for --train")
TEST = flags.DEFINE_string("test", None, "test pairs, as for --train")
AUXILIARY = flags.DEFINE_string(
    "auxiliary", None, "directory of vocabulary and pretrained embedding files"
)
ITEMS = flags.DEFINE_string(
    "items",
    None,
    'JSON Lines of objects of ids, {"in0": [...]} or {"in1": [...]}, that have names '
    "in --labels",
)
LABELS = flags.DEFINE_string(
    "labels",
    None,
    "a text file with a name for each of --items, a line each, shown by the report "
    "and by TensorBoard",
)
MODEL_DIR = flags.DEFINE_string("model_dir", None, "the run directory")
HYPERPARAMETERS = flags.DEFINE_string(
    "hyperparameters",
    None,
    "a hyperparameters.json, SageMaker's or ours; a flag given beside it wins",
)
SEED = flags.DEFINE_integer(
    "seed",
    0,
    "decides initial weights, shuffles and negatives; the same seed on the same "
    "machine gives the same weights",
    lower_bound=0,
)
MAX_BAD_LINES = flags.DEFINE_integer(
    "max_bad_lines",
    0,
    "bad lines tolerated in a channel: skipped, counted and reported",
    lower_bound=0,
)
EXPORT_DIR = flags.DEFINE_string(
    "export_dir", None, "where the SavedModel goes (default: model_dir/export)"
)
OVERWRITE = flags.DEFINE_bool(
    "overwrite",
    False,
    "start afresh in a model_dir that holds another run; without it the same run is "
    "resumed and a different one refused",
)
CHECKPOINT_SECONDS = flags.DEFINE_integer(
    "checkpoint_seconds",
    60,
    "from one checkpoint to the next within an epoch, unless saving then takes more "
    "than a tenth of the time; 0: at the ends of epochs alone",
    lower_bound=0,
)
CACHE_DIR = flags.DEFINE_string(
    "cache_dir",
    None,
    "where what was read of the channels is kept between epochs and runs, which "
    "several runs may share (default: model_dir/cache)",
)
CACHE_LIMIT = flags.DEFINE_float(
    "cache_limit",
    None,
    "gigabytes (10**9 bytes) that --cache_dir may hold; channels not used for the "
    "longest time give way (default: no limit)",
)
STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    STRATEGIES,
    "where steps are done: one, a device; mirrored, all GPUs of this machine; "
    "multi_worker, the processes that the environment's TF_CONFIG tells of, each of "
    "which is this command; auto, multi_worker where it tells of several, mirrored "
    "where there are several GPUs (_num_gpus in --hyperparameters bounds them), "
    "else one",
)


class _AsGiven(flags.ArgumentParser[str]):
    """Leaves the text to the dataclass, which tells of all problems at once."""

    def parse(self, argument: Any) -> str:
        return str(argument)


def _define(name: str, specification: Specification) -> None:
    default = defaults().get(name, "required")
    if name.startswith("enc1_") and name != "enc1_network":
        default = f"enc0's with enc1_network=enc0, else {default}"
    text = f"{specification.help}; {specification.kind.valid} (default: {default})"
    flags.DEFINE_flag(
        flags.Flag(
            _AsGiven(),
            flags.ArgumentSerializer(),
            name,
            None,
            text,
            boolean=isinstance(specification.kind, Boolean),
        )
    )


for _name, _specification in specifications().items():
    _define(_name, _specification)


def run_arguments() -> dict[str, Any]:
    """Returns what `fit` and a study both take, of the command line's flags.

    Raises:
        UserError: --train or --model_dir is not given.
    """
    for required in (TRAIN, MODEL_DIR):
        if not required.value:
            raise UserError(f"--{required.name} is required; see --help")
    shared = (
        *(TRAIN, VALIDATION, TEST, AUXILIARY, MODEL_DIR, SEED, MAX_BAD_LINES),
        *(EXPORT_DIR, OVERWRITE, CHECKPOINT_SECONDS, CACHE_DIR, CACHE_LIMIT),
    )
    return {flag.name: flag.value for flag in shared}


def num_gpus_from_flags(values: flags.FlagValues = flags.FLAGS) -> int | None:
    """Returns how many GPUs --hyperparameters allows; None for all there are."""
    path = values["hyperparameters"].value
    return max_gpus(read_json(path)) if path else None


def hyperparameters_from_flags(
    values: flags.FlagValues = flags.FLAGS,
) -> Hyperparameters:
    """Returns the hyperparameters given by flags, over those of --hyperparameters.

    Raises:
        HyperparameterError: Names every rule that is broken.
        UserError: The --hyperparameters file or a vocabulary cannot be read.
    """
    auxiliary = values["auxiliary"].value
    given = given_by_flags(values)
    return Hyperparameters.from_mapping(with_vocab_sizes(given, auxiliary))


def given_by_flags(values: flags.FlagValues = flags.FLAGS) -> dict[str, Any]:
    """Returns what flags give, over what --hyperparameters gives, as it was written.

    Raises:
        UserError: The --hyperparameters file cannot be read.
    """
    path = values["hyperparameters"].value
    held = read_json(path) if path else {}
    given = {
        name: values[name].value
        for name in specifications()
        if values[name].value is not None
    }
    return {**held, **given}
