"""Tests of object2vec_tf/inference/exported_files.py: damaged exports."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from export import export_saved_model
from export.onnx_model import export_onnx
from object2vec_tf.errors import UserError
from object2vec_tf.inference.exported_files import SAVED_MODEL_DIGESTS, report_damage
from object2vec_tf.inference.onnx_predictor import OnnxPredictor
from object2vec_tf.inference.predictor import SavedModelPredictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from tests.bit_flips import flip_test, flipped
from tests.command_server import python_m
from tests.export.conftest import make_model
from tests.run_flips import transform

WARM_UP = "assets.extra/tf_serving_warmup_requests"
DESCRIPTION = "assets.extra/hyperparameters.json"
DATA = "variables/variables.data-00000-of-00001"
OLD = "an export without digests"


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def saved_model(model, tmp_path_factory):
    return export_saved_model(model, tmp_path_factory.mktemp("saved_model"))


@pytest.fixture(scope="module")
def onnx(model, tmp_path_factory):
    return export_onnx(model, tmp_path_factory.mktemp("onnx"))


def cut(data):
    return data[: len(data) // 2]


def flip_the_middle(data):
    return flipped(data, 4 * len(data))


def remove(data):
    return None


def damaged_copy(source, destination, name, damage, is_old=False):
    """Returns a copy of an export in which a file is damaged."""
    shutil.copytree(source, destination)
    if is_old:
        for digests in destination.rglob("digests.json"):
            digests.unlink()
    path = destination / name
    content = damage(path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    return destination


@pytest.mark.parametrize("damage", [cut, flip_the_middle, remove])
@pytest.mark.parametrize(
    "name",
    [
        *("saved_model.pb", "variables/variables.index", DATA, "fingerprint.pb"),
        *(WARM_UP, DESCRIPTION, "assets.extra/golden.jsonl"),
    ],
)
def test_no_damaged_file_of_a_saved_model_is_loaded(
    saved_model, name, damage, tmp_path
):
    path = damaged_copy(saved_model, tmp_path / "1", name, damage)
    with pytest.raises(UserError) as raised:
        SavedModelPredictor(path)
    assert str(raised.value).startswith(f"{path / name}: is ")
    assert "Copy the version again from where it is intact" in str(raised.value)


@pytest.mark.parametrize("damage", [cut, flip_the_middle, remove])
@pytest.mark.parametrize("name", ["predict_pair.onnx", "hyperparameters.json"])
def test_no_damaged_file_of_an_onnx_model_is_loaded(onnx, name, damage, tmp_path):
    path = damaged_copy(onnx, tmp_path / "1", name, damage)
    with pytest.raises(UserError, match=f"^{path / name}: is .*--format=onnx"):
        OnnxPredictor(path)


def test_a_flip_in_the_weights_of_onnx_graphs_is_found(onnx, tmp_path):
    (weights,) = (path for path in onnx.iterdir() if "weights" in path.name)
    path = damaged_copy(onnx, tmp_path / "1", weights.name, flip_the_middle)
    with pytest.raises(UserError, match=f"{weights.name}: is damaged: its checksum"):
        OnnxPredictor(path)
    path = damaged_copy(onnx, tmp_path / "2", weights.name, cut, is_old=True)
    with pytest.raises(UserError, match=r"2: cannot be loaded"):
        OnnxPredictor(path)


def not_utf_8(data):
    return b"\xff" + data


def not_an_object(data):
    return b"[1]"


def nested(data):
    return b"[" * 100_000


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("saved_model.pb", cut),
        ("saved_model.pb", not_utf_8),
        (DATA, cut),
        (DESCRIPTION, not_utf_8),
        (DESCRIPTION, not_an_object),
        (DESCRIPTION, nested),
    ],
)
def test_damage_in_an_export_of_an_older_version_is_a_user_error(
    saved_model, name, damage, tmp_path
):
    path = damaged_copy(saved_model, tmp_path / "1", name, damage, is_old=True)
    with pytest.raises(UserError, match=f"^{path}.* (Copy|Export) the "):
        SavedModelPredictor(path)


@pytest.mark.parametrize("damage", [not_utf_8, not_an_object, remove])
def test_metadata_of_an_older_onnx_model_is_typed(onnx, damage, tmp_path):
    path = damaged_copy(onnx, tmp_path / "1", "hyperparameters.json", damage, True)
    with pytest.raises(UserError, match=f"^{path}.*hyperparameters"):
        OnnxPredictor(path)


def test_missing_or_damaged_warm_up_requests_are_a_user_error(saved_model, tmp_path):
    path = damaged_copy(saved_model, tmp_path / "1", WARM_UP, remove, is_old=True)
    predictor = SavedModelPredictor(path)
    with pytest.raises(UserError, match=f"{WARM_UP}: is missing: .* half copied"):
        predictor.warm_up()
    (path / WARM_UP).write_bytes(flip_the_middle((saved_model / WARM_UP).read_bytes()))
    with pytest.raises(UserError, match=f"{WARM_UP}: cannot be loaded"):
        predictor.warm_up()


def test_an_export_of_an_older_version_is_loaded(model, saved_model, onnx, tmp_path):
    inputs = RaggedInputs.from_rows({"in0": [[1, 2]]})
    ragged = tf.ragged.constant([[1, 2]], dtype=tf.int64)
    expected = model.enc0(ragged, training=False)
    for number, source in enumerate((saved_model, onnx)):
        path = tmp_path / f"{number}"
        shutil.copytree(source, path)
        (path / (DESCRIPTION if number else SAVED_MODEL_DIGESTS)).unlink(True)
        (path / "digests.json").unlink(missing_ok=True)
        predictor = (OnnxPredictor if number else SavedModelPredictor)(path)
        np.testing.assert_allclose(predictor(inputs), expected, rtol=1e-5)


def test_all_files_but_the_digests_are_described(saved_model):
    described = json.loads((saved_model / SAVED_MODEL_DIGESTS).read_text())["files"]
    found = {
        path.relative_to(saved_model).as_posix()
        for path in saved_model.rglob("*")
        if path.is_file()
    }
    assert set(described) == found - {SAVED_MODEL_DIGESTS}


def test_a_damaged_model_does_not_become_that_of_an_output_directory(
    saved_model, tmp_path
):
    path = damaged_copy(saved_model, tmp_path / "1", "saved_model.pb", flip_the_middle)
    (tmp_path / "in.jsonl").write_text('{"in0": [1]}')
    arguments = (f"--model={path}", f"--input={tmp_path}/in.jsonl")
    done = subprocess.run(
        [*python_m("object2vec_tf.transform"), *arguments, f"--output={tmp_path}/out/"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {path}/saved_model.pb: is damaged: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out/.transform.json").exists()


def test_errors_of_libraries_become_one_line():
    def load():
        raise TypeError("a bad graph\n  at the second line")

    with pytest.raises(UserError) as raised, report_damage("1", "Export it."):
        load()
    assert str(raised.value) == (
        "1: cannot be loaded, since a file is missing or damaged: a bad graph. "
        "Export it."
    )


def test_no_flip_of_a_bit_in_an_export_is_silent(saved_model, onnx):
    # The long test in tests/flips_test.py has 1,000 flips.
    for path, runtime in ((saved_model, "tensorflow"), (onnx, "onnx")):
        door = transform(runtime)
        report = flip_test(path, {"transform": (door, [door(path)])}, 20, seed=23)
        assert not report.failures, f"{report}"
        assert report.counts["transform", "user error"] == 20
