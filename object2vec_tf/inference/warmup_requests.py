"""Warm-up requests: a model runs them once before the first real request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from object2vec_tf.errors import UserError
from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.exported_files import EXPORT_AGAIN
from object2vec_tf.inference.ragged_inputs import RaggedInputs, input_limits

HYPERPARAMETERS = "assets.extra/hyperparameters.json"
WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"
_BATCHES = (1, 8, 64)
_LENGTHS = (1, 8, 64, 512)
# Larger requests would warm up nothing more, and take seconds with a bilstm.
_MAX_TOKENS = 1024

# The input names of each signature.
SIGNATURE_INPUTS: Mapping[str, tuple[str, ...]] = {
    "embed_enc0": ("in0",),
    "embed_enc1": ("in1",),
    "predict_pair": ("in0", "in1"),
}


def warm_up_requests(
    hyperparameters: Hyperparameters, names: tuple[str, ...]
) -> Iterator[RaggedInputs]:
    """Yields random inputs of several batch sizes and lengths.

    Args:
        hyperparameters: The model's.
        names: The inputs: in0, in1 or both.
    """
    generator = np.random.default_rng(0)
    limits = {name: input_limits(hyperparameters)[name] for name in names}
    longest = min(max(limit.max_len for limit in limits.values()), _LENGTHS[-1])
    lengths = [length for length in _LENGTHS if length < longest] + [longest]
    for batch in _BATCHES:
        for length in lengths:
            if batch * length <= _MAX_TOKENS:
                yield RaggedInputs.from_rows(
                    {
                        name: generator.integers(
                            limit.size, size=(batch, min(length, limit.max_len))
                        ).tolist()
                        for name, limit in limits.items()
                    }
                )


def read_warm_up(directory: Path) -> Iterator[tuple[str, dict[str, tf.Tensor]]]:
    """Yields the signature and the inputs of each warm-up request of a SavedModel.

    Raises:
        UserError: There are none.
    """
    path = directory / WARM_UP_FILE
    if not path.is_file():
        raise UserError(
            f"{path}: is missing: the version is half copied. {EXPORT_AGAIN}"
        )
    with tensorflow_path(path) as name:
        records = list(tf.data.TFRecordDataset(name, buffer_size=1 << 20))
    for record in records:
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        kind = log.WhichOneof("log_type")
        request = getattr(log, kind).request
        if kind == "predict_log":
            inputs = {
                name: tf.constant(tf.make_ndarray(tensor))
                for name, tensor in request.inputs.items()
            }
        else:
            examples = request.input.example_list.examples
            inputs = {"inputs": tf.constant([e.SerializeToString() for e in examples])}
        yield request.model_spec.signature_name, inputs
