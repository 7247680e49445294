import json
import shutil

import keras
import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.training.initial_model import read_initial_model


def fit(settings, channels, model_dir, **options):
    options = {"verbose": False, **options}
    return o2v.fit(settings, **channels, model_dir=model_dir, **options)


def table(model, encoder):
    return (model.enc0, model.enc1)[encoder].weights[0].numpy()


def output_bias(model):
    return model.comparator.get_layer("output").bias.numpy()


@pytest.fixture
def earlier(settings, tmp_path):
    """A model with a bias of 7, saved where a run would save it."""
    model = o2v.Object2Vec(settings, seed=5)
    model.set_output_bias(7.0)
    (tmp_path / "earlier").mkdir()
    model.save(tmp_path / "earlier/model.keras")
    return model


class Start(keras.callbacks.Callback):
    """Notes weights before the first step."""

    def on_train_begin(self, logs=None):
        self.tables = [table(self.model, encoder) for encoder in (0, 1)]
        self.bias = output_bias(self.model)


@pytest.mark.long
def test_old_ids_keep_their_vectors_and_a_frozen_encoder_all_of_them(
    earlier, settings, ratings, tmp_path, capsys
):
    settings |= {"epochs": 1, "enc0_vocab_size": 25, "enc1_vocab_size": 33}
    settings |= {"weight_decay": 0.01, "token_embedding_storage_type": "row_sparse"}
    start = Start()
    run = fit(
        settings,
        ratings,
        tmp_path / "run",
        initial_model=tmp_path / "earlier",
        freeze="enc0",
        callbacks=[start],
        verbose=True,
    )
    fresh = o2v.Object2Vec(settings)
    for encoder, old in ((0, 20), (1, 30)):
        grown = [table(earlier, encoder), table(fresh, encoder)[old:]]
        np.testing.assert_array_equal(start.tables[encoder], np.concatenate(grown))
    assert start.bias == 7  # and not the mean label
    np.testing.assert_array_equal(table(run.model, 0), start.tables[0])
    assert not np.array_equal(table(run.model, 1), start.tables[1])
    expected = {
        "path": str(tmp_path / "earlier"),
        "enc0_rows": {"taken": 20, "new": 5},
        "enc1_rows": {"taken": 30, "new": 3},
        "matched_by": {"enc0": "id", "enc1": "id"},
        "taken": ["comparator/mlp_0", "comparator/output"],
        "fresh": [],
    }
    assert run.metrics["initial_model"] == expected
    written = json.loads((tmp_path / "run/metrics.json").read_text())
    assert written["initial_model"] == expected
    assert (
        "enc0: 20 token vectors from the initial model, matched by id; 5 new ones, "
        "which stay as they are: enc0 is frozen\n"
    ) in capsys.readouterr().out
    for name in ("report.md", "report.html"):
        assert "Initial model" in (tmp_path / "run" / name).read_text()
    with pytest.raises(o2v.RunDirectoryError) as raised:
        fit(settings, ratings, tmp_path / "run")
    assert "freeze: 'enc0' in the directory, not set now\n" in str(raised.value)
    assert "initial model: '" in str(raised.value)


@pytest.mark.long
def test_a_resumed_run_needs_its_initial_model_no_more(
    earlier, settings, ratings, tmp_path
):
    settings |= {"dropout": 0.3}
    initial_model = tmp_path / "earlier/model.keras"
    whole = fit(settings, ratings, tmp_path / "whole", initial_model=earlier)
    assert whole.metrics["initial_model"]["path"] is None

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def resume(**options):
        options = {"initial_model": initial_model, **options}
        return fit(settings, ratings, tmp_path / "cut", **options)

    with pytest.raises(KeyboardInterrupt):
        resume(callbacks=[Stop()])
    difference = "initial model: '.*' in the directory, "
    with pytest.raises(o2v.RunDirectoryError, match=difference + "not set now"):
        resume(initial_model=None)
    with pytest.raises(o2v.RunDirectoryError, match=difference + "'.*' now"):
        resume(initial_model=tmp_path / "whole")
    shutil.rmtree(tmp_path / "earlier")
    resumed = resume()
    for a, b in zip(whole.model.weights, resumed.model.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    expected = {**whole.metrics["initial_model"], "path": str(initial_model)}
    assert resumed.metrics["initial_model"] == expected
    assert resume().metrics == resumed.metrics
    with pytest.raises(o2v.UserError, match=r"^initial_model: .*no such model"):
        resume(overwrite=True)


@pytest.mark.parametrize("name", ["", "model.keras"])
def test_the_run_itself_is_no_initial_model(earlier, settings, tmp_path, name):
    run = tmp_path / "earlier"
    channels = {"train": tmp_path / "missing.jsonl"}
    with pytest.raises(
        o2v.UserError, match=r"^initial_model: expected a model outside"
    ):
        fit(settings, channels, run, initial_model=run / name, overwrite=True)
    assert (run / "model.keras").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: shutil.rmtree(run), "no such model"),
        (lambda run: (run / "model.keras").unlink(), "the run has no model.keras"),
        (
            lambda run: (run / "model.keras").write_bytes(b"PK"),
            "expected a Keras model, got a damaged or foreign file",
        ),
    ],
)
def test_what_is_no_model_is_an_error_before_data_is_read(
    settings, tmp_path, spoil, message
):
    run = tmp_path / "earlier"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/run.json").write_text("{}")
    (run / "model.keras").write_bytes(b"")
    spoil(run)
    channels = {"train": tmp_path / "missing.jsonl"}
    with pytest.raises(o2v.UserError) as raised:
        fit(settings, channels, tmp_path / "run", initial_model=run)
    assert str(raised.value).startswith(f"initial_model: {run}")
    assert message in str(raised.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "change",
    [{}, {"digest": 3}, {"enc0_rows": None}, {"matched_by": []}, {"fresh": [1]}],
)
def test_a_damaged_record_of_the_initial_model_is_an_error(tmp_path, change):
    directory = RunDirectory(tmp_path)
    (directory.checkpoints / "epoch-0001").mkdir(parents=True)
    missing = str(tmp_path / "missing")
    rows = {"taken": 1, "new": 0}
    record = {"path": missing, "enc0_rows": rows, "enc1_rows": rows, "fresh": ["mlp"]}
    record |= {"matched_by": {"enc0": "id", "enc1": "id"}, "digest": "0123"}
    directory.initial_model.write_text(json.dumps(record | change))
    if not change:
        read = read_initial_model(missing, None, None, directory)
        assert read.digest == "0123"
        return
    with pytest.raises(o2v.RunDirectoryError, match=r"initial_model\.json: is damaged"):
        read_initial_model(missing, None, None, directory)
