"""The flags of the training command, most of them generated from hyperparameters."""

from __future__ import annotations

from typing import Any

from absl import flags

from object2vec_tf.commands.checks import required_value
from object2vec_tf.commands.device_flag import DEVICE
from object2vec_tf.commands.line_flag import (
    MAX_LINE_MEGABYTES,
    set_line_limit_of_flag,
)
from object2vec_tf.commands.table_limit_flag import TABLE_LIMIT_FLAG
from object2vec_tf.distributed.selection import (
    BATCH_LAYOUTS,
    STRATEGIES,
    TABLE_PLACEMENTS,
)
from object2vec_tf.files.downloads import staged_file
from object2vec_tf.hyperparameters import (
    Hyperparameters,
    Specification,
    defaults,
    max_gpus,
    read_json,
    specifications,
)
from object2vec_tf.hyperparameters.kinds import Boolean
from object2vec_tf.layers.precision import PRECISIONS
from object2vec_tf.text.tokenizer_loading import with_vocab_sizes

TRAIN = flags.DEFINE_string(
    "train",
    None,
    "training pairs: comma-separated files, directories or globs of JSON Lines, which "
    "may be compressed (.gz, .zst), Parquet (.parquet) or Arrow (.arrow, .feather); "
    "local or URLs, as s3://bucket/directory (required)",
)
VALIDATION = flags.DEFINE_string("validation", None, "validation pairs, see --train")
TEST = flags.DEFINE_string("test", None, "test pairs, see --train")
AUXILIARY = flags.DEFINE_string(
    "auxiliary", None, "directory of vocabulary and pretrained embedding files"
)
ITEMS = flags.DEFINE_string(
    "items",
    None,
    'JSON Lines of objects as token ids, {"in0": [...]} or {"in1": [...]}, whose names '
    "are in --labels; or Parquet or Arrow",
)
LABELS = flags.DEFINE_string(
    "labels",
    None,
    "text file with the name of each of --items, one per line, for the report and "
    "TensorBoard",
)
MODEL_DIR = flags.DEFINE_string(
    "model_dir",
    None,
    "directory of the run, local or a URL, or of the study for tune, local (required)",
)
HYPERPARAMETERS = flags.DEFINE_string(
    "hyperparameters",
    None,
    "hyperparameters.json of SageMaker or of a run; flags override its values",
)
SEED = flags.DEFINE_integer(
    "seed",
    0,
    "seed of initial weights, shuffling and negatives; results repeat with the same "
    "seed on the same machine",
    lower_bound=0,
)
MAX_BAD_LINES = flags.DEFINE_integer(
    "max_bad_lines",
    0,
    "maximum number of invalid lines per channel; they are skipped, counted and "
    "reported",
    lower_bound=0,
)
EXPORT_DIR = flags.DEFINE_string(
    "export_dir", None, "directory of the SavedModel (default: model_dir/export)"
)
OVERWRITE = flags.DEFINE_bool(
    "overwrite",
    False,
    "delete another run (for tune: study) in model_dir and start again; without it, "
    "the same one is resumed and another one is rejected",
)
CHECKPOINT_SECONDS = flags.DEFINE_integer(
    "checkpoint_seconds",
    60,
    "seconds between checkpoints within an epoch, or more if saving would take over a "
    "tenth of the time; 0: only at the end of each epoch",
    lower_bound=0,
)
CACHE_DIR = flags.DEFINE_string(
    "cache_dir",
    None,
    "directory of parsed channels, which several runs may share (default: "
    "model_dir/cache)",
)
CACHE_LIMIT = flags.DEFINE_float(
    "cache_limit",
    None,
    "maximum size of --cache_dir in gigabytes (10**9 bytes); the least recently used "
    "channels are deleted first (default: no limit)",
)
STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    STRATEGIES,
    "devices that train; one: a single device; mirrored: all GPUs of this machine; "
    "multi_worker: the processes in the environment variable TF_CONFIG, each of which "
    "runs this command; auto: multi_worker if TF_CONFIG has several processes, "
    "mirrored if there are several GPUs (at most _num_gpus of --hyperparameters), "
    "otherwise one",
)
TABLE_PLACEMENT = flags.DEFINE_enum(
    "table_placement",
    TABLE_PLACEMENTS[0],
    TABLE_PLACEMENTS,
    "where token tables and their optimizer state are kept; replicated: every device "
    "has all rows; sharded: each device has a part of the rows, and gets those that "
    "its pairs need from the others, so that a table may be larger than the memory of "
    "a machine",
)
flags.declare_key_flag("device")
flags.declare_key_flag(TABLE_LIMIT_FLAG.name)
flags.declare_key_flag(MAX_LINE_MEGABYTES.name)
DETERMINISTIC = flags.DEFINE_bool(
    "deterministic",
    False,
    "train with deterministic ops, which are slower: the same seed then gives the same "
    "weights on a GPU too; on a CPU it does so without this flag",
)
INITIAL_MODEL = flags.DEFINE_string(
    "initial_model",
    None,
    "run directory or .keras file whose weights are taken where they fit, to retrain "
    "or fine-tune it; rows of token tables are matched by word if both models have "
    "vocabulary files, otherwise by id, and win over pretrained vectors; all else "
    "starts as in a new model (default: none)",
)
FREEZE = flags.DEFINE_string(
    "freeze",
    "",
    "comma-separated parts of the model that are not trained: enc0, enc1, comparator; "
    "a token table that both encoders share (tied_token_embedding_weight), and all "
    "other weights that they share (tied_encoders), are frozen with either of them; "
    "enc1_network=enc0 shares settings, not weights (default: "
    "none)",
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    PRECISIONS,
    "type in which convolutions, the products of LSTMs and the MLP are computed; "
    "weights, sums, scores, losses and the exported model are float32; bfloat16 and "
    "float16 are for GPUs, and slower than float32 on a CPU; float16 scales the loss "
    "and skips steps whose gradients overflow",
)
RETRIEVAL_POOL = flags.DEFINE_string(
    "retrieval_pool",
    None,
    'JSON Lines of items, {"in1": [...]}, or Parquet or Arrow, in which validation '
    "pairs with a label above 0 are ranked after every epoch (hits@1, hits@10, "
    "recall@10, mean_rank, mrr), the items of known train pairs left out (default: "
    "none)",
)
BATCH_LAYOUT = flags.DEFINE_enum(
    "batch_layout",
    "auto",
    BATCH_LAYOUTS,
    "layout of batches; ragged: rows of any length, fast on a CPU; static: arrays of a "
    "few shapes, for which XLA compiles the training steps, fast on a GPU; auto: "
    "static if GPUs of a single worker train, and on a CPU for small models with many "
    "steps; otherwise ragged",
)


