"""Another precision of a model for a while, with the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from object2vec_tf.layers.precision import policy_of
from object2vec_tf.model.builders import with_small_tables
from object2vec_tf.model.object2vec import Object2Vec


@contextmanager
def computing_in(model: Object2Vec, precision: str) -> Iterator[None]:
    """Sets the precision of a model's computations within a block.

    Nothing is copied. Functions that were traced before keep the model's own precision.

    Args:
        model: The model.
        precision: float32, bfloat16 or float16.

    Example:
        >>> import object2vec_tf as o2v
        >>> from object2vec_tf.model.precision import computing_in
        >>> settings = {"enc0_network": "hcnn", "enc0_vocab_size": 9, "enc_dim": 4}
        >>> model = o2v.Object2Vec(
        ...     settings | {"enc0_max_seq_len": 3}, dtype="mixed_bfloat16"
        ... )
        >>> with computing_in(model, "float32"):
        ...     print(model.enc0.get_layer("hcnn").compute_dtype)
        float32
        >>> model.enc0.get_layer("hcnn").compute_dtype
        'bfloat16'
    """
    if model.dtype_policy == policy_of(precision):
        yield
        return
    # Which layers have 16 bits is known to the builders of models.
    pattern = Object2Vec(
        with_small_tables(model.hyperparameters), dtype=policy_of(precision)
    )
    layers = list(model._flatten_layers())
    earlier = [layer.dtype_policy for layer in layers]
    try:
        for layer, other in zip(layers, pattern._flatten_layers(), strict=True):
            layer.dtype_policy = other.dtype_policy
        yield
    finally:
        for layer, policy in zip(layers, earlier, strict=True):
            layer.dtype_policy = policy
