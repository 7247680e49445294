"""Tests of object2vec_tf/training/sharded_checkpoints.py and table_shards.py."""

import dataclasses
import os
import warnings

import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.distributed.strategies import SingleDevice
from object2vec_tf.errors import RunDirectoryError, UserError
from object2vec_tf.files.digests import digest_of_bytes
from object2vec_tf.files.leftovers import remove_leftovers
from object2vec_tf.layers.table_placement import (
    TablePlacement,
    WholeTable,
    table_weight,
)
from object2vec_tf.training.sharded_checkpoints import KeptTables, ShardedCheckpoints
from object2vec_tf.training.table_shards import open_shards

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 11,
    "enc1_network": "pooled_embedding",
    "enc1_vocab_size": 7,
    "enc0_max_seq_len": 3,
    "enc1_max_seq_len": 3,
    "tied_token_embedding_weight": False,
    "enc_dim": 4,
    "mlp_dim": 3,
    "token_embedding_storage_type": "row_sparse",
}
ROWS = {
    "enc0.embeddings": (11, 4),
    "enc1.embeddings": (7, 4),
}
SLOTS = {"adam": ["momentum", "velocity"], "rowwise_adagrad": ["accumulator"]}
EPOCH = {"epoch": 0, "train": {"loss": 0.5}}


class Shards(TablePlacement):
    """A placement whose variables have the rows of one shard."""

    is_sharded = True

    def __init__(self, replica, replicas):
        self.replica, self.replicas = replica, replicas

    def add_table(self, layer, spec):
        own = len(range(self.replica, spec.shape[0], self.replicas))
        zeros = dataclasses.replace(spec, initializer="zeros")
        return WholeTable(*spec.shape, table_weight(layer, zeros, own))


class Strategy(SingleDevice):
    """Several replicas in this process."""

    def __init__(self, replicas):
        self.replicas = replicas
        self.local_replicas = range(replicas)


@dataclasses.dataclass
class Replicas:
    strategy: Strategy
    models: list

    @property
    def model(self):
        return self.models[0]

    def copy_from_chief(self):
        self.copied = True


def replicas(count, optimizer="adam"):
    models = []
    for replica in range(count):
        model = o2v.Object2Vec(
            SETTINGS | {"optimizer": optimizer}, placement=Shards(replica, count)
        )
        model.compile()
        model.optimizer.build(model.trainable_variables)
        models.append(model)
    return Replicas(Strategy(count), models)


def checkpoints(path, count, optimizer="adam"):
    result = ShardedCheckpoints(path, replicas(count, optimizer))
    return result, dict(enumerate(result._shards))


def table_values(name):
    """The values of a table of the model, or of one of its slots."""
    table = ".".join(name.split(".")[:2])
    random = np.random.default_rng(list(name.encode()))
    rows, width = ROWS[table]
    width = 1 if name.endswith("accumulator") else width  # one number for each row
    return random.normal(size=(rows, width)).astype(np.float32)


def variables(shards):
    return {**shards.tables, **shards.slots}


def fill(shards):
    """Assigns the rows of their shards to all variables."""
    for shard in shards.values():
        for name, variable in variables(shard).items():
            own = table_values(name)[shard.replica :: shard.replicas]
            variable.assign(own.reshape(variable.shape))


def assert_filled(shards):
    for shard in shards.values():
        for name, variable in variables(shard).items():
            own = table_values(name)[shard.replica :: shard.replicas]
            assert np.array_equal(variable.numpy(), own.reshape(variable.shape)), name


@pytest.fixture
def saved(tmp_path):
    written, shards = checkpoints(tmp_path, 3)
    fill(shards)
    written._model.comparator.weights[0].assign(np.full([16, 3], 5.0))
    written.keep_best(0)
    written.save(1, {"history": [EPOCH], "best_epoch": 0})
    return written


def test_variables_are_named_by_table_and_slot(tmp_path):
    for optimizer, slots in SLOTS.items():
        _, shards = checkpoints(tmp_path, 2, optimizer)
        assert set(shards[1].tables) == {*ROWS}
        names = {f"{table}.{slot}" for table in ROWS for slot in slots}
        if optimizer == "rowwise_adagrad":
            assert shards[1].slots["enc1.embeddings.accumulator"].shape == (3,)
        assert set(shards[1].slots) == names


@pytest.mark.parametrize("count", [1, 2, 3])
def test_another_number_of_replicas_restores_the_rows_of_its_shards(
    saved, tmp_path, count
):
    other, shards = checkpoints(tmp_path, count)
    assert other.restore() == {"history": [EPOCH], "best_epoch": 0}
    assert_filled(shards)
    weights = [model.comparator.weights[0] for model in (saved._model, other._model)]
    assert np.array_equal(*weights)


def test_accumulators_of_rows_are_restored(tmp_path):
    written, shards = checkpoints(tmp_path, 2, "rowwise_adagrad")
    fill(shards)
    written.save(1, {})
    other, shards = checkpoints(tmp_path, 3, "rowwise_adagrad")
    other.restore()
    assert_filled(shards)


def test_the_checkpoint_of_the_best_epoch_links_its_tables(saved, tmp_path):
    name = "enc0.embeddings.00002-of-00003.npy"
    best, checkpoint = (tmp_path / each for each in ("best-epoch-0000", "epoch-0001"))
    assert (best / name).samefile(checkpoint / name)
    saved.save(1, {}, batches=3)
    other = tmp_path / "epoch-0001-batch-000000003" / name
    assert not other.samefile(best / name)


