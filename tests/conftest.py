"""Small data and settings that several tests share."""

import json
import os
import tempfile

# GPUs otherwise round the inputs of products to 10 bits (TF32), which no test with a
# tolerance of float32 passes. It must be set before TensorFlow starts.
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
# Lines of progress would depend on the speed of the machine.
os.environ["OBJECT2VEC_TF_PROGRESS_SECONDS"] = "0"

import numpy as np
import pytest
import tensorflow as tf

from object2vec_tf import Hyperparameters
from tests.command_server import share_server

# Local copies of remote files; not those of the user.
_STAGING = tempfile.TemporaryDirectory(prefix="object2vec-staging-")
os.environ["OBJECT2VEC_TF_STAGING"] = _STAGING.name


def lines(rows):
    """The text of JSON Lines of (in0, in1, label)."""
    return "".join(
        json.dumps({"in0": in0, "in1": in1, "label": label}) + "\n"
        for in0, in1, label in rows
    )


@pytest.fixture
def ratings(tmp_path):
    """Paths of 300 train, 70 validation and 50 test pairs with a pattern to learn."""
    return write_ratings(tmp_path)


def write_ratings(directory):
    """Writes the files of `ratings`, which always have the same content."""
    generator = np.random.default_rng(5)
    taste, quality = generator.normal(size=20), generator.normal(size=30)
    paths = {}
    for name, count in (("train", 300), ("validation", 70), ("test", 50)):
        users, items = (
            generator.integers(20, size=count),
            generator.integers(30, size=count),
        )
        rows = [
            ([int(u)], [int(i)], round(float(taste[u] + quality[i] + 3), 3))
            for u, i in zip(users, items, strict=True)
        ]
        paths[name] = directory / f"{name}.jsonl"
        paths[name].write_text(lines(rows), encoding="utf-8")
    return paths


@pytest.fixture
def settings():
    """Hyperparameters for `ratings`, as keyword arguments."""
    return ratings_settings()


def ratings_settings():
    """Returns the hyperparameters of `settings`."""
    return {
        "enc0_network": "pooled_embedding",
        "enc1_network": "pooled_embedding",
        "enc0_max_seq_len": 1,
        "enc1_max_seq_len": 1,
        "enc0_vocab_size": 20,
        "enc1_vocab_size": 30,
        "enc_dim": 8,
        "mlp_dim": 8,
        "mlp_layers": 1,
        "mini_batch_size": 32,
        "learning_rate": 0.02,
        "epochs": 3,
        "output_layer": "mean_squared_error",
    }


@pytest.fixture
def hyperparameters(settings):
    return Hyperparameters(**settings)


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """fsspec's file system memory://, empty; local copies are in tmp_path/staging."""
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("OBJECT2VEC_TF_STAGING", str(tmp_path / "staging"))
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]
    yield filesystem
    filesystem.store.clear()


def pytest_configure(config: pytest.Config) -> None:
    """Starts one command server for all workers of pytest-xdist."""
    if getattr(config.option, "numprocesses", None) and hasattr(os, "pidfd_open"):
        share_server()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Names bytes by their number: gzip writes the time, and workers must agree."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips the tests that need a GPU where TensorFlow sees none."""
    needing = [item for item in items if item.get_closest_marker("gpu")]
    if needing and not tf.config.list_physical_devices("GPU"):
        for item in needing:
            item.add_marker(pytest.mark.skip(reason="needs a GPU"))