class _AsGiven(flags.ArgumentParser[str]):
    """Keeps the text, so that `Hyperparameters` reports all problems together."""

    def parse(self, argument: Any) -> str:
        return str(argument)


def _default_text(name: str) -> str:
    """Returns what the help of a hyperparameter says about its default."""
    default = str(defaults().get(name, "required")) or "none"
    if name.startswith("enc1_") and name != "enc1_network":
        return f"default: value of enc0 if enc1_network=enc0, otherwise {default}"
    return f"default: {default}" if name in defaults() else default


def _define(name: str, specification: Specification) -> None:
    default = _default_text(name)
    text = f"{specification.help}; {specification.kind.valid} ({default})"
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
    """Returns the arguments that `fit` and `tune` share, and sets the limit of lines.

    Raises:
        UserError: --train or --model_dir is not given.
    """
    for flag in (TRAIN, MODEL_DIR):
        required_value(flag)
    set_line_limit_of_flag()
    shared = (
        *(TRAIN, VALIDATION, TEST, AUXILIARY, MODEL_DIR, SEED, MAX_BAD_LINES),
        *(EXPORT_DIR, OVERWRITE, CHECKPOINT_SECONDS, CACHE_DIR, CACHE_LIMIT),
        *(INITIAL_MODEL, FREEZE, RETRIEVAL_POOL, BATCH_LAYOUT),
        *(DEVICE, DETERMINISTIC, PRECISION),
    )
    return {flag.name: flag.value for flag in shared}


def num_gpus_from_flags(values: flags.FlagValues = flags.FLAGS) -> int | None:
    """Returns the number of GPUs that --hyperparameters allows; None for all."""
    path = values["hyperparameters"].value
    return max_gpus(read_json(staged_file(path))) if path else None


def hyperparameters_from_flags(
    values: flags.FlagValues = flags.FLAGS,
) -> Hyperparameters:
    """Returns the hyperparameters of --hyperparameters, overridden by flags.

    Raises:
        HyperparameterError: Names every problem.
        UserError: The --hyperparameters file or a vocabulary cannot be read.
    """
    auxiliary = values["auxiliary"].value
    given = given_by_flags(values)
    return Hyperparameters.from_mapping(with_vocab_sizes(given, auxiliary))


def given_by_flags(values: flags.FlagValues = flags.FLAGS) -> dict[str, Any]:
    """Returns the values of --hyperparameters, overridden by flags, not yet parsed.

    Raises:
        UserError: The --hyperparameters file cannot be read.
    """
    path = values["hyperparameters"].value
    from_file = read_json(staged_file(path)) if path else {}
    from_flags = {
        name: values[name].value
        for name in specifications()
        if values[name].value is not None
    }
    return {**from_file, **from_flags}
