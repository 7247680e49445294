"""The flip test of run directories, SavedModels and ONNX graphs.

Its figures: python -m pytest -s -m long tests/flips_test.py
"""

import warnings

import keras
import pytest

import object2vec_tf as o2v
from export.onnx_model import export_onnx
from object2vec_tf.model.loading import load
from object2vec_tf.training.checkpoint_files import checkpoint_paths
from tests.bit_flips import copied, flip_test
from tests.run_flips import (
    Stopped,
    finished,
    restored,
    serve,
    settings,
    transform,
    weights,
)

FLIPS, SEED = 1000, 23
# Files that nothing reads again, and the cache, which has checksums of its own.
EXCLUDED = ("cache/*", "tensorboard/*", "report.*")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("flips") / "run"
    o2v.fit(**settings(2), model_dir=path)
    return path


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run that was killed in its third epoch: it has two checkpoints."""
    path = tmp_path_factory.mktemp("flips") / "interrupted"

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise Stopped

    with pytest.raises(Stopped):
        o2v.fit(**settings(3), model_dir=path, callbacks=[Stop()])
    return path


def check(directory, doors):
    """Runs the flip test; the first results of the doors are those without damage."""
    expected = {name: (door, [door(directory)]) for name, door in doors.items()}
    report = flip_test(directory, expected, FLIPS, SEED, EXCLUDED)
    print(f"\n{directory}\n{report}")
    assert not report.failures
    assert sum(
        n for (_, outcome), n in report.counts.items() if outcome == "user error"
    )


@pytest.mark.long
def test_no_flip_in_a_finished_run_is_silent(run):
    doors = {"fit, export": finished, "transform": transform(), "serve": serve()}
    check(run, doors)


@pytest.mark.long
def test_no_flip_in_a_saved_model_is_silent(run):
    check(run / "export/1", {"transform": transform(), "serve": serve()})


@pytest.mark.long
def test_no_flip_in_onnx_graphs_is_silent(run, tmp_path):
    path = export_onnx(load(run), tmp_path)
    check(path, {"transform": transform("onnx"), "serve": serve("onnx")})


@pytest.mark.long
def test_no_flip_in_a_run_that_resumes_is_silent(interrupted, tmp_path):
    model = load(interrupted)
    door = restored(model, tmp_path / "copy")
    newest = door(interrupted)
    damaged = copied(interrupted, tmp_path / "damaged")
    (checkpoint_paths(damaged / "checkpoints")[-1] / "state.json").write_text("{")
    before = door(damaged)
    assert (newest[1], before[1]) == (False, True)
    assert newest[0] != before[0]
    doors = {"resume": (door, [newest, before])}
    report = flip_test(interrupted, doors, FLIPS, SEED, EXCLUDED)
    print(f"\n{interrupted}\n{report}")
    assert not report.failures


@pytest.mark.long
def test_a_run_resumes_to_the_same_weights_after_a_flip(
    interrupted, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "object2vec_tf.training.preparation._load_exporter",
        lambda: lambda *args, **options: tmp_path,
    )

    def resume(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = o2v.fit(**settings(3), model_dir=copied(path, tmp_path / "copy"))
        return weights(run.model)

    doors = {"fit": (resume, [resume(interrupted)])}
    report = flip_test(interrupted, doors, 40, SEED, EXCLUDED, skip_unread=False)
    print(f"\n{interrupted}\n{report}")
    assert not report.failures
