"""Files that version 0.1.0 wrote, as of the commit before the packages were moved.

``tests/fixtures/version_0_1_0`` holds a run directory (without its TensorBoard logs and
report.html), a ``.keras`` file of a text model, their data, and the scores that the
version that wrote them computed.
"""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs

FIXTURE = Path(__file__).parent / "fixtures/version_0_1_0"
EXPECTED = json.loads((FIXTURE / "expected.json").read_text())


@pytest.fixture
def run_directory(tmp_path):
    return Path(shutil.copytree(FIXTURE / "run", tmp_path / "run"))


def fit(model_dir):
    return o2v.fit(
        EXPECTED["settings"],
        train=str(FIXTURE / "train.jsonl"),
        model_dir=model_dir,
        seed=3,
        verbose=False,
    )


def scores(model, name, **settings):
    hyperparameters = model.hyperparameters
    pairs = o2v.read_pairs(str(FIXTURE / name), hyperparameters, **settings)
    return model.predict(pairs.dataset(64), verbose=0)


def test_model_of_a_run_loads_and_scores_as_before():
    model = keras.models.load_model(FIXTURE / "run/model.keras")
    np.testing.assert_allclose(
        scores(model, "train.jsonl"), EXPECTED["run_scores"], atol=1e-6
    )


def test_text_model_loads_with_its_vocabulary_and_optimizer():
    model = keras.models.load_model(FIXTURE / "text_model.keras")
    assert [weight.path for weight in model.weights] == EXPECTED["weight_paths"]
    assert int(model.optimizer.iterations.numpy()) == EXPECTED["optimizer_iterations"]
    np.testing.assert_allclose(
        scores(model, "text.jsonl", tokenizers=model.tokenizers),
        EXPECTED["text_scores"],
        atol=1e-6,
    )


def test_finished_run_is_recognized(run_directory):
    before = json.loads((run_directory / "metrics.json").read_text())
    run = fit(run_directory)
    assert run.metrics == before
    assert len(run.history) == 2
    np.testing.assert_allclose(
        scores(run.model, "train.jsonl"), EXPECTED["run_scores"], atol=1e-6
    )


def test_unfinished_run_resumes_from_its_checkpoint(run_directory):
    before = json.loads((run_directory / "metrics.json").read_text())
    (run_directory / "metrics.json").unlink()
    shutil.rmtree(run_directory / "checkpoints/epoch-0002")
    run = fit(run_directory)
    assert run.metrics["epochs_run"] == 2
    for name, value in before["train"].items():
        assert run.metrics["train"][name] == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(
        scores(run.model, "train.jsonl"), EXPECTED["run_scores"], atol=1e-6
    )


def test_cached_columns_of_other_rules_of_lines_are_read_again(run_directory):
    for is_cached in (False, True):
        pairs = o2v.read_pairs(
            str(FIXTURE / "train.jsonl"),
            EXPECTED["settings"],
            cache_dir=run_directory / "cache",
        )
        assert pairs.report.cached == is_cached
        assert len(pairs) == 40


def test_exported_model_answers_as_before():
    model = load_model(FIXTURE / "run")
    lines = (FIXTURE / "train.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    inputs = RaggedInputs.from_rows(
        {name: [row[name] for row in rows] for name in ("in0", "in1")}
    )
    np.testing.assert_allclose(model(inputs), EXPECTED["run_scores"], atol=1e-5)
