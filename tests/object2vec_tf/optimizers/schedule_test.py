import math

import keras
import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.optimizers.schedule import WarmUpAndDecay

SETTINGS = {"enc0_vocab_size": 9, "enc0_max_seq_len": 2, "epochs": 4}


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("none", [0.05, 0.1, 0.1, 0.1, 0.1]),
        ("linear", [0.05, 0.1, 0.1, 0.05, 0.0]),
        ("cosine", [0.05, 0.1, 0.1, 0.05, 0.0]),
    ],
)
def test_the_rate_rises_in_the_warm_up_and_falls_to_zero(decay, expected):
    schedule = WarmUpAndDecay(0.1, 2, 10, decay)
    np.testing.assert_allclose(
        [schedule(step) for step in (0, 1, 2, 6, 10)], expected, atol=1e-7
    )
    quarter = 0.1 * (1 + math.cos(math.pi / 4)) / 2
    assert float(schedule(4)) == pytest.approx(
        {"none": 0.1, "linear": 0.075, "cosine": quarter}[decay]
    )


def test_hyperparameters_count_the_warm_up_in_epochs():
    settings = {**SETTINGS, "learning_rate_warmup_epochs": 0.5, "learning_rate": 0.2}
    hyperparameters = o2v.Hyperparameters(**settings, learning_rate_decay="linear")
    optimizer = o2v.optimizers.optimizer_for(hyperparameters, 100)
    assert float(optimizer.learning_rate) == pytest.approx(0.2 / 50)
    config = keras.optimizers.serialize(optimizer)["config"]["learning_rate"]["config"]
    assert (config["warmup_steps"], config["total_steps"]) == (50, 400)
    constant = o2v.optimizers.optimizer_for(o2v.Hyperparameters(**SETTINGS))
    assert float(constant.learning_rate) == pytest.approx(0.0004)


def test_a_missing_number_of_steps_is_reported():
    model = o2v.Object2Vec({**SETTINGS, "enc_dim": 8, "learning_rate_decay": "cosine"})
    message = (
        r"^steps_per_epoch: expected .*, got None\. Call compile\(steps_per_epoch="
    )
    with pytest.raises(ValueError, match=message):
        model.compile()
    model.compile(steps_per_epoch=10)
