import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.report.hidden_metrics import hidden_metrics

IN_BATCH = {"objective": "in_batch_softmax"}
COLUMN = RaggedColumn.from_rows([[1], [2]])


@pytest.mark.parametrize(
    ("settings", "labels", "is_hidden"),
    [
        (IN_BATCH, [1, 1], True),
        (IN_BATCH, [0, 1], False),
        (IN_BATCH | {"negative_sampling_rate": 1}, [1, 1], False),
        ({}, [1, 1], False),
    ],
)
def test_a_comparator_trained_on_one_label_is_hidden(settings, labels, is_hidden):
    hyperparameters = o2v.Hyperparameters(
        enc0_vocab_size=5, enc0_max_seq_len=2, **settings
    )
    report = Report((), {}, {}, (), {}, "")
    train = Pairs(COLUMN, COLUMN, np.array(labels), hyperparameters, report)
    hidden = hidden_metrics(hyperparameters, train)
    assert ("accuracy" in hidden) is ("auc" in hidden) is is_hidden
    assert "in_batch_accuracy" not in hidden
