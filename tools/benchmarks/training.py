"""A compiled model and its training loop, as the benchmarks use them."""

from __future__ import annotations

from typing import Any

from object2vec_tf.hyperparameters import Hyperparameters


def compiled_model(hyperparameters: Hyperparameters, seed: int = 0, **more: Any) -> Any:
    """Returns a compiled Object2Vec whose optimizer slots are built."""
    from object2vec_tf.model.object2vec import Object2Vec

    model = Object2Vec(hyperparameters, seed=seed, **more)
    model.compile()
    model.optimizer.build(model.trainable_variables)
    return model


def training_loop(model: Any) -> Any:
    """Returns the training loop of a compiled model or an execution, no callbacks."""
    import keras

    from object2vec_tf.training.loop import TrainingLoop

    return TrainingLoop(model, keras.callbacks.CallbackList([], model=None))
