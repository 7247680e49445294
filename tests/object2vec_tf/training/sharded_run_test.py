"""Tests of whole runs with sharded tables."""

import json
import shutil
import subprocess

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.errors import RunDirectoryError
from object2vec_tf.training.run import SharedRun
from tests.command_server import python_c

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 23,
    "enc0_max_seq_len": 3,
    "enc_dim": 4,
    "mlp_dim": 4,
    "mini_batch_size": 16,
    "token_embedding_storage_type": "row_sparse",
    "optimizer": "adam",
    "learning_rate": 0.01,
    "early_stopping_patience": 5,
}
# Fits with the settings, options and directories given, on two CPU devices.
PROGRAM = """
import json, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
import object2vec_tf as o2v
for settings, options in json.load(sys.stdin):
    o2v.fit(settings, **options, strategy="mirrored", verbose=False)
"""


def rows(count, seed):
    random = np.random.default_rng(seed)
    return [
        {"in0": in0, "in1": in1, "label": sum(in0) % 2}
        for in0, in1 in random.integers(0, 23, (count, 2, 3)).tolist()
    ]


DATA = {"train": rows(80, 1), "validation": rows(30, 2), "test": rows(30, 3)}
SHARDED = {"table_placement": "sharded"}


def fit(directory, epochs=2, **options):
    options = {"strategy": "one", "verbose": False, **SHARDED, **options}
    return o2v.fit(
        SETTINGS | {"epochs": epochs}, **DATA, model_dir=directory, **options
    )


def answers(model):
    ids = [[i, 22 - i] for i in range(23)]
    return [model.embed(ids, encoder=0), model.score({"in0": ids, "in1": ids})]


def assert_same_answers(one, other):
    for first, second in zip(answers(one), answers(other), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished.model_dir, tmp_path / "run")


def test_a_single_shard_gives_the_model_of_a_replicated_run(finished, tmp_path):
    other = fit(tmp_path / "replicated", table_placement="replicated")
    assert_same_answers(finished.model, other.model)
    assert finished.metrics["test"] == other.metrics["test"]
    files = {path.name for path in finished.model_dir.iterdir()}
    assert files == {path.name for path in other.model_dir.iterdir()}
    with pytest.raises(RunDirectoryError, match="table_placement"):
        fit(tmp_path / "replicated", overwrite=False)


def test_the_files_have_the_model_that_fit_returned(finished):
    assert_same_answers(o2v.load(finished.model_dir), finished.model)
    path = finished.model_dir / "export/1"
    embed = tf.saved_model.load(str(path)).signatures["embed_enc0"]
    ids = [[1, 22], [3, -1]]
    np.testing.assert_allclose(
        embed(in0=tf.constant(ids, tf.int64))["embeddings"],
        finished.model.embed([[1, 22], [3]], encoder=0),
        rtol=1e-5,
    )
    assert len(list(path.glob("variables/variables.data-*"))) == 3


def test_tables_above_the_limit_are_beside_the_model(finished, tmp_path):
    directory = tmp_path / "run"
    run = fit(directory, table_limit=0)
    for model in (run.model, o2v.load(directory)):
        assert_same_answers(model, finished.model)
        assert not any("embeddings" in variable.path for variable in model.variables)
    for name in ("validation", "test"):
        assert run.metrics[name] == pytest.approx(finished.metrics[name], rel=1e-6)
    table = pq.read_table(directory / "tables/enc0/part-00000.parquet")
    assert table.column("id").to_pylist() == list(range(23))
    [exported] = (directory / "export/1/tables/enc0").glob("*.parquet")
    assert exported.samefile(directory / "tables/enc0/part-00000.parquet")
    assert_same_answers(fit(directory, table_limit=0).model, finished.model)


@pytest.mark.long
def test_more_epochs_continue_a_finished_run(finished, copied, tmp_path):
    continued = fit(copied, epochs=4)
    assert_same_answers(continued.model, fit(tmp_path / "new", epochs=4).model)
    assert len(continued.history) == 4


@pytest.mark.long
def test_more_epochs_with_another_limit_write_another_kind_of_model(copied):
    for limit, epochs in ((0, 3), (8, 4)):
        continued = fit(copied, epochs=epochs, table_limit=limit)
        assert (copied / "tables").exists() == (limit == 0)
        assert_same_answers(o2v.load(copied), continued.model)


@pytest.mark.long
def test_a_run_starts_with_the_weights_of_one_whose_tables_are_outside(tmp_path):
    earlier = fit(tmp_path / "earlier", table_limit=0)
    start = {"initial_model": tmp_path / "earlier", "freeze": "enc0,enc1"}
    run = fit(tmp_path / "run", **start)
    ids = [[1, 22], [3]]
    np.testing.assert_array_equal(run.model.embed(ids), earlier.model.embed(ids))


def test_a_finished_run_is_loaded(finished, copied):
    assert_same_answers(fit(copied).model, finished.model)


@pytest.mark.long
def test_overwrite_removes_the_shards(copied):
    (copied / "checkpoints/best-epoch-0007").mkdir()
    fit(copied, epochs=1, overwrite=True)
    names = {path.name for path in (copied / "checkpoints").iterdir()}
    assert names == {"best-epoch-0000", "epoch-0001", "run.json", "lock"}


def test_a_worker_loads_the_model_when_it_is_used(finished):
    run = SharedRun(finished.metrics, finished.history, finished.model_dir)
    assert repr(run) == f"SharedRun(model_dir={finished.model_dir!r})"
    assert "model" not in vars(run)
    assert (run.metrics, run.history) == (finished.metrics, finished.history)
    assert_same_answers(run.model, finished.model)
    assert run.model is run.model


@pytest.mark.long
def test_two_devices_resume_with_the_same_weights(finished, tmp_path):
    """Two devices, resumed or not, and a single device that continues for two."""

    def call(name, epochs, **options):
        options = {**DATA, **SHARDED, "model_dir": str(tmp_path / name)} | options
        return SETTINGS | {"epochs": epochs}, options

    fit(tmp_path / "one", epochs=1)
    calls = [call("two", 2), call("resumed", 1), call("resumed", 2), call("one", 2)]
    subprocess.run(
        python_c(PROGRAM), input=json.dumps(calls), text=True, check=True, timeout=300
    )
    two, resumed, one = (
        o2v.load(tmp_path / name) for name in ("two", "resumed", "one")
    )
    assert_same_answers(two, resumed)
    for model in (two, one):
        for first, second in zip(answers(model), answers(finished.model), strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-6)
    # From two devices to one.
    for first, second in zip(
        answers(fit(tmp_path / "two", epochs=3).model),
        answers(fit(tmp_path / "three", epochs=3).model),
        strict=True,
    ):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-6)


@pytest.mark.long
def test_a_retrieval_pool_is_rejected(tmp_path):
    calls = [
        (
            SETTINGS | {"epochs": 1},
            {
                **DATA,
                **SHARDED,
                "model_dir": str(tmp_path),
                "retrieval_pool": "items.jsonl",
            },
        )
    ]
    result = subprocess.run(
        python_c(PROGRAM),
        input=json.dumps(calls),
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert "sharded: expected no retrieval_pool" in result.stderr
