"""Tests of object2vec_tf/tuning/study.py with small studies that really train."""

import json

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import metadata

import object2vec_tf as o2v
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.tuning.study import tune

SEARCH = "learning_rate=0.03..0.1,dropout=0.6..0.9"


def trials(directory):
    lines = (directory / "trials.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def hparams(directory):
    """The HParams data in a directory's event files, by tag."""
    contents = {}
    for path in directory.glob("events.out.tfevents.*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "hparams":
                    content = value.metadata.plugin_data.content
                    contents[value.tag] = content
    return contents


@pytest.mark.long
def test_a_study_keeps_the_complete_run_of_its_best_trial(
    settings, ratings, tmp_path, capsys
):
    directory = tmp_path / "study"
    arguments = {**ratings, "model_dir": directory, "search": SEARCH}
    study = tune(settings, **arguments, trials=2)
    out = capsys.readouterr().out

    records = trials(directory)
    assert [(t["number"], t["state"]) for t in records] == [
        (0, "complete"),
        (1, "complete"),
    ]
    assert records[0]["params"] == {"learning_rate": 0.02, "dropout": 0.0}
    assert 0.6 <= records[1]["params"]["dropout"] <= 0.9
    best = min(records, key=lambda trial: trial["value"])
    assert (study.best_trial, study.value) == (best["number"], best["value"])
    metrics = json.loads((directory / "best/metrics.json").read_text())
    assert metrics["validation"]["mean_squared_error"] == best["value"]
    epoch = metrics["best_epoch"]
    for channel, when in (("validation", f"epoch={epoch}, "), ("test", "")):
        value = metrics[channel]["mean_squared_error"]
        assert (
            f"#quality_metric: host=algo-1, {when}{channel} mean_squared_error "
            f"<loss>={value:.12g}\n"
        ) in out

    # The best run is complete and servable. The other one keeps only its results.
    served = load_model(directory / "best/export")
    assert served.hyperparameters == study.hyperparameters
    saved = o2v.Hyperparameters.from_json(directory / "best/hyperparameters.json")
    assert saved == study.hyperparameters
    other = directory / f"trials/{1 - study.best_trial:04d}"
    kept = {path.name for path in other.iterdir()}
    assert {"metrics.json", "history.jsonl", "hyperparameters.json"} <= kept
    assert not kept & {"model.keras", "export"}

    # TensorBoard's HParams: the columns, and each trial's values.
    assert metadata.EXPERIMENT_TAG in hparams(directory / "tensorboard")
    for trial in records:
        final = directory / f"trials/{trial['number']:04d}/tensorboard/final"
        data = metadata.parse_session_start_info_plugin_data(
            hparams(final)[metadata.SESSION_START_INFO_TAG]
        )
        assert data.group_name == f"trial {trial['number']}"
        rate = data.hparams["learning_rate"].number_value
        assert rate == trial["params"]["learning_rate"]

    # More trials can be added. Complete ones are not trained again.
    before = [path.stat().st_mtime_ns for path in directory.glob("trials/*/m*.json")]
    assert tune(settings, **arguments, trials=3, verbose=False).trials[:2] == records
    after = [path.stat().st_mtime_ns for path in directory.glob("trials/*/m*.json")]
    assert {*before} <= {*after}
    assert len(after) == 3
    assert capsys.readouterr().out == ""
    with pytest.raises(o2v.RunDirectoryError) as error:
        tune(settings, **arguments | {"search": "dropout"}, trials=3)
    difference = "range of learning_rate: '0.03..0.1' in the directory, not set now"
    assert difference in str(error.value)


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_that_are_not_of_a_study_are_kept(settings, ratings, tmp_path, overwrite):
    kept = [tmp_path / "mine" / name for name in ("best/thesis", "trials/0001/notes")]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.write_text("mine")
    with pytest.raises(
        o2v.RunDirectoryError, match=r"best: belongs to a study without"
    ):
        tune(
            settings,
            train=ratings["train"],
            validation=ratings["validation"],
            model_dir=tmp_path / "mine",
            trials=1,
            overwrite=overwrite,
        )
    assert all(path.read_text() == "mine" for path in kept)


@pytest.mark.long
def test_a_diverged_trial_does_not_end_the_study(settings, ratings, tmp_path):
    settings |= {"optimizer": "sgd", "learning_rate": 0.001, "epochs": 2}
    study = tune(
        settings,
        train=ratings["train"],
        validation=ratings["validation"],
        model_dir=tmp_path / "study",
        search="learning_rate=0.99..1",
        trials=2,
        verbose=False,
    )
    assert [trial["state"] for trial in study.trials] == ["complete", "failed"]
    assert study.trials[1]["why"].startswith("diverged: ")
    assert study.best_trial == 0


def test_bad_data_ends_a_study_before_its_trials(settings, ratings, tmp_path):
    with ratings["train"].open("a") as file:
        file.write('{"in0": [3], "in1": [30], "label": 2.5}\n')
    arguments = {**ratings, "model_dir": tmp_path / "study", "search": SEARCH}
    with pytest.raises(o2v.DataError, match=r"train.jsonl:301: in1\[0\]: .*, got 30"):
        tune(settings, **arguments)
    assert not (tmp_path / "study/study.json").exists()
    assert not [*(tmp_path / "study/trials").glob("[0-9]*")]


@pytest.mark.parametrize("name", ["", "best", "trials/0001/model.keras"])
def test_a_study_does_not_replace_its_initial_model(settings, ratings, tmp_path, name):
    directory = tmp_path / "study"
    (directory / "trials").mkdir(parents=True)
    (directory / "study.json").write_text("{}")
    message = "initial_model: expected a model outside of the study's model_dir, got "
    with pytest.raises(o2v.UserError, match=message):
        tune(
            settings,
            **ratings,
            model_dir=directory,
            initial_model=directory / name,
            overwrite=True,
        )
    assert (directory / "study.json").exists()


def test_a_user_error_in_a_trial_ends_the_study(settings, ratings, tmp_path):
    settings |= {"negative_sampling_rate": 10**6}
    with pytest.raises(
        o2v.UserError, match="negative_sampling_rate: expected at most 1,000,000"
    ):
        tune(settings, **ratings, model_dir=tmp_path / "study", search=SEARCH)
    # The trial has not ended. It starts again when the error is fixed.
    assert not (tmp_path / "study/trials.jsonl").exists()


def test_a_directory_with_a_run_is_rejected_and_kept(settings, ratings, tmp_path):
    (tmp_path / "model.keras").write_bytes(b"precious")
    for overwrite in (False, True):
        with pytest.raises(o2v.RunDirectoryError, match="contains a run of fit"):
            tune(settings, **ratings, model_dir=tmp_path, overwrite=overwrite)
    assert (tmp_path / "model.keras").read_bytes() == b"precious"


@pytest.mark.long
def test_trials_worse_than_the_median_are_pruned(settings, ratings, tmp_path):
    study = tune(
        settings | {"epochs": 6, "early_stopping_patience": 5},
        **ratings,
        model_dir=tmp_path / "study",
        search="learning_rate=1e-5..0.1",
        trials=12,
        verbose=False,
    )
    pruned = [trial for trial in study.trials if trial["state"] == "pruned"]
    assert pruned
    for trial in pruned:
        run = tmp_path / f"study/trials/{trial['number']:04d}"
        metrics = json.loads((run / "metrics.json").read_text())
        assert metrics["stopped"] == "pruned"
        assert 3 <= metrics["epochs_run"] < 6
        assert metadata.SESSION_START_INFO_TAG in hparams(run / "tensorboard/final")
        assert not (run / "model.keras").exists()
