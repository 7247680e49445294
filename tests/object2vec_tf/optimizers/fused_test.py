import keras
import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf.optimizers import FusedAdam


def apply_to(optimizer, variable):
    """Returns a function that applies a gradient to the variable."""
    return lambda gradient: optimizer.apply([gradient], [variable])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3},
        {"amsgrad": True},
        {"weight_decay": 0.1, "clipnorm": 0.5},
        {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)},
    ],
)
@pytest.mark.parametrize("graph", [False, True])
def test_updates_equal_those_of_keras_adam(options, graph):
    random = np.random.default_rng(0)
    start = random.normal(size=(4, 3)).astype(np.float32)
    variables = [keras.Variable(start) for _ in range(2)]
    settings = {"learning_rate": 0.1, **options}
    optimizers = [FusedAdam(**settings), keras.optimizers.Adam(**settings)]
    for optimizer, variable in zip(optimizers, variables, strict=True):
        optimizer.build([variable])
    for _ in range(4):
        gradient = tf.constant(random.normal(size=(4, 3)).astype(np.float32))
        for optimizer, variable in zip(optimizers, variables, strict=True):
            apply = apply_to(optimizer, variable)
            (tf.function(apply, autograph=False) if graph else apply)(gradient)
    for fused, plain in zip(*(o.variables for o in optimizers), strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(*variables, rtol=1e-4, atol=1e-5)


def test_the_config_restores_the_optimizer():
    config = keras.saving.serialize_keras_object(FusedAdam(0.25, beta_1=0.5))
    restored = keras.saving.deserialize_keras_object(config)
    assert type(restored) is FusedAdam
    assert (float(restored.learning_rate), restored.beta_1) == (0.25, 0.5)
