import warnings

import pytest

import object2vec_tf as o2v
from object2vec_tf.distributed.sharded_tables import ShardedTables
from object2vec_tf.distributed.strategies import SingleDevice
from object2vec_tf.layers.table_placement import WHOLE_TABLES
from object2vec_tf.training import memory, table_limit
from object2vec_tf.training.options import FitOptions
from object2vec_tf.training.table_limit import table_limit_for

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 1,
    "enc0_vocab_size": 1000,
    "enc_dim": 100,
}


def limit(placement, **options):
    hyperparameters = o2v.Hyperparameters(**SETTINGS)
    return table_limit_for(
        FitOptions(**options), hyperparameters, SingleDevice(), placement
    )


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(memory, "system_memory", lambda: (2_000_000, 2_000_000))


def test_tables_that_fit_are_in_the_model():
    assert limit(ShardedTables()) == limit(WHOLE_TABLES) == 8.0


@pytest.mark.usefixtures("little_memory")
def test_sharded_tables_that_do_not_fit_are_files():
    with pytest.warns(UserWarning, match="do not fit into the memory"):
        assert limit(ShardedTables()) == 0.0


@pytest.mark.usefixtures("little_memory")
def test_a_limit_that_is_given_is_kept():
    assert limit(ShardedTables(), table_limit=3) == 3
    assert limit(WHOLE_TABLES) == 8.0


@pytest.mark.usefixtures("little_memory")
def test_tables_that_are_never_assembled_need_no_warning(monkeypatch):
    monkeypatch.setattr(table_limit, "TABLE_LIMIT", 1e-4)  # 0.1 MB
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert limit(ShardedTables()) == 1e-4
