"""Runs whose channels are tables, iterables or Pairs."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import object2vec_tf as o2v
from object2vec_tf.runs.opened_run import open_run
from object2vec_tf.training.channels import sources_by_channel
from object2vec_tf.training.options import FitOptions
from object2vec_tf.training.preparation import prepare_run

SETTINGS = o2v.Hyperparameters(
    enc0_network="pooled_embedding",
    enc0_vocab_size=30,
    enc0_max_seq_len=2,
    enc1_network="pooled_embedding",
    enc1_vocab_size=30,
    enc1_max_seq_len=3,
    enc_dim=4,
    mlp_layers=1,
    mlp_dim=4,
    mini_batch_size=8,
    epochs=1,
)
ROWS = [{"in0": i % 30, "in1": [i % 7, i % 5], "label": i % 2} for i in range(64)]
NEW_ROWS = [{"in0": i, "in1": [8], "label": 1} for i in range(10)]


def prepared(directory, train, validation=None, test=None, **options):
    sources = sources_by_channel(train, validation, test, None)
    options = FitOptions(verbose=False, **options)
    with open_run(directory) as run_directory:
        return prepare_run(SETTINGS, sources, run_directory, options)


def test_channels_may_be_tables_and_pairs(tmp_path):
    pairs = o2v.read_pairs(ROWS[:9], SETTINGS)
    run = prepared(
        tmp_path / "run",
        pd.DataFrame(ROWS),
        (row for row in NEW_ROWS),
        pairs,
        retrieval_pool=pd.DataFrame({"in1": [[1], [2], [1]]}),
    )
    assert {name: len(p) for name, p in run.channels.items()} == {
        "train": 64,
        "validation": 10,
        "test": 9,
    }
    assert run.channels["test"] is pairs
    assert run.retrieval_pool.items.values.tolist() == [1, 2]
    # The data of the run are recognized in any kind of table.
    again = prepared(
        tmp_path / "other",
        pl.DataFrame(ROWS),
        pa.Table.from_pylist(NEW_ROWS),
        ROWS[:9],
        retrieval_pool=[{"in1": 1}, {"in1": 2}],
    )
    assert again.identity == run.identity


@pytest.mark.parametrize("channel", ["validation", "test"])
def test_an_error_names_the_channel(tmp_path, channel):
    bad = [*ROWS, {"in0": 30, "in1": 1, "label": 1}]
    with pytest.raises(
        o2v.DataError, match=rf"^{channel}: list: row 65: in0: expected"
    ):
        prepared(tmp_path, ROWS, **{channel: bad})


@pytest.mark.long
def test_a_run_on_a_table_resumes_and_equals_a_run_on_files(tmp_path, capsys):
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, tmp_path / "a.parquet")
    lines = "\n".join(map(json.dumps, ROWS))
    (tmp_path / "a.jsonl").write_text(lines)
    runs = {
        name: o2v.fit(SETTINGS, train=train, model_dir=tmp_path / name)
        for name, train in (
            ("jsonl", tmp_path / "a.jsonl"),
            ("parquet", tmp_path / "a.parquet"),
            ("frame", pd.DataFrame(ROWS)),
        )
    }
    weights = [run.model.get_weights() for run in runs.values()]
    for other in weights[1:]:
        for expected, value in zip(weights[0], other, strict=True):
            np.testing.assert_array_equal(value, expected)
    output = capsys.readouterr().out
    assert "train: 64 pairs from DataFrame" in output
    o2v.fit(SETTINGS, train=pl.DataFrame(ROWS), model_dir=tmp_path / "frame")
    assert "this run is finished" in capsys.readouterr().out
    with pytest.raises(o2v.RunDirectoryError, match="data of train"):
        o2v.fit(SETTINGS, train=ROWS[1:], model_dir=tmp_path / "frame")


def test_trials_need_files(tmp_path):
    from object2vec_tf.tuning.study import tune

    with pytest.raises(
        o2v.UserError, match=r"^train: expected files, which every tria"
    ):
        tune({}, train=pd.DataFrame(ROWS), model_dir=tmp_path / "study")
