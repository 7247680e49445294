import pytest

from object2vec_tf.training.early_stopping import EarlyStopping


def epochs_run(losses, patience, tolerance):
    rule = EarlyStopping(patience, tolerance)
    for epoch, loss in enumerate(losses):
        if rule.update(loss):
            return epoch + 1, rule.best_epoch
    return len(losses), rule.best_epoch


def test_stops_where_the_movielens_log_of_aws_stops():
    # From epoch 3 on, the lowest of three before minus the loss: .007 bad, .018 good,
    # .002 bad, .001 bad, .003 bad, .009 bad: the fourth bad one in a row ends it.
    losses = [0.980, 0.986, 0.959, 0.952, 0.934, 0.932, 0.931, 0.928, 0.919, 0.1]
    assert epochs_run(losses, patience=3, tolerance=0.01) == (9, 8)


@pytest.mark.parametrize(
    ("losses", "patience", "tolerance", "run", "best"),
    [
        # Flat: epochs 1, 2 are bad and the count exceeds 1 at the second.
        ([1.0, 1.0, 1.0, 1.0], 1, 0.01, 3, 0),
        # Before epoch `patience` nothing is bad, however much the loss rises.
        ([1.0, 2.0, 3.0], 3, 0.01, 3, 0),
        # Steady progress never stops.
        ([5.0, 4.0, 3.0, 2.0, 1.0], 1, 0.5, 5, 4),
        # Binary-exact numbers: a fall of just the tolerance is progress.
        ([1.0, 0.5, 0.0], 1, 0.5, 3, 2),
        # A good epoch between bad ones sets the count back: bad, good, bad, bad.
        ([1.0, 1.0, 0.5, 0.5, 0.5, 0.0], 1, 0.25, 5, 2),
        # Only the last `patience` losses are looked back on: at epoch 3 the window is
        # 4, 3, so 2 is progress although epoch 0 was lower; it stays the best.
        ([1.0, 4.0, 3.0, 2.0], 2, 0.5, 4, 0),
        # The first of equal losses is kept.
        ([1.0, 0.5, 0.5], 3, 0.01, 3, 1),
    ],
)
def test_follows_the_rule(losses, patience, tolerance, run, best):
    assert epochs_run(losses, patience, tolerance) == (run, best)
