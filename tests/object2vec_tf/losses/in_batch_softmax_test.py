"""Tests of the in-batch softmax against its formula, and of training with it."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.losses.in_batch_softmax import InBatchSoftmax

RANDOM = np.random.default_rng(4)
FIRST, SECOND = RANDOM.normal(size=(2, 5, 3)).astype(np.float32)
PARTNERS = np.eye(5, dtype=bool)
PARTNERS[0, 3] = PARTNERS[2, 1] = True
FREQUENCIES = np.array([[0.1, 0.5], [0.2, 0.5], [0.3, 0.1], [0.3, 0.2], [0.1, 0.2]])


def expected_losses_and_hits(similarity, direction, temperature, frequencies=None):
    """The softmax with one term per candidate, float ``[2, batch]``."""

    def logit(i, j):
        product = float(FIRST[i] @ SECOND[j])
        if similarity == "cosine":
            product /= np.linalg.norm(FIRST[i]) * np.linalg.norm(SECOND[j])
        return product / temperature

    def loss_and_hit(pair, searched):
        partner_logit, logits = None, []
        for other in range(5):
            i, j = (pair, other) if searched == "in0_to_in1" else (other, pair)
            if i != j and PARTNERS[i, j]:
                continue
            value = logit(i, j)
            if frequencies is not None:
                side = 1 if searched == "in0_to_in1" else 0
                value -= math.log(frequencies[other][side])
            logits.append(value)
            partner_logit = value if other == pair else partner_logit
        total = math.log(sum(math.exp(value) for value in logits))
        return total - partner_logit, float(partner_logit >= max(logits))

    directions = ["in0_to_in1", "in1_to_in0"] if direction == "both" else [direction]
    results = np.array([[loss_and_hit(i, d) for i in range(5)] for d in directions])
    return results.mean(axis=0).T


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
@pytest.mark.parametrize("direction", ["both", "in0_to_in1", "in1_to_in0"])
@pytest.mark.parametrize("frequencies", [None, FREQUENCIES])
def test_losses_and_hits_equal_the_formula(similarity, direction, frequencies):
    layer = InBatchSoftmax(similarity, direction, 0.7)
    log_frequencies = None
    if frequencies is not None:
        log_frequencies = tuple(tf.constant(np.log(frequencies.T), tf.float32))

    losses, hits = layer(
        tf.constant(FIRST),
        tf.constant(SECOND),
        tf.constant(PARTNERS),
        log_frequencies,
    )

    expected = expected_losses_and_hits(similarity, direction, 0.7, frequencies)
    np.testing.assert_allclose(losses, expected[0], rtol=1e-5)
    np.testing.assert_array_equal(hits, expected[1])


@pytest.fixture
def write_lines():
    def write(path, rows):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 40,
    "enc0_max_seq_len": 4,
    "enc_dim": 8,
    "mlp_layers": 1,
    "mlp_dim": 8,
    "mini_batch_size": 10,
    "learning_rate": 0.05,
    "objective": "in_batch_softmax",
    "epochs": 8,
}
# The token ids of in1 are those of in0 plus 20.
ROWS = [
    {"in0": [i % 20, (3 * i) % 20], "in1": [20 + i % 20, 20 + (3 * i) % 20], "label": 1}
    for i in range(60)
]


@pytest.mark.parametrize(
    "more",
    [
        {},
        pytest.param(
            {"popularity_correction": True, "enc0_network": "hcnn", "enc0_layers": 2},
            marks=pytest.mark.long,
        ),
        pytest.param(
            {
                "negative_sampling_rate": 3,
                "negative_mining": "hard",
                "learning_rate_warmup_epochs": 0.5,
                "learning_rate_decay": "cosine",
                "label_smoothing": 0.1,
                "learn_temperature": True,
            },
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"negative_sampling_rate": 2, "negative_frequency_power": 0.5},
            marks=pytest.mark.long,
        ),
    ],
    ids=str,
)
@pytest.mark.long
def test_training_learns_to_find_partners(tmp_path, write_lines, more):
    train = write_lines(tmp_path / "train.jsonl", ROWS)

    run = o2v.fit(
        {**SETTINGS, **more},
        train=str(train),
        validation=str(train),
        model_dir=tmp_path / "run",
        verbose=False,
    )

    losses = [r["validation"]["in_batch_cross_entropy"] for r in run.history]
    assert losses[-1] < 0.7 * losses[0]
    assert run.metrics["validation"]["in_batch_accuracy"] > 0.5
    assert run.metrics["best_epoch"] == int(np.argmin(losses))
    temperature = float(np.exp(run.model.in_batch_softmax.log_temperature))
    is_initial = temperature == pytest.approx(0.05)
    assert is_initial != bool(more.get("learn_temperature"))
    loaded = keras.models.load_model(tmp_path / "run/model.keras")
    pairs = o2v.read_pairs(train, loaded.hyperparameters).dataset()
    loaded_metrics = loaded.evaluate(pairs, return_dict=True, verbose=0)
    trained_metrics = run.model.evaluate(pairs, return_dict=True, verbose=0)
    assert loaded_metrics == trained_metrics


def test_the_comparator_does_not_influence_the_encoders(tmp_path, write_lines):
    train = o2v.read_pairs(write_lines(tmp_path / "t.jsonl", ROWS), SETTINGS)
    tables = []
    for rate in (0, 3):
        model = o2v.Object2Vec({**SETTINGS, "negative_sampling_rate": rate}, seed=1)
        model.compile()
        before = [w.numpy() for w in model.comparator.weights]
        model.fit(train.dataset(), epochs=1, verbose=0)
        assert any(
            np.any(a != b.numpy())
            for a, b in zip(before, model.comparator.weights, strict=True)
        )
        tables.append(model.enc0.get_weights()[0])
    np.testing.assert_array_equal(*tables)


def test_pairs_with_label_zero_have_no_loss():
    model = o2v.Object2Vec(SETTINGS, seed=1)
    model.compile()
    ids = tf.ragged.constant([[1], [2], [3]], dtype=tf.int64)
    batch = {"in0": ids, "in1": ids}
    metrics = model.test_step((batch, tf.constant([1, 0, 0])))

    losses, _ = model.in_batch_softmax(
        model.enc0(ids), model.enc1(ids), tf.constant(np.diag([True, False, False]))
    )
    assert float(metrics["in_batch_cross_entropy"]) == pytest.approx(
        float(losses[0]), rel=1e-5
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"mini_batch_size": 1}, "mini_batch_size: expected 2 or more"),
        ({"objective": "pairs", "popularity_correction": True}, "popularity_corr"),
        ({"negative_mining": "hard"}, "hard needs negatives"),
        (
            {
                "negative_mining": "hard",
                "negative_sampling_rate": 1,
                "negative_frequency_power": 0.5,
            },
            "only applies to negative_mining=random",
        ),
        (
            {"output_layer": "mean_squared_error", "label_smoothing": 0.1},
            "only applies to output_layer=softmax",
        ),
    ],
)
def test_conflicting_hyperparameters_are_rejected(more, message):
    with pytest.raises(o2v.HyperparameterError, match=message):
        o2v.Hyperparameters(**{**SETTINGS, **more})


def test_training_without_log_frequencies_fails():
    model = o2v.Object2Vec({**SETTINGS, "popularity_correction": True})
    model.compile()
    ids = tf.ragged.constant([[1], [2]], dtype=tf.int64)
    data = tf.data.Dataset.from_tensors(({"in0": ids, "in1": ids}, [1, 1]))
    with pytest.raises(ValueError, match="which provides it"):
        model.fit(data, verbose=0)
