"""What only a GPU can show: faults that its kernels had, and equal results.

`make test-gpu` runs them.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from export import export_saved_model
from object2vec_tf.devices import describe_devices, gpu_is_visible, on_host
from object2vec_tf.layers.ragged_sum import ragged_sum
from tests.object2vec_tf.training.layout_cases import (
    BILSTM,
    HCNN,
    IN_BATCH,
    POOLED,
    assert_layouts_agree,
    hyperparameters,
)
from tests.tolerances import tolerances

pytestmark = pytest.mark.gpu

NETWORKS = ["pooled_embedding", "hcnn", "bilstm"]
# Answers of a model, computed in a process that sees no GPU.
ANSWER = """
import sys
import numpy as np
import object2vec_tf as o2v
from object2vec_tf.devices import select_device
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.python_inputs import pair_inputs

select_device("cpu")
model = o2v.load(sys.argv[1])
pairs = [([1, 2, 1], [3]), ([], [4, 5]), ([9], [])]
exported = load_model(sys.argv[1])
inputs = pair_inputs(pairs, model.hyperparameters, (None, None))
np.savez(sys.argv[2], embedded=model.embed([p[0] for p in pairs]),
         scored=model.score(pairs), exported=exported(inputs))
"""


def settings(network="pooled_embedding", **values):
    return {
        "enc0_network": network,
        "enc0_vocab_size": 10,
        "enc0_max_seq_len": 8,
        "enc0_token_embedding_dim": 8,
        "enc_dim": 8,
        "mlp_dim": 8,
        "mini_batch_size": 16,
        "epochs": 2,
        **values,
    }


def write_pairs(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def id_rows(count=70):
    random = np.random.default_rng(1)
    return [
        {
            "in0": random.integers(0, 10, random.integers(0, 9)).tolist(),
            "in1": random.integers(0, 10, random.integers(0, 9)).tolist(),
            "label": int(random.integers(0, 2)),
        }
        for _ in range(count)
    ]


def ragged(rows):
    return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("lengths", [[], [0, 0], [3, 0, 5], [400]])
def test_sums_equal_those_of_numpy(lengths, training):
    """Without tokens, and with more entries than rows times vectors."""
    random = np.random.default_rng(2)
    unique = 4 if sum(lengths) else 0
    vectors = random.normal(size=(unique, 5)).astype(np.float32)
    indices = random.integers(0, max(unique, 1), sum(lengths)).astype(np.int32)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    counts = np.zeros((len(lengths), unique))
    np.add.at(counts, (rows, indices), 1)
    upstream = random.normal(size=(len(lengths), 5)).astype(np.float32)

    @tf.function
    def sums_and_gradient(vectors, indices):
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            sums = ragged_sum(vectors, indices, training)
            loss = tf.reduce_sum(sums * upstream)
        return sums, tf.convert_to_tensor(tape.gradient(loss, vectors))

    sums, gradient = sums_and_gradient(
        tf.constant(vectors), tf.RaggedTensor.from_row_lengths(indices, lengths)
    )
    np.testing.assert_allclose(sums, counts @ vectors, **tolerances(1e-5, 1e-5))
    np.testing.assert_allclose(gradient, counts.T @ upstream, **tolerances(1e-5, 1e-5))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_signature_answers_batches_without_rows_or_tokens(network, tmp_path):
    path = export_saved_model(o2v.Object2Vec(settings(network)), tmp_path)
    embed = tf.saved_model.load(str(path)).signatures["embed_enc0"]

    for shape in ([0, 0], [0, 3], [2, 0]):
        embeddings = embed(in0=tf.zeros(shape, tf.int64))["embeddings"]
        np.testing.assert_array_equal(embeddings, np.zeros((shape[0], 8)))


def test_a_pair_whose_tokens_repeat_is_trained_on(tmp_path):
    row = {"in0": [1, 1, 1, 1, 1, 1], "in1": [1, 1, 1, 1], "label": 1}
    train = write_pairs(tmp_path / "train", [row] * 17)
    for layout in ("ragged", "static"):
        run = o2v.fit(
            settings(tied_token_embedding_weight=True),
            train=train,
            model_dir=tmp_path / layout,
            batch_layout=layout,
            verbose=False,
        )
        assert np.isfinite(run.metrics["train"]["cross_entropy"])


def test_an_id_outside_the_vocabulary_is_refused():
    model = o2v.Object2Vec(settings())
    model.compile()
    inputs = {"in0": ragged([[1], [10]]), "in1": ragged([[1], [2]])}
    batches = tf.data.Dataset.from_tensors((inputs, tf.constant([0, 1])))

    for call in (
        lambda: model.fit(batches, verbose=0),
        lambda: model.predict(batches, verbose=0),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match="got 10"):
            call()
    for call in (lambda: model(inputs), lambda: model.embed([[1], [10]])):
        with pytest.raises(o2v.DataError, match="got 10"):
            call()


@pytest.mark.parametrize("tokenizer", ["unicode_script", "wordpiece"])
def test_a_run_on_text_ends(tokenizer, tmp_path):
    words = ["the", "cat", "a", "ran", "##s", "."]
    (tmp_path / "words").write_text("\n".join(["[UNK]", *words]))
    texts = ["the cat ran.", "", "a bird", "the the the the the the"]
    rows = [
        {"in0": texts[i % 4], "in1": texts[i % 3], "label": i % 2} for i in range(33)
    ]
    run = o2v.fit(
        settings(
            enc0_tokenizer=tokenizer,
            enc0_vocab_file="words",
            tied_token_embedding_weight=True,
        ),
        train=write_pairs(tmp_path / "train", rows),
        auxiliary=tmp_path / "words",
        model_dir=tmp_path / "run",
        verbose=False,
    )

    assert run.metrics["epochs_run"] == 2
    assert run.model.embed(texts).shape == (4, 8)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_model_trained_on_a_gpu_answers_equally_on_a_cpu(network, tmp_path):
    run = o2v.fit(
        settings(network),
        train=write_pairs(tmp_path / "train", id_rows()),
        model_dir=tmp_path / "run",
        verbose=False,
    )
    process = [sys.executable, "-c", ANSWER, str(run.model_dir), "answers.npz"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run(process, cwd=tmp_path, env=environment, check=True)
    pairs = [([1, 2, 1], [3]), ([], [4, 5]), ([9], [])]

    assert run.metrics["device"] == describe_devices(1)
    with np.load(tmp_path / "answers.npz") as answers:
        embedded = run.model.embed([first for first, _ in pairs])
        np.testing.assert_allclose(embedded, answers["embedded"], **tolerances())
        scores = run.model.score(pairs)
        np.testing.assert_allclose(scores, answers["scored"], **tolerances())
        np.testing.assert_allclose(scores, answers["exported"], **tolerances())


@pytest.mark.parametrize(
    "groups",
    [
        pytest.param([POOLED, {"negative_sampling_rate": 3}], id="pooled"),
        pytest.param([POOLED, IN_BATCH], id="in batch"),
        pytest.param([HCNN], id="hcnn"),
        pytest.param([BILSTM], id="bilstm"),
    ],
)
def test_static_batches_give_the_weights_of_ragged_ones(groups):
    assert_layouts_agree(hyperparameters(*groups), atol=tolerances(atol=1e-5)["atol"])


DETERMINISTIC = """
import sys
import numpy as np
import object2vec_tf as o2v
settings = eval(sys.argv[1])
run = o2v.fit(settings, train="train", model_dir=sys.argv[2], verbose=False,
              deterministic=True, batch_layout=sys.argv[3])
