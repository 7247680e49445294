import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.distributed.strategies import MirroredDevices, SingleDevice
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.training.batch_layout import layout_for


def pairs_of(rows=32_000, tokens=1, **settings):
    """Pairs of objects with this number of tokens; by default 500 batches of 64."""
    hyperparameters = o2v.Hyperparameters(
        **{
            "enc0_network": "pooled_embedding",
            "enc0_max_seq_len": 30,
            "enc0_vocab_size": 5,
            "enc_dim": 64,
            "mini_batch_size": 64,
        }
        | settings
    )
    column = RaggedColumn(
        np.zeros(rows * tokens, np.int32), np.arange(rows + 1, dtype=np.int64) * tokens
    )
    labels = np.zeros(rows, np.int64)
    report = Report((), {}, {}, (), {}, "")
    return Pairs(column, column, labels, hyperparameters, report)


SUBWORDS = {
    "enc0_tokenizer": "whitespace",
    "enc0_vocab_file": "vocab.json",
    "enc1_vocab_file": "vocab.json",
    "enc0_subword_ngrams": "3..4",
}


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("auto", {}, "static"),
        ("ragged", {}, "ragged"),
        ("static", {"rows": 640}, "static"),
        # 499 steps per epoch.
        ("auto", {"rows": 31_999}, "ragged"),
        # 64 x 36 x 64 = 147,456 values of token vectors.
        ("auto", {"tokens": 18}, "static"),
        # 64 x 38 x 64 = 155,648.
        ("auto", {"tokens": 19}, "ragged"),
        ("auto", {"tokens": 18, "enc_dim": 66}, "ragged"),
        ("auto", {"enc0_network": "hcnn"}, "ragged"),
        ("auto", SUBWORDS, "ragged"),
        ("auto", {"repeated_tokens": "log"}, "ragged"),
        (
            "auto",
            {
                "enc1_network": "bilstm",
                "enc1_vocab_size": 5,
                "enc1_max_seq_len": 30,
            },
            "ragged",
        ),
    ],
)
def test_small_steps_on_a_cpu_are_static(name, more, expected, monkeypatch):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])

    assert layout_for(name, SingleDevice(), pairs_of(**more)) == expected


def test_a_gpu_has_static_batches_of_any_size(monkeypatch):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["GPU:0"])

    pairs = pairs_of(rows=2, tokens=30, enc0_network="hcnn")
    assert layout_for("auto", SingleDevice(), pairs) == "static"


def test_several_devices_of_a_cpu_have_ragged_batches():
    devices = MirroredDevices(tf.distribute.MirroredStrategy(["CPU:0"]))

    assert layout_for("auto", devices, pairs_of()) == "ragged"
