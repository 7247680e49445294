"""Tests of object2vec_tf/runs/opened_run.py: runs in remote directories."""

import json
import shutil

import numpy as np
import pytest

import object2vec_tf as o2v
from export import export_saved_model
from object2vec_tf.files.staging import staging_directory
from object2vec_tf.inference.model_store import versions
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.runs.opened_run import (
    incomplete_files,
    open_run,
    upload_position,
)


@pytest.fixture
def channels(remote, ratings):
    """The channels of a run, train in two files."""
    pairs = ratings["train"].read_text().splitlines(keepends=True)
    for number in range(2):
        remote.pipe(f"/b/train/{number}.jsonl", "".join(pairs[number::2]).encode())
    remote.pipe("/b/validation.jsonl", ratings["validation"].read_bytes())
    return {"train": "memory://b/train", "validation": "memory://b/validation.jsonl"}


@pytest.mark.long
def test_a_finished_run_is_found_at_its_url(remote, channels, settings, capsys):
    place = {"model_dir": "memory://b/run"}
    run = o2v.fit(settings | {"epochs": 1}, **channels, **place, verbose=False)
    shutil.rmtree(staging_directory())
    again = o2v.fit(settings | {"epochs": 1}, **channels, **place)
    output = capsys.readouterr().out
    assert "memory://b/run: this run is finished" in output
    assert str(staging_directory()) not in output
    assert again.metrics == run.metrics == json.loads(remote.cat("/b/run/metrics.json"))
    assert f"{again.model_dir}" == "memory://b/run"
    assert b"<h1>run</h1>" in remote.cat("/b/run/report.html")
    loaded = o2v.load("memory://b/run")
    for ours, theirs in zip(loaded.weights, run.model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    predictor = load_model("memory://b/run")
    assert predictor.version == 1


@pytest.mark.long
def test_a_run_resumes_from_its_url_on_another_machine(
    remote, channels, settings, ratings, tmp_path, capsys
):
    pairs = ratings["train"].read_text().splitlines(keepends=True)
    local = tmp_path / "train.jsonl"
    local.write_text("".join(pairs[0::2] + pairs[1::2]))
    expected = o2v.fit(
        settings,
        train=local,
        validation=ratings["validation"],
        model_dir=tmp_path / "local",
        verbose=False,
    )
    places = {"model_dir": "memory://b/run", "export_dir": "memory://b/exports"}
    o2v.fit(settings | {"epochs": 2}, **channels, **places, verbose=False)
    shutil.rmtree(staging_directory())
    run = o2v.fit(settings, **channels, **places)
    assert run.history == json_lines(remote.cat("/b/run/history.jsonl"))
    assert len(run.history) == 3
    for ours, theirs in zip(run.model.weights, expected.model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    output = capsys.readouterr().out
    assert "resumed after epoch 2" in output
    assert "exported to memory://b/exports/2" in output
    assert "report: memory://b/run/report.html" in output
    assert str(staging_directory()) not in output

    scores = load_model("memory://b/exports")
    assert scores.version == 2
    model = o2v.load("memory://b/run")
    loaded = model.embed([[3]], encoder=0)
    np.testing.assert_array_equal(loaded, expected.model.embed([[3]], encoder=0))
    path = export_saved_model(model, "memory://b/exports")
    assert f"{path}" == "memory://b/exports/3"
    assert remote.exists("/b/exports/3/saved_model.pb")


def json_lines(content):
    return [json.loads(line) for line in content.splitlines()]


def test_an_unwritable_model_dir_is_found_before_data_is_read(
    remote, settings, monkeypatch
):
    def denied(*_, **__):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(type(remote), "pipe_file", denied)
    with pytest.raises(o2v.UserError, match=r"memory://b/run.*Access Denied"):
        o2v.fit(settings, train="memory://b/missing", model_dir="memory://b/run")
    with pytest.raises(
        o2v.UserError, match=r"memory://b/exports.*another --export_dir"
    ):
        o2v.fit(
            settings,
            train="missing.jsonl",
            model_dir="run",
            export_dir="memory://b/exports",
        )


def test_another_run_in_the_directory_is_an_error(remote, channels, settings):
    remote.pipe("/b/run/model.keras", b"a model")
    with pytest.raises(o2v.RunDirectoryError, match="memory://b/run: contains another"):
        o2v.fit(settings, **channels, model_dir="memory://b/run", verbose=False)
    assert sorted(remote.find("/b/run")) == ["/b/run/model.keras"]


def test_a_remote_cache_is_an_error(settings):
    with pytest.raises(o2v.UserError, match="cache_dir: expected a local path"):
        o2v.fit(settings, train="x", model_dir="run", cache_dir="memory://b/cache")


def test_an_empty_path_is_an_error():
    with pytest.raises(o2v.UserError, match="model_dir: expected the run directory"):
        open_run("").__enter__()


def test_temporary_files_and_the_cache_are_not_uploaded():
    for name in (".model.x.keras", "checkpoints/.epoch-0001.x/a", "cache/a/b"):
        assert upload_position(name) is None
    assert upload_position("checkpoints/lock") is None


def test_other_files_in_the_directory_are_left_alone(remote):
    foreign = {"/b/train/big.jsonl", "/b/run2/model.keras", "/b/notes.txt"}
    for path in foreign:
        remote.pipe(path, b"not of this run")
    for number in range(2):
        with open_run("memory://b") as directory:
            directory.download(is_chief=True)
            assert directory.model.exists() == bool(number)
            directory.model.write_bytes(b"model")
            names = [path.name for path in directory.path.rglob("*") if path.is_file()]
            assert names == ["model.keras"]
            directory.mirror.claim()
        assert set(remote.find("/b")) >= foreign | {"/b/model.keras"}
        shutil.rmtree(staging_directory())


def test_versions_that_another_program_exported_are_downloaded(remote):
    def export(root, number):
        path = root / f"export/{number}/saved_model.pb"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"own")

    with open_run("memory://b/run") as directory:
        directory.download(is_chief=True)
        export(directory.path, 1)
        directory.mirror.claim()
    remote.pipe("/b/run/export/2/saved_model.pb", b"of the export command")
    remote.pipe("/b/run/export/3/variables/variables.index", b"incomplete")
    remote.pipe("/b/run/onnx/1/predict_pair.onnx", b"of the export command")
    with open_run("memory://b/run") as directory:
        directory.download(is_chief=True)
        assert sorted(versions(directory.export)) == [1, 2]
        assert (directory.path / "onnx/1/predict_pair.onnx").exists()
        export(directory.path, 4)
        directory.mirror.claim()
    found = {path: remote.cat(path) for path in remote.find("/b/run/export")}
    assert found == {
        "/b/run/export/1/saved_model.pb": b"own",
        "/b/run/export/2/saved_model.pb": b"of the export command",
        "/b/run/export/3/variables/variables.index": b"incomplete",
        "/b/run/export/4/saved_model.pb": b"own",
    }


def test_a_checkpoint_without_a_state_is_incomplete():
    names = {
        *(
            "checkpoints/epoch-0001/variables.index",
            "checkpoints/epoch-0001/state.json",
        ),
        *("checkpoints/epoch-0002/variables.index", "checkpoints/best-0001.keras"),
        *("export/1/saved_model.pb", "export/1/variables/variables.index"),
        *("export/2/variables/variables.index", "model.keras", "tensorboard/final/a"),
    }
    assert incomplete_files(names) == {
        "checkpoints/epoch-0002/variables.index",
        "export/2/variables/variables.index",
    }
