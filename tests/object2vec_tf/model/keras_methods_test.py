"""Tests of object2vec_tf/model/keras_methods.py, keras_data.py and encoder.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v

# in0 and in1 as users have them, and without padding and cut at 3 ids.
IN0, IN1 = [[1, -1, 2], [], [3, 4, 5, 6], [7]], [[1], [2, 2, 2, 2], [-1], [9, 8]]
CLEAN0, CLEAN1 = [[1, 2], [], [3, 4, 5], [7]], [[1], [2, 2, 2], [], [9, 8]]
LABELS = [0, 1, 0, 1]
WEIGHTS = [1.0, 2.0, 3.0, 4.0]


def make_model():
    settings = {
        "enc0_network": "pooled_embedding",
        "enc0_max_seq_len": 3,
        "enc0_vocab_size": 10,
        "enc_dim": 4,
        "mlp_layers": 0,
        "comparator_list": "hadamard",
        "optimizer": "sgd",
        "learning_rate": 0.5,
        "mini_batch_size": 4,
    }
    model = o2v.Object2Vec(settings, seed=3)
    model.compile()
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


def forward(model, weights=None):
    """Probabilities and mean loss of the clean pairs, in numpy."""
    tables = [
        model.enc0.get_layer("token_embedding0").embeddings.numpy(),
        model.enc1.get_layer("token_embedding1").embeddings.numpy(),
    ]
    first, second = (
        np.array([table[row].mean(0) if row else np.zeros(4) for row in rows])
        for table, rows in zip(tables, (CLEAN0, CLEAN1), strict=True)
    )
    output = model.comparator.get_layer("output")
    logits = (first * second) @ output.kernel.numpy() + output.bias.numpy()
    powers = np.exp(logits)
    scores = powers / powers.sum(1, keepdims=True)
    losses = -np.log(scores[np.arange(4), LABELS])
    return scores, (losses * (1 if weights is None else np.array(weights))).mean()


def padded(rows):
    return tf.ragged.constant(rows, ragged_rank=1).to_tensor(-1).numpy()


def bias_after_a_step(model):
    """The output bias after one step of SGD on all pairs, in numpy."""
    scores, _ = forward(model)
    labels = np.eye(2)[LABELS]
    bias = model.comparator.get_layer("output").bias.numpy()
    return bias - 0.5 * (scores - labels).mean(0)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return (IN0, padded(IN1)), LABELS


def generator():
    yield {"in0": IN0, "in1": IN1}, LABELS


def dataset():
    pairs = ((padded(IN0), padded(IN1)), np.array(LABELS))
    return tf.data.Dataset.from_tensors(pairs)


ROWS = [
    {"in0": a, "in1": b, "label": label}
    for a, b, label in zip(CLEAN0, CLEAN1, LABELS, strict=True)
]
SOURCES = {
    "list": ([IN0, IN1], LABELS),
    "tuple": ((padded(IN0), IN1), np.array(LABELS)[:, None]),
    "generator": (generator,),
    "PyDataset": (Batches,),
    "dataset": (dataset,),
    "table": (ROWS,),
}


@pytest.mark.parametrize("name", SOURCES)
def test_fit_takes_a_step_on_all_pairs(name, model):
    x, *labels = SOURCES[name]
    expected = bias_after_a_step(model)
    # Keras warns when a generator ends.
    steps = 1 if x is generator else None
    x = x() if callable(x) else x
    model.fit(x, *labels, shuffle=False, steps_per_epoch=steps, verbose=0)
    bias = model.comparator.get_layer("output").bias
    np.testing.assert_allclose(bias, expected, atol=1e-6)


@pytest.mark.long
def test_weights_validation_and_split(model):
    _, before = forward(model, WEIGHTS)
    history = model.fit(
        (IN0, IN1),
        LABELS,
        sample_weight=WEIGHTS,
        validation_data=((padded(IN0), IN1), LABELS),
        verbose=0,
    ).history
    assert history["loss"] == pytest.approx([before], rel=1e-5)
    assert history["val_loss"] == pytest.approx([forward(model)[1]], rel=1e-5)
    pairs = o2v.read_pairs(ROWS, model.hyperparameters)
    for source, labels in (((IN0, IN1), LABELS), (pairs, None)):
        # Of the first half, the mean is over two of the pairs.
        model.fit(source, labels, validation_split=0.5, batch_size=4, verbose=0)
    assert model.evaluate([IN0, IN1], LABELS, verbose=0)[0] == pytest.approx(
        forward(model)[1], rel=1e-5
    )
    assert model.train_on_batch([IN0, IN1], LABELS)[0] > 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            (IN0, [[1], [2], [3], [2.5]]),
            r"in1\[3\]\[0\]: expected a token id in .0,",
        ),
        ((IN0, [[1], [2]]), "in1: expected 4 objects, one for each of in0, got 2"),
        (
            [IN0],
            "inputs: expected .*in0, in1., the objects .*, got list of 1",
        ),
        (padded(IN0), "inputs: expected .* got ndarray. For rows of pairs, call"),
        ({"in0": IN0}, "inputs: expected the keys in0 and in1, got in0"),
        ([{"in0": [1]}], "list: expected in0 and in1, found no in1"),
        ((IN0, [[True]] * 4), r"in1\[0\]\[0\]: expected a token id, got True"),
        (([], []), "inputs: expected at least one pair, got none"),
    ],
)
def test_invalid_pairs_are_errors(inputs, message, model):
    with pytest.raises(o2v.DataError, match=message):
        model.predict(inputs, verbose=0)


def test_labels_beside_a_table_are_an_error(model):
    with pytest.raises(o2v.UserError, match="which has labels and weights"):
        model.fit(ROWS, LABELS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "tflite"}, "format: expected one of tf_saved_model, onnx, got"),
        ({"input_signature": []}, "input_signature: expected None, since"),
        ({"shape": 3}, "export: got an unexpected keyword argument 'shape'"),
    ],
)
def test_an_invalid_argument_of_export_is_an_error(arguments, message, model, tmp_path):
    with pytest.raises(o2v.UserError, match=message):
        model.export(tmp_path, **arguments)


@pytest.mark.parametrize(
    "network", ["hcnn", pytest.param("bilstm", marks=pytest.mark.long)]
)
def test_encoders_take_row_splits_of_any_type(network):
    settings = {"enc0_network": network, "enc0_max_seq_len": 3, "enc0_vocab_size": 9}
    sizes = {"enc_dim": 4, "enc0_layers": 1, "enc0_token_embedding_dim": 3}
    encoder = o2v.Object2Vec(settings | sizes).enc0
    ids = tf.ragged.constant([[1, 2], []], tf.int32, row_splits_dtype=tf.int32)
    expected = encoder([[1, -1, 2], []])
    np.testing.assert_array_equal(encoder(ids), expected)
    graph = tf.function(encoder.__call__, autograph=False)
    np.testing.assert_allclose(graph(ids), expected, atol=1e-6)


def test_saved_encoder_keeps_the_rule(model, tmp_path):
    model.enc0.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(loaded(IN0), model.enc0(CLEAN0))
    np.testing.assert_array_equal(loaded({"in0": padded(IN0)}), model.enc0(CLEAN0))
    np.testing.assert_allclose(loaded.predict(IN0, verbose=0), model.enc0(CLEAN0))
