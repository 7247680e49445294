import json
import subprocess

import numpy as np
import pytest

from export.exported_model import _EXPORTERS, exported_model
from object2vec_tf import UserError
from object2vec_tf.files.locks import locked
from tests.command_server import python_m
from tests.export.conftest import make_model, ragged


@pytest.mark.parametrize("path", ["run", "s3://bucket/run/export", "."])
def test_other_paths_are_yielded_as_they_are(path):
    with exported_model(path) as exported:
        assert exported == path


def test_a_keras_file_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "x.keras").write_text("{")
    with (
        pytest.raises(UserError, match=r"x\.keras: expected a Keras model, got a dam"),
        exported_model(tmp_path / "x.keras"),
    ):
        pass


def test_the_exporter_can_lock_the_directory_of_versions(tmp_path, monkeypatch):
    def export(model, directory):
        directory.mkdir()
        with locked(directory, timeout=0):
            return directory / "1"

    monkeypatch.setitem(_EXPORTERS, "tensorflow", export)
    make_model().save(tmp_path / "x.keras")
    with exported_model(tmp_path / "x.keras") as exported:
        assert exported.name == "1"


@pytest.mark.long
def test_transform_takes_a_keras_file_and_continues_a_directory(tmp_path):
    model = make_model()
    model.save(tmp_path / "x.keras")
    for name, token in (("a", 3), ("b", 7)):
        line = json.dumps({"in0": [token, 2]})
        (tmp_path / f"{name}.jsonl").write_text(line + "\n")

    def transform(*arguments):
        return subprocess.run(
            [*python_m("object2vec_tf.transform"), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )

    arguments = ["--model=x.keras", "--input=a.jsonl,b.jsonl", "--output=out/"]
    done = transform(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    for name, token in (("a", 3), ("b", 7)):
        row = json.loads((tmp_path / f"out/{name}.jsonl.out").read_text())
        expected = model.enc0(ragged([[token, 2]]), training=False)[0]
        np.testing.assert_allclose(row["embeddings"], expected, rtol=1e-5)
    assert transform(*arguments).stdout.count("already complete") >= 2
    make_model(seed=5).save(tmp_path / "x.keras")
    done = transform(*arguments)
    assert done.returncode == 2
    assert "contains predictions of another model" in done.stderr
    done = transform(*arguments, "--runner=ray")
    assert "expected an exported model for --runner=ray, got x.keras" in done.stderr
