"""Negatives of whole runs: what they teach, and how many there are."""

import json

import keras
import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.training import execution
from object2vec_tf.training.checkpoints import SaveClock

RATE = 4


def catalog(folder, items, partners, users=12):
    """Pairs of users with some of few items, and settings that can separate them."""
    random = np.random.default_rng(items)
    liked = [random.permutation(items)[:partners].tolist() for _ in range(users)]
    rows = [([u], [i], 1) for u in range(users) for i in liked[u]]
    wrong = [
        ([u], [i], 0) for u in range(users) for i in range(items) if i not in liked[u]
    ]
    paths = []
    for name, part in (("train", rows), ("all", rows + wrong)):
        paths.append(folder / f"{name}.jsonl")
        lines = [json.dumps({"in0": a, "in1": b, "label": c}) for a, b, c in part]
        paths[-1].write_text("\n".join(lines))
    settings = {
        "enc0_network": "pooled_embedding",
        "enc1_network": "pooled_embedding",
        "enc0_max_seq_len": 1,
        "enc1_max_seq_len": 1,
        "enc0_vocab_size": users,
        "enc1_vocab_size": items,
        "enc_dim": 16,
        "mlp_dim": 32,
        "mlp_layers": 1,
        "mlp_activation": "relu",
        "learning_rate": 0.02,
        "mini_batch_size": 256,
        "negative_sampling_rate": RATE,
    }
    return *paths, settings


@pytest.mark.parametrize(
    ("items", "partners"), [(5, 2), pytest.param(20, 8, marks=pytest.mark.long)]
)
@pytest.mark.parametrize(
    "excludes", [True, pytest.param(False, marks=pytest.mark.long)]
)
def test_few_items_with_several_partners_are_separated(
    items, partners, excludes, tmp_path
):
    train, everything, settings = catalog(tmp_path, items, partners)
    settings["negative_exclude_known"] = excludes
    hyperparameters = o2v.Hyperparameters(**settings)
    model = o2v.Object2Vec(hyperparameters)
    model.compile()
    pairs = o2v.read_pairs(train, hyperparameters)
    steps = 80  # with one batch each
    model.fit(
        pairs.dataset(shuffle=True).repeat(steps), steps_per_epoch=steps, verbose=0
    )

    test = o2v.read_pairs(everything, hyperparameters)
    accuracy = model.evaluate(test.dataset(256), verbose=0, return_dict=True)[
        "accuracy"
    ]

    if excludes:
        assert accuracy >= 0.99
    else:  # true pairs are negatives, too: more often than they are positive
        assert accuracy < 0.9


class Start(keras.callbacks.Callback):
    """Notes the bias of the output layer before the first step."""

    def on_train_begin(self, logs=None):
        self.bias = self.model.comparator.get_layer("output").bias.numpy()


def test_metrics_count_the_negatives_asked_for_and_made(tmp_path, capsys):
    # One batch has all five items. Every user has two, so three can be negatives.
    train, everything, settings = catalog(tmp_path, 5, 2)
    start = Start()
    run = o2v.fit(
        settings | {"epochs": 2},
        train=train,
        validation=everything,
        model_dir=tmp_path / "run",
        callbacks=[start],
    )

    # Training starts with the shares of the classes: one pair, and RATE negatives.
    np.testing.assert_allclose(start.bias, np.log([0.8, 0.2]), rtol=1e-6)
    with pytest.raises(ValueError, match="value: expected 2 numbers"):
        run.model.set_output_bias(0.5)

    assert run.metrics["negatives"] == {"asked": 24 * RATE * 2, "made": 24 * 3 * 2}
    assert [record["negatives"] for record in run.history] == [
        {"asked": 24 * RATE, "made": 24 * 3, "weight": 24 * 3}
    ] * 2
    # Three of four training pairs are negatives, and 36 of the 60 validation pairs.
    scores = run.metrics["baselines"]["prior"]
    assert scores["train"]["accuracy"] == pytest.approx(0.75)
    entropy = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    assert scores["train"]["cross_entropy"] == pytest.approx(entropy)
    assert scores["validation"]["accuracy"] == pytest.approx(0.6)
    sentence = (
        "144 of 192 negatives were made: for the other 48, a batch had no further"
    )
    assert sentence in capsys.readouterr().out
    assert sentence in (tmp_path / "run/report.md").read_text()


@pytest.mark.long
def test_counts_and_weights_survive_a_stop_within_an_epoch(tmp_path, monkeypatch):
    train, _, settings = catalog(tmp_path, 20, 8)
    settings |= {"mini_batch_size": 8, "epochs": 2, "negative_sampling_rate": 9}
    whole = o2v.fit(settings, train=train, model_dir=tmp_path / "whole")

    class Stop(Exception):
        pass

    class StopInEpoch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 7:
                raise Stop

    monkeypatch.setattr(execution, "CALL_SECONDS", 0.0)
    monkeypatch.setattr(SaveClock, "is_due", lambda self: True)
    with pytest.raises(Stop):
        o2v.fit(
            settings, train=train, model_dir=tmp_path / "cut", callbacks=[StopInEpoch()]
        )
    assert list((tmp_path / "cut/checkpoints").glob("epoch-0000-batch-000000007"))
    resumed = o2v.fit(settings, train=train, model_dir=tmp_path / "cut")

    assert 0 < whole.metrics["negatives"]["made"] < whole.metrics["negatives"]["asked"]
    assert resumed.metrics["negatives"] == whole.metrics["negatives"]
    for x, y in zip(whole.model.weights, resumed.model.weights, strict=True):
        np.testing.assert_array_equal(x, y)
