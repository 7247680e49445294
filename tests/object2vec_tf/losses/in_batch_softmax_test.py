"""The oracle is the softmax written out, a pair and a candidate at a time."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.losses.in_batch_softmax import InBatchSoftmax
from object2vec_tf.losses.positive_mask import positive_mask

RANDOM = np.random.default_rng(4)
FIRST, SECOND = RANDOM.normal(size=(2, 5, 3)).astype(np.float32)
KNOWN = np.eye(5, dtype=bool)
KNOWN[0, 3] = KNOWN[2, 1] = True
SHARES = np.array([[0.1, 0.5], [0.2, 0.5], [0.3, 0.1], [0.3, 0.2], [0.1, 0.2]])


def by_hand(similarity, direction, temperature, shares=None):
    def likeness(i, j):
        product = float(FIRST[i] @ SECOND[j])
        if similarity == "cosine":
            product /= np.linalg.norm(FIRST[i]) * np.linalg.norm(SECOND[j])
        return product / temperature

    def cost(i, of):
        own, choice = None, []
        for other in range(5):
            row, column = (i, other) if of == "in0_to_in1" else (other, i)
            if row != column and KNOWN[row, column]:
                continue
            value = likeness(row, column)
            if shares is not None:
                value -= math.log(shares[other][1 if of == "in0_to_in1" else 0])
            choice.append(value)
            own = value if other == i else own
        total = math.log(sum(math.exp(value) for value in choice))
        return total - own, float(own >= max(choice))

    ways = ["in0_to_in1", "in1_to_in0"] if direction == "both" else [direction]
    told = np.array([[cost(i, way) for i in range(5)] for way in ways])
    return told.mean(axis=0).T


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
@pytest.mark.parametrize("direction", ["both", "in0_to_in1", "in1_to_in0"])
@pytest.mark.parametrize("shares", [None, SHARES])
def test_costs_and_hits_are_those_made_by_hand(similarity, direction, shares):
    layer = InBatchSoftmax(similarity, direction, 0.7)
    logs = None if shares is None else tuple(tf.constant(np.log(shares.T), tf.float32))

    told = layer(tf.constant(FIRST), tf.constant(SECOND), tf.constant(KNOWN), logs)

    expected = by_hand(similarity, direction, 0.7, shares)
    np.testing.assert_allclose(told[0], expected[0], rtol=1e-5)
    np.testing.assert_array_equal(told[1], expected[1])


def test_known_partners_are_those_of_equal_objects():
    in0 = tf.ragged.constant([[1], [2, 3], [1], [], [2, 3]], dtype=tf.int64)
    in1 = tf.ragged.constant([[7], [8], [9], [7], [7]], dtype=tf.int64)
    known = positive_mask(in0, in1, tf.constant([1, 1, 1, 1, 0]))

    pairs = {((1,), (7,)), ((2, 3), (8,)), ((1,), (9,)), ((), (7,))}
    expected = [
        [(tuple(a), tuple(b)) in pairs for b in in1.to_list()] for a in in0.to_list()
    ]
    np.testing.assert_array_equal(known, expected)


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
# in1 says what in0 says, in other words.
ROWS = [
    {"in0": [i % 20, (3 * i) % 20], "in1": [20 + i % 20, 20 + (3 * i) % 20], "label": 1}
    for i in range(60)
]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"negative_sampling_rate": 2, "learn_temperature": True},
        {"popularity_correction": True, "enc0_network": "hcnn", "enc0_layers": 2},
        {
            "negative_sampling_rate": 3,
            "negative_mining": "hard",
            "learning_rate_warmup_epochs": 0.5,
            "learning_rate_decay": "cosine",
            "label_smoothing": 0.1,
        },
        {"negative_sampling_rate": 2, "negative_frequency_power": 0.5},
    ],
    ids=str,
)
def test_a_run_learns_to_find_partners(tmp_path, write_lines, more):
    train = write_lines(tmp_path / "train.jsonl", ROWS)

    run = o2v.fit(
        {**SETTINGS, **more},
        train=str(train),
        validation=str(train),
        model_dir=tmp_path / "run",
        verbose=False,
    )

    costs = [r["validation"]["in_batch_cross_entropy"] for r in run.history]
    assert costs[-1] < 0.7 * costs[0]
    assert run.metrics["validation"]["in_batch_accuracy"] > 0.5
    assert run.metrics["best_epoch"] == int(np.argmin(costs))
    learnt = float(np.exp(run.model.in_batch_softmax.log_temperature))
    assert (learnt != pytest.approx(0.05)) == bool(more.get("learn_temperature"))
    again = keras.models.load_model(tmp_path / "run/model.keras")
    pairs = o2v.read_pairs(train, again.hyperparameters).dataset()
    held = again.evaluate(pairs, return_dict=True, verbose=0)
    batches = run.model.evaluate(pairs, return_dict=True, verbose=0)
    assert held == batches


def test_the_comparator_has_no_say_in_what_encoders_learn(tmp_path, write_lines):
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


def test_pairs_labelled_zero_look_for_no_partner():
    model = o2v.Object2Vec(SETTINGS, seed=1)
    model.compile()
    ids = tf.ragged.constant([[1], [2], [3]], dtype=tf.int64)
    batch = {"in0": ids, "in1": ids}
    told = model.test_step((batch, tf.constant([1, 0, 0])))

    costs, _ = model.in_batch_softmax(
        model.enc0(ids), model.enc1(ids), tf.constant(np.diag([True, False, False]))
    )
    assert float(told["in_batch_cross_entropy"]) == pytest.approx(
        float(costs[0]), rel=1e-5
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
def test_what_has_no_meaning_together_is_told(more, message):
    with pytest.raises(o2v.HyperparameterError, match=message):
        o2v.Hyperparameters(**{**SETTINGS, **more})


def test_training_without_log_frequencies_is_an_error():
    model = o2v.Object2Vec({**SETTINGS, "popularity_correction": True})
    model.compile()
    ids = tf.ragged.constant([[1], [2]], dtype=tf.int64)
    data = tf.data.Dataset.from_tensors(({"in0": ids, "in1": ids}, [1, 1]))
    with pytest.raises(ValueError, match="which provides it"):
        model.fit(data, verbose=0)
