import itertools
import json

import numpy as np
import pandas as pd
import pytest

import object2vec_tf as o2v
from object2vec_tf.text.tokenizer import Tokenization
from object2vec_tf.training.retrieval_pool import read_retrieval_pool

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 5,
    "enc0_max_seq_len": 2,
    "enc1_network": "pooled_embedding",
    "enc1_tokenizer": "whitespace",
    "enc1_vocab_file": "vocab.json",
    "enc1_vocab_size": 3,
    "enc1_max_seq_len": 2,
}


def test_items_are_texts_or_token_ids_truncated_and_distinct(tmp_path):
    tokenizer = o2v.Tokenizer(
        Tokenization("whitespace"), b'{"[UNK]": 0, "cat": 1, "dog": 2}'
    )
    path = tmp_path / "pool.jsonl"
    rows = ["cat dog", [2], "dog", "bird", ["cat", "dog", "cat"], "cat dog bird"]
    path.write_text("".join(json.dumps({"in1": row}) + "\n" for row in rows))
    settings = o2v.Hyperparameters(**SETTINGS)
    pool = read_retrieval_pool(path, settings, (None, tokenizer))
    splits = pool.items.row_splits.tolist()
    items = [pool.items.values[i:j].tolist() for i, j in itertools.pairwise(splits)]
    assert items == [[1, 2], [2], [0]]
    # The objects of a table or list are the same; other columns are ignored.
    objects = [{"in1": row, "in0": [1], "title": "x"} for row in rows]
    frame = pd.DataFrame({"in1": ["cat dog", "dog", "bird", "cat dog"]})
    for table in (objects, frame):
        read = read_retrieval_pool(table, settings, (None, tokenizer))
        assert read.items.values.tolist() == [1, 2, 2, 0]
        assert read.items.row_splits.tolist() == splits
    with pytest.raises(o2v.DataError, match=r"retrieval_pool: list: row 2: in1: exp"):
        read_retrieval_pool([*objects[:1], {"in1": None}], settings, (None, tokenizer))
    with pytest.raises(o2v.DataError, match=r"^DataFrame: expected the column in1, "):
        read_retrieval_pool(frame.rename(columns=str.upper), settings, (None, None))
    path.write_text('{"in1": "dog"}\n')
    other = read_retrieval_pool(path, settings, (None, tokenizer))
    assert other.fingerprint != pool.fingerprint
    assert read_retrieval_pool(None, settings, (None, tokenizer)) is None


def test_ids_of_any_kind_are_looked_up(tmp_path):
    tokenizer = o2v.Tokenizer(
        Tokenization("id"), b'{"[UNK]": 0, "9007199254740993": 1, "sku-7": 2}'
    )
    path = tmp_path / "pool.jsonl"
    path.write_text('{"in1": [9007199254740993]}\n{"in1": ["sku-7"]}\n{"in1": [1]}\n')
    settings = o2v.Hyperparameters(**SETTINGS | {"enc1_tokenizer": "id"})
    pool = read_retrieval_pool(path, settings, (None, tokenizer))
    assert pool.items.values.tolist() == [1, 2, 0]
    # The rows of the table are not looked up once more when they are embedded.
    settings = o2v.Hyperparameters(**SETTINGS | {"enc1_tokenizer": "id", "enc_dim": 4})
    model = o2v.Object2Vec(settings, tokenizers=(None, tokenizer))
    (table,) = model.enc1.weights
    np.testing.assert_allclose(
        model.embed_tokens(pool.items, 1), table.numpy()[[1, 2, 0]], rtol=1e-6
    )
