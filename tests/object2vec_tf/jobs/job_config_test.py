import json
from pathlib import Path

import pytest

from object2vec_tf import UserError
from object2vec_tf.jobs.job_config import read_checkpoint_folder, read_hosts


@pytest.mark.parametrize(
    ("config", "folder"),
    [
        (None, "/root/checkpoints"),
        ({}, "/root/checkpoints"),
        ({"LocalPath": None, "S3Uri": "s3://b/c"}, "/root/checkpoints"),
        ({"LocalPath": "/opt/ml/checkpoints/", "New": 1}, "/root/checkpoints"),
        ({"LocalPath": "/opt/ml/some/folder"}, "/root/some/folder"),
        ({"LocalPath": "/mnt/x/../state"}, "/mnt/state"),
        ({"LocalPath": "/opt/mlx"}, "/opt/mlx"),
    ],
)
def test_the_folder_of_checkpoints(config, folder, tmp_path):
    path = tmp_path / "checkpointconfig.json"
    if config is not None:
        path.write_text(json.dumps(config))
    assert read_checkpoint_folder(path, Path("/root")) == Path(folder)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("checkpoints", "LocalPath: expected an absolute path such as /opt/ml/check"),
        (5, "LocalPath: expected an absolute path such as /opt/ml/checkpoints, got 5"),
        ("/opt/ml/a\0b", "LocalPath: expected an absolute path such as /opt/ml/check"),
        ("/opt/ml", "LocalPath: expected a folder of its own, got /opt/ml, which"),
        ("/opt/ml/model/x", "got /opt/ml/model/x, which has another purpose. Use /opt"),
        ("/opt/ml/a/../model", "which has another purpose"),
    ],
)
def test_folders_that_cannot_be_used(given, message, tmp_path):
    path = tmp_path / "checkpointconfig.json"
    path.write_text(json.dumps({"LocalPath": given}))
    with pytest.raises(UserError) as error:
        read_checkpoint_folder(path, Path("/root"))
    assert message in str(error.value)


def test_hosts_are_sorted(tmp_path):
    path = tmp_path / "resourceconfig.json"
    config = {"hosts": ["algo-2", "algo-1"], "current_host": "algo-2", "new": []}
    path.write_text(json.dumps(config))
    assert read_hosts(path) == (["algo-1", "algo-2"], "algo-2")


@pytest.mark.parametrize(
    "text", ["null", "[" * 100_000, '{"hosts": null}', "\udcff", "{", '{"hosts": [1]}']
)
def test_damaged_files_are_user_errors(text, tmp_path):
    path = tmp_path / "resourceconfig.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"resourceconfig\.json: "):
        read_hosts(path)
    directory = tmp_path / "directory.json"
    directory.mkdir()
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_hosts(directory)