np.savez(sys.argv[2] + ".npz", *run.model.get_weights())
"""


@pytest.mark.parametrize("layout", ["ragged", "static"])
@pytest.mark.parametrize("network", NETWORKS)
def test_deterministic_runs_have_equal_weights(network, layout, tmp_path):
    write_pairs(tmp_path / "train", id_rows())
    values = settings(
        network, negative_sampling_rate=2, negative_mining="hard", dropout=0.1
    )
    weights = []
    for name in ("first", "second"):
        process = [sys.executable, "-c", DETERMINISTIC, repr(values), name, layout]
        subprocess.run(process, cwd=tmp_path, check=True)
        with np.load(tmp_path / f"{name}.npz") as arrays:
            weights.append(dict(arrays))

    for name, first in weights[0].items():
        np.testing.assert_array_equal(first, weights[1][name])


def test_tf32_changes_a_product_by_less_than_a_thousandth():
    """The exports are computed without it."""
    random = np.random.default_rng(4)
    first, second = (random.normal(size=(256, 256)).astype(np.float32) for _ in "ab")
    exact = first.astype(float) @ second
    scale = np.abs(first) @ np.abs(second)

    assert np.max(np.abs(tf.matmul(first, second) - exact) / scale) < 1e-3


def test_models_are_on_the_gpu_and_ids_on_the_host():
    model = o2v.Object2Vec(settings())

    assert gpu_is_visible()
    assert "GPU" in model.enc0.layers[2].embeddings.value.device
    with on_host():
        assert "CPU" in tf.unique(tf.constant([1, 1])).y.device
