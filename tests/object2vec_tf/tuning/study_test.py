"""Tests of object2vec_tf/tuning/study.py: real small studies, whole and stopped."""

import json

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import metadata

import object2vec_tf as o2v
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.tuning.optuna_study import make_storage, opened_study
from object2vec_tf.tuning.study import tune

SEARCH = "learning_rate=0.03..0.1,dropout=0.6..0.9"


def trials(directory):
    lines = (directory / "trials.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def hparams(directory):
    """The HParams data in a directory's event files, by tag."""
    held = {}
    for path in directory.glob("events.out.tfevents.*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "hparams":
                    content = value.metadata.plugin_data.content
                    held[value.tag] = content
    return held


def test_a_study_ends_with_the_whole_run_of_its_best_trial(
    settings, ratings, tmp_path, capsys
):
    directory = tmp_path / "study"
    arguments = {**ratings, "model_dir": directory, "search": SEARCH}
    study = tune(settings, **arguments, trials=2)
    out = capsys.readouterr().out

    told = trials(directory)
    assert [(t["number"], t["state"]) for t in told] == [
        (0, "complete"),
        (1, "complete"),
    ]
    assert told[0]["params"] == {"learning_rate": 0.02, "dropout": 0.0}
    assert 0.6 <= told[1]["params"]["dropout"] <= 0.9
    best = min(told, key=lambda trial: trial["value"])
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

    # The best is whole, servable and a run of fit; the other keeps what it told.
    served = load_model(directory / "best/export")
    assert served.hyperparameters == study.hyperparameters
    held = o2v.Hyperparameters.from_json(directory / "best/hyperparameters.json")
    assert held == study.hyperparameters
    other = directory / f"trials/{1 - study.best_trial:04d}"
    kept = {path.name for path in other.iterdir()}
    assert {"metrics.json", "history.jsonl", "hyperparameters.json"} <= kept
    assert not kept & {"model.keras", "export"}

    # TensorBoard's HParams: which columns, and each trial's values.
    assert metadata.EXPERIMENT_TAG in hparams(directory / "tensorboard")
    for trial in told:
        final = directory / f"trials/{trial['number']:04d}/tensorboard/final"
        data = metadata.parse_session_start_info_plugin_data(
            hparams(final)[metadata.SESSION_START_INFO_TAG]
        )
        rate = data.hparams["learning_rate"].number_value
        assert rate == trial["params"]["learning_rate"]

    # It goes on to more trials; what is there is not trained again.
    before = [path.stat().st_mtime_ns for path in directory.glob("trials/*/m*.json")]
    assert tune(settings, **arguments, trials=3, verbose=False).trials[:2] == told
    after = [path.stat().st_mtime_ns for path in directory.glob("trials/*/m*.json")]
    assert {*before} <= {*after}
    assert len(after) == 3
    assert capsys.readouterr().out == ""
    with pytest.raises(o2v.RunDirectoryError) as error:
        tune(settings, **arguments | {"search": "dropout"}, trials=3)
    assert "range of learning_rate: '0.03..0.1' there, nothing now" in str(error.value)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_study_is_left_as_it_is(settings, ratings, tmp_path, overwrite):
    kept = [tmp_path / "mine" / name for name in ("best/thesis", "trials/0001/notes")]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.write_text("mine")
    with pytest.raises(o2v.RunDirectoryError, match="best: of a study that is not kno"):
        tune(
            settings,
            train=ratings["train"],
            validation=ratings["validation"],
            model_dir=tmp_path / "mine",
            trials=1,
            overwrite=overwrite,
        )
    assert all(path.read_text() == "mine" for path in kept)


@pytest.mark.parametrize("damage", [b"", b"SQLite format 3\0"])
def test_a_damaged_storage_is_told(tmp_path, damage):
    path = tmp_path / "study.db"
    make_storage(path, "minimize", {})
    path.write_bytes(damage + path.read_bytes()[len(damage) : 3000] * bool(damage))
    with (
        pytest.raises(o2v.UserError, match=r"study.db: the study's storage cannot be"),
        opened_study(path, "none"),
    ):
        pass


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
    with pytest.raises(o2v.DataError, match=r"train.jsonl:301: in1\[0\] is 30"):
        tune(settings, **arguments)
    assert not (tmp_path / "study/study.json").exists()
    assert not [*(tmp_path / "study/trials").glob("[0-9]*")]


def test_a_mistake_that_a_trial_finds_ends_the_study_once(settings, ratings, tmp_path):
    settings |= {"negative_sampling_rate": 10**6}
    with pytest.raises(o2v.UserError, match="negative_sampling_rate: 1,000,000"):
        tune(settings, **ratings, model_dir=tmp_path / "study", search=SEARCH)
    # The trial has not ended: it is started again when that is mended.
    assert not (tmp_path / "study/trials.jsonl").exists()


def test_the_directory_of_a_run_is_left_alone(settings, ratings, tmp_path):
    (tmp_path / "model.keras").write_bytes(b"precious")
    for overwrite in (False, True):
        with pytest.raises(o2v.RunDirectoryError, match="holds the run of a fit"):
            tune(settings, **ratings, model_dir=tmp_path, overwrite=overwrite)
    assert (tmp_path / "model.keras").read_bytes() == b"precious"


@pytest.mark.long
def test_trials_that_lag_behind_are_pruned(settings, ratings, tmp_path):
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
