import pytest

from object2vec_tf.training.early_stopping import EarlyStopping


def epochs_run(losses, patience, tolerance):
    rule = EarlyStopping(patience, tolerance)
    for epoch, loss in enumerate(losses):
        if rule.update(loss):
            return epoch + 1, rule.best_epoch
    return len(losses), rule.best_epoch


def test_stops_at_the_epoch_of_the_movielens_log_of_aws():
    # Progress from epoch 3 on (lowest of the three losses before, minus the loss): .007
    # bad, .018 good, .002 bad, .001 bad, .003 bad, .009 bad. The fourth consecutive
    # bad epoch ends training.
    losses = [0.980, 0.986, 0.959, 0.952, 0.934, 0.932, 0.931, 0.928, 0.919, 0.1]
    assert epochs_run(losses, patience=3, tolerance=0.01) == (9, 8)


@pytest.mark.parametrize(
    ("losses", "patience", "tolerance", "run", "best"),
    [
        # Constant loss: epochs 1 and 2 are bad, and the count then exceeds 1.
        ([1.0, 1.0, 1.0, 1.0], 1, 0.01, 3, 0),
        # Epochs before `patience` are never bad, even if the loss rises.
        ([1.0, 2.0, 3.0], 3, 0.01, 3, 0),
        # Steady progress never stops.
        ([5.0, 4.0, 3.0, 2.0, 1.0], 1, 0.5, 5, 4),
        # Exact binary numbers: a decrease by the tolerance is progress.
        ([1.0, 0.5, 0.0], 1, 0.5, 3, 2),
        # A good epoch resets the count: bad, good, bad, bad.
        ([1.0, 1.0, 0.5, 0.5, 0.5, 0.0], 1, 0.25, 5, 2),
        # Only the last `patience` losses are compared: at epoch 3 they are 4, 3, so 2
        # is progress although epoch 0 was lower. Epoch 0 remains the best.
        ([1.0, 4.0, 3.0, 2.0], 2, 0.5, 4, 0),
        # The first of equal losses is kept.
        ([1.0, 0.5, 0.5], 3, 0.01, 3, 1),
    ],
)
def test_follows_the_rule(losses, patience, tolerance, run, best):
    assert epochs_run(losses, patience, tolerance) == (run, best)
