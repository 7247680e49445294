"""What the benchmarks train with: a compiled model, and the loop that trains it."""

from __future__ import annotations

from typing import Any

from object2vec_tf.hyperparameters import Hyperparameters


def compiled(hyperparameters: Hyperparameters, seed: int = 0) -> Any:
    """Returns an Object2Vec with its optimizer's slots."""
    from object2vec_tf.model.object2vec import Object2Vec

    model = Object2Vec(hyperparameters, seed=seed)
    model.compile()
    model.optimizer.build(model.trainable_variables)
    return model


def loop_of(model: Any) -> Any:
    """Returns the training loop of a compiled model, which tells nobody."""
    import keras

    from object2vec_tf.training.loop import TrainingLoop

    return TrainingLoop(model, keras.callbacks.CallbackList([], model=model))
