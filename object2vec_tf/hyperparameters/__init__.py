"""Every hyperparameter: its name, range, default, and the rules that join them."""

from object2vec_tf.hyperparameters.hyperparameters import (
    IN_BATCH_LOSS,
    OBJECTIVES,
    OPERATORS,
    OPTIMIZERS,
    TOKENIZERS,
    UNICODE_NORMALIZATIONS,
    Hyperparameters,
    Specification,
    defaults,
    max_gpus,
    read_json,
    specifications,
)

__all__ = [
    "IN_BATCH_LOSS",
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
