import keras
import numpy as np
import pytest

from object2vec_tf.losses.smoothed_cross_entropy import SmoothedCrossEntropy

SCORES = np.array([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]], np.float32)
LABELS = np.array([0, 1])


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_is_the_cross_entropy_of_smoothed_labels(smoothing):
    loss = SmoothedCrossEntropy(smoothing)
    restored = SmoothedCrossEntropy.from_config(loss.get_config())
    labels = np.eye(3)[LABELS] * (1 - smoothing) + smoothing / 3
    expected = -(labels * np.log(SCORES)).sum(1).mean()
    for cross_entropy in (loss, restored):
        assert float(cross_entropy(LABELS, SCORES)) == pytest.approx(expected, rel=1e-5)
    if not smoothing:
        plain = keras.losses.SparseCategoricalCrossentropy()
        assert float(loss(LABELS, SCORES)) == float(plain(LABELS, SCORES))