def test_a_checkpoint_has_each_row_once(saved, tmp_path):
    files = {path.name for path in (tmp_path / "epoch-0001").iterdir()}
    slots = ["", ".momentum", ".velocity"]
    names = [
        f"{table}{slot}.{shard:05d}-of-00003.npy"
        for table in ROWS
        for slot in slots
        for shard in range(3)
    ]
    rest = {"state.json", "variables.index", "variables.data-00000-of-00001"}
    assert files == {*names, *rest}
    table = open_shards(tmp_path / "epoch-0001", "enc0.embeddings.momentum")
    assert np.array_equal(table.read(0, 11), table_values("enc0.embeddings.momentum"))
    size = (tmp_path / "epoch-0001/variables.data-00000-of-00001").stat().st_size
    assert size < 10_000


def test_the_tables_of_the_best_epoch_are_kept(saved, tmp_path):
    best = tmp_path / "best-epoch-0000"
    table = open_shards(best, "enc1.embeddings")
    assert np.array_equal(table.read(0, 7), table_values("enc1.embeddings"))
    assert not list(best.glob("*momentum*"))
    saved.keep_best(1)
    saved.save(2, {"history": [EPOCH, EPOCH | {"epoch": 1}], "best_epoch": 1})
    assert best.exists()  # the checkpoint before refers to it
    saved.save(3, {"history": [EPOCH, EPOCH | {"epoch": 1}], "best_epoch": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best-epoch-0001",
        "epoch-0002",
        "epoch-0003",
    ]


def damage(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("epoch-0002/enc0.embeddings.00001-of-00003.npy", "damaged"),
        ("epoch-0002/enc1.embeddings.velocity.00002-of-00003.npy", "missing"),
        ("epoch-0002/variables.data-00000-of-00001", "damaged"),
        ("best-epoch-0001/enc0.embeddings.00000-of-00003.npy", "damaged"),
        ("best-epoch-0001/digests.json", "missing"),
    ],
)
def test_a_damaged_checkpoint_is_skipped(saved, tmp_path, file, change):
    saved.keep_best(1)
    saved.save(2, {"history": [EPOCH, EPOCH | {"epoch": 1}], "best_epoch": 1})
    if change == "damaged":
        damage(tmp_path / file)
    else:
        (tmp_path / file).unlink()
    other, shards = checkpoints(tmp_path, 3)
    with pytest.warns(UserWarning, match="epoch-0002: damaged checkpoint skipped"):
        state = other.restore()
    assert state == {"history": [EPOCH], "best_epoch": 0}
    assert_filled(shards)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.save(1, state, batches=5)
    assert not (tmp_path / "epoch-0002").exists()
    assert (tmp_path / "epoch-0001").exists()


def test_all_damaged_is_an_error(saved, tmp_path):
    damage(tmp_path / "epoch-0001/enc0.embeddings.00001-of-00003.npy")
    with (
        pytest.warns(UserWarning, match="skipped"),
        pytest.raises(RunDirectoryError, match="all checkpoints are damaged"),
    ):
        saved.restore()


def test_released_variables_have_no_values(tmp_path):
    released, shards = checkpoints(tmp_path, 2)
    released.release()
    for shard in shards.values():
        for variable in variables(shard).values():
            shape = tf.raw_ops.VariableShape(input=variable.value.handle)
            assert shape.numpy().tolist() == [0]


def test_nothing_is_restored_without_a_checkpoint(tmp_path):
    assert checkpoints(tmp_path, 2)[0].restore() is None


def test_a_write_that_fails_leaves_the_earlier_checkpoint(saved, tmp_path, monkeypatch):
    def full(path, reader):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("object2vec_tf.training.table_shards.write_rows", full)
    with pytest.raises(
        RunDirectoryError, match="epoch-0002: the checkpoint cannot be written: No sp"
    ):
        saved.save(2, {})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best-epoch-0000", "epoch-0001"]


def test_what_a_killed_process_left_is_removed(saved, tmp_path):
    left = tmp_path / ".epoch-0002.o2v-abcdefgh"
    left.mkdir()
    (left / "enc0.embeddings.00000-of-00003.npy").touch()
    saved.restore()
    assert not left.exists()


class OtherFileSystem(Strategy):
    """The chief of two workers, of which the other does not see its files."""

    workers = 2

    def all_reduce(self, values):
        return values + np.array([0, 1], np.int32)


def test_a_directory_that_is_not_shared_is_an_error(tmp_path):
    group = replicas(1)
    group.strategy = OtherFileSystem(1)
    with pytest.raises(UserError, match=r"all workers share.*worker 1 it is another"):
        ShardedCheckpoints(tmp_path, group)
    assert not list(tmp_path.iterdir())


def test_links_are_no_leftovers_of_other_workers(tmp_path, monkeypatch):
    """Each worker removes leftovers where it first writes a temporary file."""
    best, directory = tmp_path / "best", tmp_path / "checkpoint"
    for path in (best, directory):
        path.mkdir()
    (best / "enc0.embeddings.00001-of-00002.npy").write_bytes(b"rows")
    digests = {"enc0.embeddings.00001-of-00002.npy": digest_of_bytes(b"rows")}
    link = os.link

    def link_beside_a_worker(source, target):
        link(source, target)
        remove_leftovers(directory)

    monkeypatch.setattr(os, "link", link_beside_a_worker)
    assert KeptTables(0, best, {1: digests}).link(directory, 1) == digests
    [copied] = directory.iterdir()
    assert copied.samefile(best / "enc0.embeddings.00001-of-00002.npy")
