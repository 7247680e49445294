"""Models with each feature train on a GPU as on a CPU, in both layouts of batches."""

import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.distributed.selection import reason_for_ragged
from tests import gpu_cases
from tests.gpu_test import id_rows, settings, write_pairs
from tests.object2vec_tf.training.layout_cases import assert_same

pytestmark = pytest.mark.gpu

# Both layouts draw other random numbers.
ONLY_RAGGED = ("token dropout",)


@pytest.mark.parametrize("case", gpu_cases.CASES)
def test_a_gpu_trains_the_weights_of_a_cpu(case, tmp_path):
    expected = gpu_cases.results_on_cpu(case, tmp_path)
    layouts = ["ragged"]
    if case not in ONLY_RAGGED and not reason_for_ragged(gpu_cases.settings_of(case)):
        layouts.append("static")

    for layout in layouts:
        print(layout, assert_same(expected, gpu_cases.results(case, layout), 1e-5))


def embeddings(encoder):
    return next(weight for weight in encoder.weights if weight.name == "embeddings")


@pytest.mark.parametrize("layout", ["ragged", "static"])
def test_a_run_starts_with_the_weights_of_another_one(layout, tmp_path):
    values = settings(pooling="weighted", token_embedding_storage_type="row_sparse")
    earlier = o2v.Object2Vec(values, seed=4)
    random = np.random.default_rng(5)
    tables = [random.normal(size=(10, 8)).astype(np.float32) for _ in range(2)]
    for encoder, table in zip((earlier.enc0, earlier.enc1), tables, strict=True):
        embeddings(encoder).assign(table)

    run = o2v.fit(
        {**values, "enc0_vocab_size": 14},
        train=write_pairs(tmp_path / "train", id_rows()),
        initial_model=earlier,
        freeze="enc0",
        model_dir=tmp_path / "run",
        batch_layout=layout,
        verbose=False,
    )

    assert run.metrics["initial_model"]["enc0_rows"] == {"taken": 10, "new": 4}
    frozen, trained = (
        embeddings(encoder).numpy()[:10] for encoder in (run.model.enc0, run.model.enc1)
    )
    np.testing.assert_array_equal(frozen, tables[0])
    # Adam changes a number by at most its learning rate, 0.0004, in each of 10 steps.
    assert 0 < np.abs(trained - tables[1]).max() < 0.005


@pytest.mark.parametrize("case", ["weighted_sqrtn", "log", "weighted log", "subwords"])
def test_a_model_answers_batches_without_rows_or_tokens(case):
    values = gpu_cases.settings_of(case)
    words = None
    if values.subwords(0) is not None:
        words = gpu_cases.tokenizer(values)
    model = o2v.Object2Vec(values, tokenizers=(words, words))

    for shape in ([0, 0], [0, 3], [2, 0]):
        embeddings = model.enc0(tf.zeros(shape, tf.int64), training=False)
        np.testing.assert_array_equal(embeddings, np.zeros((shape[0], 8)))
