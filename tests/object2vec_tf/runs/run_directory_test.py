import json

import pytest

from object2vec_tf.errors import RunDirectoryError
from object2vec_tf.files.locks import locked
from object2vec_tf.files.sealed_json import seal
from object2vec_tf.runs.run_directory import RunDirectory
from tests.object2vec_tf.runs import result_files_test

IDENTITY = {"enc_dim": 8, "seed": 0}
METRICS = result_files_test.METRICS | {"epochs_run": 1}


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path / "run")


def test_a_directory_belongs_to_one_run(directory):
    for _ in range(2):
        with directory.claimed(IDENTITY, overwrite=False):
            pass
    message = (
        f"{directory.path}: contains another run, which differs in:\n"
        "  seed: 0 in the directory, 1 now\n"
        "Give another --model_dir, or --overwrite to start again."
    )
    with (
        pytest.raises(RunDirectoryError) as error,
        directory.claimed(IDENTITY | {"seed": 1}, overwrite=False),
    ):
        pass
    assert str(error.value) == message
    with directory.claimed(IDENTITY | {"seed": 1}, overwrite=True):
        pass
    saved = json.loads((directory.path / "checkpoints/run.json").read_text())
    assert saved == seal({"enc_dim": 8, "seed": 1})


def claim(directory, epochs, **more):
    with directory.claimed(IDENTITY | {"epochs": epochs, **more}, overwrite=False):
        pass
    return json.loads((directory.path / "checkpoints/run.json").read_text())["epochs"]


def test_more_epochs_continue_a_run_that_has_a_checkpoint(directory):
    assert directory.saved_epochs() is None
    assert claim(directory, 1) == 1
    directory.write_metrics(METRICS)
    assert directory.results(1) == METRICS
    assert directory.results(2) is None
    with pytest.raises(RunDirectoryError, match="expected a checkpoint from which"):
        claim(directory, 2)
    assert directory.saved_epochs() == 1
    (directory.checkpoints / "epoch-0001").mkdir()
    assert claim(directory, 2) == 2
    for epochs, more in ((1, {}), (3, {"seed": 1})):
        with pytest.raises(RunDirectoryError, match="contains another run"):
            claim(directory, epochs, **more)
    assert directory.saved_epochs() == 2


def test_more_epochs_do_not_continue_a_run_that_stopped_early(directory):
    assert claim(directory, 4) == 4
    metrics = METRICS | {"stopped": "early stopping"}
    directory.write_metrics(metrics)
    assert directory.results(9) == metrics
    assert claim(directory, 9) == 4


def test_results_without_an_identity_belong_to_an_unknown_run(directory):
    directory.make()
    directory.write_metrics(METRICS)
    with (
        pytest.raises(
            RunDirectoryError,
            match=r"metrics\.json: belongs to a run without checkpoints/run\.json\n",
        ),
        directory.claimed(IDENTITY, overwrite=False),
    ):
        pass


def test_metrics_of_an_interrupted_reading_do_not_occupy_the_directory(directory):
    directory.write_unread(seconds=2.0)
    assert json.loads(directory.metrics.read_text()) == {
        "stopped": "resumable",
        "resumable": True,
        "seconds": 2.0,
    }
    assert directory.results() is None
    with directory.claimed(IDENTITY, overwrite=False):
        directory.write_metrics(METRICS)
    directory.write_unread(seconds=3.0)
    assert directory.results() == METRICS


def test_metrics_of_an_interrupted_reading_replace_none_of_a_run_that_ends(directory):
    directory.checkpoints.mkdir(parents=True)
    with locked(directory.checkpoints / "lock"):  # by the process of another run
        directory.write_unread(seconds=2.0)
    assert not directory.metrics.exists()


@pytest.mark.parametrize("content", ['{"enc_dim": 8, "epochs": "3"}', "[3]", "\0"])
def test_a_damaged_identity_is_reported(directory, content):
    with directory.claimed(IDENTITY, overwrite=False):
        pass
    path = directory.checkpoints / "run.json"
    path.write_text(content)
    for read in (directory.saved_epochs, directory.former_values):
        with pytest.raises(RunDirectoryError, match=f"^{path}: is damaged: .*--overwr"):
            read()


def test_a_flip_in_the_identity_is_found(directory):
    with directory.claimed(IDENTITY | {"epochs": 4}, overwrite=False):
        pass
    path = directory.checkpoints / "run.json"
    path.write_text(path.read_text().replace('"epochs": 4', '"epochs": 0'))
    with pytest.raises(RunDirectoryError, match=r"run\.json: is damaged: its checksum"):
        claim(directory, 4)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "Expecting property name"),
        ("[1]", r"expected a JSON object, got \[1\]"),
        ('{"stopped": "all epochs done"}', "the JSON object has no epochs_run, best_"),
    ],
)
def test_damaged_metrics_are_reported(directory, content, problem):
    directory.make()
    directory.metrics.write_text(content)
    pattern = rf"metrics\.json: is damaged: .*{problem}.* Restore the file; or "
    with pytest.raises(RunDirectoryError, match=pattern):
        directory.results()


def test_history_is_read_as_written(directory):
    directory.make()
    history = [{"epoch": 0, "train": {"accuracy": 0.5}}, {"epoch": 1, "train": {}}]
    directory.write_history(history)
    assert directory.read_history() == history
    assert len(directory.history.read_text().splitlines()) == 2
    directory.history.unlink()
    with pytest.raises(RunDirectoryError, match=r"history\.jsonl: cannot be read"):
        directory.read_history()


def test_an_exported_model_does_not_become_a_run(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(RunDirectoryError, match="got an exported model"):
        RunDirectory(tmp_path).make()
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model.pb"]
