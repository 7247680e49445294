import contextlib
import io
import json
import shutil
import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.files.sealed_json import sealed_text
from object2vec_tf.training.early_stopping import EarlyStopping
from tests import run_flips
from tests.bit_flips import flip_test
from tests.conftest import ratings_settings, write_ratings


def fit(settings, ratings, model_dir, **options):
    hyperparameters = o2v.Hyperparameters(**settings)
    return o2v.fit(hyperparameters, **{**ratings, **options}, model_dir=model_dir)


def weights(path):
    model = keras.models.load_model(path)
    return [variable.numpy() for variable in model.variables]


def squared_error(model, path, hyperparameters):
    pairs = o2v.read_pairs(path, hyperparameters)
    scores = model.predict(pairs.dataset(7), verbose=0)[:, 0]
    return np.mean((scores.astype(np.float64) - pairs.labels) ** 2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of `settings` and `ratings`, and the text that it printed."""
    directory = tmp_path_factory.mktemp("finished")
    with contextlib.redirect_stdout(io.StringIO()) as text:
        run = fit(ratings_settings(), write_ratings(directory), directory / "run")
    return types.SimpleNamespace(run=run, path=directory / "run", out=text.getvalue())


@pytest.fixture
def finished_copy(finished, tmp_path):
    """A copy of the directory of `finished`."""
    return shutil.copytree(finished.path, tmp_path / "run")


def test_writes_a_complete_run_directory(finished):
    run, path, out = finished.run, finished.path, finished.out
    names = {entry.name for entry in path.iterdir()}
    assert names == {
        "hyperparameters.json",
        "metrics.json",
        "history.jsonl",
        "digests.json",
        "report.html",
        "report.md",
        "model.keras",
        "cache",
        "checkpoints",
        "tensorboard",
        "export",
    }
    written = json.loads((path / "hyperparameters.json").read_text())
    assert written["enc_dim"] == 8
    assert written["learning_rate"] == 0.02
    assert o2v.Hyperparameters(**written) == run.model.hyperparameters
    history = [
        json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()
    ]
    assert [record["epoch"] for record in history] == [0, 1, 2]
    assert all(record["validation"]["mean_squared_error"] > 0 for record in history)
    metrics = json.loads((path / "metrics.json").read_text())
    assert metrics == run.metrics
    assert metrics["rows"] == {"train": 300, "validation": 70, "test": 50}
    assert metrics["epochs_run"] == 3
    assert metrics["stopped"] == "all epochs done"
    assert (path / "export/1/saved_model.pb").is_file()
    value = history[1]["validation"]["mean_squared_error"]
    assert (
        "#quality_metric: host=algo-1, epoch=1, validation mean_squared_error "
        f"<loss>={value:.12g}\n"
    ) in out
    assert "#progress_metric: host=algo-1, completed 66 %\n" in out
    assert "\x1b" not in out  # no colors or bars if stdout is not a terminal


@pytest.mark.long
def test_metrics_use_weights_and_the_report_shows_them(
    settings, ratings, tmp_path, capsys
):
    files = {}
    for name in ("train", "validation"):
        lines = ratings[name].read_text().splitlines()
        rows = [json.loads(line) | {"weight": i % 4} for i, line in enumerate(lines)]
        files[name] = tmp_path / f"{name}.jsonl"
        files[name].write_text("\n".join(map(json.dumps, rows)))
    run = fit(settings | {"epochs": 1}, ratings, tmp_path / "run", **files)

    pairs = o2v.read_pairs(files["validation"], run.model.hyperparameters)
    errors = run.model.predict(pairs.dataset(), verbose=0)[:, 0] - pairs.labels
    expected = np.average(errors.astype(np.float64) ** 2, weights=pairs.weights)
    measured = run.metrics["validation"]["mean_squared_error"]
    assert measured == pytest.approx(expected, rel=1e-5)
    assert "validation: weights from 0 to 3\n" in capsys.readouterr().out
    assert "| validation | 1.471 | 0 | 1 | 3 |" in (
        (tmp_path / "run/report.md").read_text()
    )


def test_metrics_are_of_the_best_epoch_and_count_each_pair_once(finished, ratings):
    # 70 and 50 pairs leave partial batches of 6 and 18 at mini_batch_size=32.
    run = finished.run
    losses = [r["validation"]["mean_squared_error"] for r in run.history]
    assert run.metrics["best_epoch"] == int(np.argmin(losses))
    for channel in ("validation", "test"):
        expected = squared_error(run.model, ratings[channel], run.model.hyperparameters)
        assert run.metrics[channel]["mean_squared_error"] == pytest.approx(
            expected, rel=1e-5
        )


def test_learns_the_pattern(settings, ratings, tmp_path):
    settings |= {"epochs": 12, "early_stopping_patience": 5}
    run = fit(settings, ratings, tmp_path / "run")
    labels = o2v.read_pairs(ratings["test"], run.model.hyperparameters).labels
    assert run.metrics["test"]["mean_squared_error"] < 0.25 * labels.var()


@pytest.mark.long
def test_seed_determines_the_weights(settings, ratings, tmp_path):
    settings |= {"dropout": 0.3, "epochs": 2}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        fit(settings, ratings, tmp_path / name, seed=seed)
    a, b, c = (weights(tmp_path / name / "model.keras") for name in "abc")
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not all(np.array_equal(x, y) for x, y in zip(a, c, strict=True))


@pytest.mark.long
def test_stops_early_and_keeps_the_lowest_validation_loss(
    settings, ratings, tmp_path, capsys
):
    settings |= {
        "epochs": 40,
        "early_stopping_patience": 1,
        "early_stopping_tolerance": 0.1,
    }
    run = fit(settings, ratings, tmp_path / "run")
    losses = [r["validation"]["mean_squared_error"] for r in run.history]
    assert run.metrics["stopped"] == "early stopping"
    assert run.metrics["epochs_run"] == len(losses) < 40
    rule = EarlyStopping(1, 0.1)
    assert [rule.update(loss) for loss in losses] == [False] * (len(losses) - 1) + [
        True
    ]
    assert run.metrics["validation"]["mean_squared_error"] == min(losses)

    capsys.readouterr()
    again = fit(settings | {"epochs": 50}, ratings, tmp_path / "run")
    assert again.metrics == run.metrics
    assert f"It stopped after epoch {len(losses)} (early stopping), and would" in (
        capsys.readouterr().out
    )


@pytest.mark.long
def test_uses_the_training_loss_without_validation(settings, ratings, tmp_path):
    run = fit(settings, {"train": ratings["train"]}, tmp_path / "run")
    losses = [record["train"]["mean_squared_error"] for record in run.history]
    assert run.metrics["best_epoch"] == int(np.argmin(losses))
    assert "validation" not in run.metrics
    assert "test" not in run.metrics


def test_finished_run_is_only_loaded(finished, finished_copy, settings, ratings):
    before = (finished_copy / "model.keras").stat().st_mtime_ns
    again = fit(settings, ratings, finished_copy)
    assert again.metrics == finished.run.metrics
    assert (finished_copy / "model.keras").stat().st_mtime_ns == before
    assert [e.name for e in (finished_copy / "export").iterdir()] == ["1"]


def test_finished_run_is_exported_again_to_export_dir(
    finished, finished_copy, settings, ratings, tmp_path, capsys
):
    fit(settings, ratings, finished_copy, export_dir=tmp_path / "other")
    assert f"exported to {tmp_path / 'other/1'}\n" in capsys.readouterr().out
    served = tf.saved_model.load(str(tmp_path / "other/1"))
    pair = {"in0": [[3]], "in1": [[4]]}
    dense = {name: tf.constant(ids, tf.int64) for name, ids in pair.items()}
    ragged = {name: tf.ragged.constant(ids) for name, ids in pair.items()}
    np.testing.assert_allclose(
        served.signatures["predict_pair"](**dense)["scores"],
        finished.run.model(ragged),
        rtol=1e-5,
    )


def test_damaged_run_directory_is_an_error_that_names_overwrite(
    finished, settings, ratings, tmp_path
):
    for name, content in (
        ("metrics.json", b"{"),
        ("metrics.json", b"[]"),
        ("metrics.json", b"{}"),
        ("metrics.json", b"\xff"),
        ("checkpoints/run.json", b"{"),
        ("checkpoints/run.json", b"3"),
        ("history.jsonl", b"{"),
        ("history.jsonl", None),
        ("model.keras", b"junk"),
        ("model.keras", None),
    ):
        copy = tmp_path / "copy"
        shutil.copytree(finished.path, copy)
        (copy / name).unlink()
        if content is not None:
            (copy / name).write_bytes(content)
        with pytest.raises(o2v.UserError) as raised:
            fit(settings, ratings, copy)
        assert str(raised.value).startswith(f"{copy / name}: ")
        assert "--overwrite" in str(raised.value)
        shutil.rmtree(copy)


@pytest.mark.parametrize("name", ["tensorboard", "export", "checkpoints"])
def test_file_instead_of_a_directory_is_an_error(settings, ratings, tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("")
    with pytest.raises(o2v.UserError, match=f"run/{name}: .*File exists"):
        fit(settings, ratings, tmp_path / "run")


@pytest.mark.long
def test_dropout_of_1_gives_one_warning(settings, ratings, tmp_path):
    settings |= {"epochs": 1, "dropout": 1}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(settings, ratings, tmp_path / "run")
    messages = [str(w.message) for w in caught if w.category is UserWarning]
    assert len(messages) == 1
    assert messages[0].startswith("dropout: 1 drops every activation")


def test_different_run_is_rejected_with_the_differences(
    finished_copy, settings, ratings
):
    before = (finished_copy / "metrics.json").read_bytes()
    other = {**ratings, "train": ratings["validation"]}
    with pytest.raises(o2v.RunDirectoryError) as error:
        fit(settings | {"enc_dim": 16}, other, finished_copy, seed=1)
    message = str(error.value)
    assert "enc_dim: 8 in the directory, 16 now" in message
    assert "seed: 0 in the directory, 1 now" in message
    assert "data of train" in message
    assert "--overwrite" in message
    assert (finished_copy / "metrics.json").read_bytes() == before
    run = fit(settings | {"enc_dim": 16}, other, finished_copy, overwrite=True)
    assert run.metrics["rows"]["train"] == 70
    assert run.model.hyperparameters.enc_dim == 16


@pytest.mark.long
def test_overwrite_removes_only_files_of_a_run(finished_copy, settings, ratings):
    run = finished_copy
    for name in ("checkpoints/mine/a", "checkpoints/epoch-best/a", "tensorboard/b"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("foreign")
    fit(settings | {"epochs": 2}, ratings, run, overwrite=True)
    for name in ("checkpoints/mine/a", "checkpoints/epoch-best/a", "tensorboard/b"):
        assert (run / name).read_text() == "foreign"


def test_unwritable_export_dir_leaves_an_earlier_run_unchanged(
    finished_copy, settings, ratings, tmp_path
):
    before = (finished_copy / "metrics.json").read_bytes()
    (tmp_path / "file").write_text("")
    with pytest.raises(o2v.UserError, match="export_dir cannot be written"):
        fit(
            settings,
            ratings,
            finished_copy,
            overwrite=True,
            export_dir=tmp_path / "file",
        )
    assert (finished_copy / "metrics.json").read_bytes() == before


@pytest.mark.long
def test_continues_and_resumes_to_the_same_weights(settings, ratings, tmp_path, capsys):
    settings |= {"dropout": 0.3, "epochs": 4}
    whole = fit(settings, ratings, tmp_path / "whole")
    short = fit(settings | {"epochs": 1}, ratings, tmp_path / "cut")
    assert short.metrics["stopped"] == "all epochs done"

    class Stop(Exception):
        pass

    class StopInEpoch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if len(list((tmp_path / "cut/checkpoints").glob("epoch-*"))) == 2:
                raise Stop

    capsys.readouterr()
    with pytest.raises(Stop):
        fit(settings, ratings, tmp_path / "cut", callbacks=[StopInEpoch()])
    out = capsys.readouterr().out
    assert f"{tmp_path}/cut: continues to 4 epochs, instead of 1\n" in out
    assert "resumed after epoch 1\n" in out
    # The results of the first epoch stay until there are others.
    assert json.loads((tmp_path / "cut/metrics.json").read_text()) == short.metrics
    for epochs in (1, 3):
        with pytest.raises(o2v.RunDirectoryError, match=f"epochs: 4 .*, {epochs} now"):
            fit(settings | {"epochs": epochs}, ratings, tmp_path / "cut")
    (state,) = (tmp_path / "cut/checkpoints").glob("epoch-0002/state.json")
    spent = json.loads(state.read_text())
    assert spent["elapsed"] > sum(record["seconds"] for record in spent["history"])
    state.write_text(sealed_text(spent | {"elapsed": 5000.0}))
    resumed = fit(settings, ratings, tmp_path / "cut")
    assert 5000 < resumed.metrics["seconds"] < 5000 + whole.metrics["seconds"] + 60
    assert resumed.metrics["epochs_run"] == 4
    assert (tmp_path / "cut/export/2/saved_model.pb").is_file()
    for x, y in zip(
        weights(tmp_path / "whole/model.keras"),
        weights(tmp_path / "cut/model.keras"),
        strict=True,
    ):
        np.testing.assert_array_equal(x, y)
    for x, y in zip(whole.history, resumed.history, strict=True):
        assert x["validation"] == y["validation"]
        assert x["train"] == y["train"]


@pytest.mark.long
def test_training_starts_at_the_mean_label(settings, ratings, tmp_path):
    # Every label is 1,000. After one epoch of small steps, the scores are near it only
    # if they start at the mean.
    text = ratings["train"].read_text()
    path = tmp_path / "far.jsonl"
    rows = [json.loads(line) | {"label": 1000} for line in text.splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings |= {"epochs": 1, "learning_rate": 1e-6}
    run = fit(settings, {"train": path}, tmp_path / "run")
    assert run.metrics["train"]["mean_squared_error"] < 1.0


@pytest.mark.long
def test_negatives_are_added_in_training_only(settings, ratings, tmp_path):
    # All pairs are positive. With 3 negatives each, 3 of 4 pairs are not.
    text = ratings["train"].read_text()
    path = tmp_path / "positive.jsonl"
    rows = [json.loads(line) | {"label": 1} for line in text.splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings |= {"output_layer": "softmax", "epochs": 1, "learning_rate": 1e-6}
    channels = {"train": path, "validation": path}
    plain = fit(settings, channels, tmp_path / "plain")
    sampled = fit(settings | {"negative_sampling_rate": 3}, channels, tmp_path / "neg")
    before, after = plain.metrics["train"], sampled.metrics["train"]
    assert abs(before["accuracy"] - plain.metrics["validation"]["accuracy"]) < 0.02
    assert before["accuracy"] > 0.2
    # An untrained model finds class 0 most likely, as 3 of 4 training pairs have it.
    assert after["accuracy"] == pytest.approx(3 / 4, abs=0.05)
    assert sampled.metrics["validation"]["accuracy"] < 0.1


@pytest.mark.long
def test_classification_reports_cross_entropy_accuracy_and_auc(
    settings, ratings, tmp_path, capsys
):
    for path in ratings.values():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [row | {"label": int(row["label"] > 3)} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = fit(settings | {"output_layer": "softmax"}, ratings, tmp_path / "run")
    pairs = o2v.read_pairs(ratings["test"], run.model.hyperparameters)
    scores = run.model.predict(pairs.dataset(9), verbose=0).astype(np.float64)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-6)
    entropy = -np.log(scores[np.arange(50), pairs.labels]).mean()
    accuracy = np.mean(scores.argmax(axis=1) == pairs.labels)
    assert run.metrics["test"]["cross_entropy"] == pytest.approx(entropy, rel=1e-5)
    assert run.metrics["test"]["accuracy"] == pytest.approx(accuracy)
    higher = scores[pairs.labels == 1][:, 1:] - scores[pairs.labels == 0][:, 1]
    auc = np.mean((np.sign(higher) + 1) / 2)
    assert run.metrics["test"]["auc"] == pytest.approx(auc, abs=1e-3)
    value = run.metrics["test"]["auc"]
    line = f"#quality_metric: host=algo-1, test auc <score>={value:.12g}\n"
    assert line in capsys.readouterr().out
    assert all("auc" in record["validation"] for record in run.history)
    assert run.metrics["baselines"]["prior"]["test"]["auc"] == 0.5


def test_divergence_is_reported(settings, ratings, tmp_path):
    settings |= {"optimizer": "sgd", "learning_rate": 1.0, "mlp_dim": 256, "epochs": 9}
    settings |= {"enc_dim": 256, "mlp_layers": 4}
    with pytest.raises(o2v.UserError, match=r"diverged\. Lower learning_rate"):
        fit(settings, ratings, tmp_path / "run")


def test_tensorboard_has_both_curves_under_one_tag(finished):
    run = finished.run
    for channel in ("train", "validation"):
        found = {}
        for path in (finished.path / "tensorboard" / channel).iterdir():
            for event in tf.compat.v1.train.summary_iterator(str(path)):
                for value in event.summary.value:
                    if value.tag == "epoch/mean_squared_error":
                        found[event.step] = float(tf.make_ndarray(value.tensor))
        expected = [record[channel]["mean_squared_error"] for record in run.history]
        assert sorted(found) == [0, 1, 2]
        assert [found[i] for i in range(3)] == pytest.approx(expected, rel=1e-6)


def test_second_run_in_the_same_directory_is_rejected(settings, ratings, tmp_path):
    class Intruder(keras.callbacks.Callback):
        message = ""

        def on_epoch_begin(self, epoch, logs=None):
            try:
                fit(settings, ratings, tmp_path / "run")
            except o2v.RunDirectoryError as error:
                Intruder.message = str(error)

    fit(settings | {"epochs": 1}, ratings, tmp_path / "run", callbacks=[Intruder()])
    assert "another run is using this model_dir" in Intruder.message


def test_model_of_an_unknown_run_is_not_overwritten(finished_copy, settings, ratings):
    shutil.rmtree(finished_copy / "checkpoints")
    with pytest.raises(o2v.RunDirectoryError, match=r"model\.keras"):
        fit(settings, ratings, finished_copy)


@pytest.mark.long
def test_a_run_in_the_static_layout_has_the_same_results(settings, ratings, tmp_path):
    settings |= {
        "token_embedding_storage_type": "row_sparse",
        "early_stopping_patience": 1,
    }
    settings |= {"epochs": 20, "early_stopping_tolerance": 0.1}
    runs = {}
    for layout in ("ragged", "static"):
        seen = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs, seen=(steps := []): seen.append(epoch)
        )
        runs[layout] = fit(
            settings, ratings, tmp_path / layout, batch_layout=layout, callbacks=[seen]
        )
        assert steps == list(range(runs[layout].metrics["epochs_run"]))
        assert runs[layout].metrics["batch_layout"] == layout
    ragged, static = runs["ragged"], runs["static"]

    assert static.metrics["stopped"] == ragged.metrics["stopped"] == "early stopping"
    assert len(static.history) == len(ragged.history)
    # In a hundred steps and more, Adam amplifies rounding.
    for one, other in zip(static.history, ragged.history, strict=True):
        for channel in ("train", "validation"):
            assert one[channel] == pytest.approx(other[channel], rel=1e-4)
    for channel in ("train", "validation", "test"):
        expected = pytest.approx(ragged.metrics[channel], rel=1e-4)
        assert static.metrics[channel] == expected
    for one, other in zip(static.model.weights, ragged.model.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    # The layout does not identify a run.
    again = fit(settings, ratings, tmp_path / "static", batch_layout="ragged")
    assert again.history == static.history


def test_no_flip_of_a_bit_in_a_finished_run_is_silent(finished_copy):
    # The long tests in tests/flips_test.py have 1,000 flips, and more doors.
    door = run_flips.finished
    doors = {"fit, export": (door, [door(finished_copy)])}
    unread = (
        "cache/*",
        "tensorboard/*",
        "report.*",
        "export/*",
        "hyperparameters.json",
    )
    unread += ("checkpoints/epoch-*", "checkpoints/best-*")
    report = flip_test(finished_copy, doors, 40, seed=23, exclude=unread)
    assert not report.failures, f"{report}"
    assert report.counts["fit, export", "user error"] > 10
