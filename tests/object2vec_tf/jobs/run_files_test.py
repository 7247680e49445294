import json
import zipfile
from contextlib import ExitStack

import pytest

from object2vec_tf import UserError
from object2vec_tf.jobs.run_files import job_run_directory


def write_checkpoint(folder, name, **state):
    (folder / name).mkdir(parents=True)
    (folder / name / "state.json").write_text(json.dumps(state))
    for file in ("variables.index", "variables.data-00000-of-00001"):
        (folder / name / file).touch()


def write_best(folder, epoch):
    with zipfile.ZipFile(folder / f"best-epoch-{epoch:04d}.keras", "w") as file:
        file.writestr("epoch", str(epoch))


def run_directory(prefix, checkpoints):
    return job_run_directory(prefix / "run", checkpoints, prefix / "model")


def test_the_best_model_of_the_newest_complete_checkpoint_is_restored(tmp_path):
    folder = tmp_path / "checkpoints"
    write_checkpoint(folder, "epoch-0001", best_epoch=0, history=[{"epoch": 0}])
    write_checkpoint(folder, "epoch-0001-batch-000000005", best_epoch=7, history=[])
    write_checkpoint(folder, "epoch-0002", best_epoch=0, history=[])
    (folder / "epoch-0002/variables.data-00000-of-00001").unlink()
    (folder / "run.json").write_text("{}")
    write_best(folder, 0)
    with ExitStack() as stack:
        with pytest.warns(UserWarning, match="checkpoint skipped") as warned:
            run = stack.enter_context(run_directory(tmp_path, folder))
        assert zipfile.ZipFile(run.model).read("epoch") == b"0"
        assert run.read_history() == [{"epoch": 0}]
        assert run.checkpoints.samefile(folder)
    skipped = (
        f"{folder}/epoch-0001-batch-000000005: checkpoint skipped: best-epoch-0007"
    )
    messages = sorted(str(warning.message) for warning in warned)
    assert messages[0].startswith(skipped)
    assert messages[1] == (
        f"{folder}/epoch-0002: checkpoint skipped: variables.data is missing"
    )
    assert {path.name for path in folder.iterdir()} == {
        *("epoch-0001", "run.json", "best-epoch-0000.keras")
    }
    assert not list((tmp_path / "run").iterdir())


def test_checkpoints_of_an_unknown_run_are_not_used(tmp_path):
    folder = tmp_path / "checkpoints"
    write_checkpoint(folder, "epoch-0001", history=[])
    with ExitStack() as stack:
        with pytest.warns(UserWarning, match="that identifies its run is missing"):
            run = stack.enter_context(run_directory(tmp_path, folder))
        assert not run.has_checkpoint()
        assert not run.model.exists()


def test_two_jobs_cannot_use_the_same_prefix(tmp_path):
    with (
        run_directory(tmp_path, tmp_path / "a") as first,
        pytest.raises(UserError, match="another process trains with this --prefix"),
        run_directory(tmp_path, tmp_path / "b"),
    ):
        pass
    assert not first.path.exists()


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"cannot be created: Not a directory\. Correct"),
        run_directory(tmp_path, tmp_path / "file/checkpoints"),
    ):
        pass


def test_files_that_other_programs_add_to_the_folder_do_no_harm(tmp_path):
    folder = tmp_path / "checkpoints"
    write_checkpoint(folder, "epoch-0001", best_epoch=0, history=[{"epoch": 0}])
    (folder / "run.json").write_text("{}")
    write_best(folder, 0)
    names = ("epoch-0002", "epoch-0001.sagemaker-uploaded", ".epoch-0003", "notes.txt")
    for name in names:
        (folder / name).touch()
    with run_directory(tmp_path, folder) as run:
        assert zipfile.ZipFile(run.model).read("epoch") == b"0"
    assert {path.name for path in folder.iterdir()} == {
        *(*names, "epoch-0001", "run.json", "best-epoch-0000.keras")
    }


def test_damaged_checkpoints_stay_and_the_best_model_of_an_intact_one_is_restored(
    tmp_path,
):
    folder = tmp_path / "checkpoints"
    write_checkpoint(folder, "epoch-0001", best_epoch=0, history=[{"epoch": 0}])
    (folder / "run.json").write_text("{}")
    write_best(folder, 0)
    for number, text in enumerate(("null", "3", "[]", '{"best_epoch": "x"}'), 10):
        write_checkpoint(folder, f"epoch-00{number}")
        (folder / f"epoch-00{number}/state.json").write_text(text)
    before = sorted(folder.iterdir())
    with run_directory(tmp_path, folder) as run:
        assert zipfile.ZipFile(run.model).read("epoch") == b"0"
    assert sorted(folder.iterdir()) == before
