"""A small finished run whose items are searched."""

import json

import pytest

import object2vec_tf as o2v


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """The directory of a run of two classes; in0 and in1 have ids below 30."""
    folder = tmp_path_factory.mktemp("run")
    rows = [
        {"in0": [i % 30, i % 7], "in1": [i * 7 % 30], "label": i % 2} for i in range(64)
    ]
    settings = {
        "enc0_network": "pooled_embedding",
        "enc0_vocab_size": 30,
        "enc0_max_seq_len": 3,
        "enc_dim": 8,
        "mlp_dim": 8,
        "epochs": 1,
    }
    train = folder / "train.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    o2v.fit(settings, train=train, model_dir=folder / "run", verbose=False)
    return folder / "run"
