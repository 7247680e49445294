"""Settings and helpers for tests of hyperparameters."""

from typing import Any

import pytest

from object2vec_tf.errors import HyperparameterError
from object2vec_tf.hyperparameters import Hyperparameters

REQUIRED = {"enc0_max_seq_len": 10, "enc0_vocab_size": 50}

# Valid settings in which enc1 copies nothing from enc0.
SEPARATE = {
    **REQUIRED,
    "enc1_network": "hcnn",
    "enc1_max_seq_len": 10,
    "enc1_vocab_size": 50,
    "enc0_layers": 1,
    "enc1_layers": 1,
}


def problems(**values: Any) -> str:
    with pytest.raises(HyperparameterError) as raised:
        Hyperparameters(**values)
    return str(raised.value)
