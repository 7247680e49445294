"""Every hyperparameter: its name, range, default, and the rules between them."""

from object2vec_tf.hyperparameters.choices import (
    OBJECTIVES,
    OPERATORS,
    OPTIMIZERS,
    TOKENIZERS,
    UNICODE_NORMALIZATIONS,
)
from object2vec_tf.hyperparameters.hyperparameters import (
    FORMER_VALUES,
    IN_BATCH_LOSS,
    Hyperparameters,
    defaults,
    specifications,
)
from object2vec_tf.hyperparameters.json_file import max_gpus, read_json
from object2vec_tf.hyperparameters.specification import MAX_VOCAB_SIZE, Specification

__all__ = [
    "FORMER_VALUES",
    "IN_BATCH_LOSS",
    "MAX_VOCAB_SIZE",
    "OBJECTIVES",
    "OPERATORS",
    "OPTIMIZERS",
    "TOKENIZERS",
    "UNICODE_NORMALIZATIONS",
    "Hyperparameters",
    "Specification",
    "defaults",
    "max_gpus",
    "read_json",
    "specifications",
]
