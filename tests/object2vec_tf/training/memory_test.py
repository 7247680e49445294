"""Tests of object2vec_tf/training/memory.py; sizes are computed by hand."""

import warnings

import pytest

import object2vec_tf as o2v
from object2vec_tf.training.memory import check_memory, fits_assembled, system_memory

# Two tables of 1,000,000 x 100 values of 4 bytes: 0.8 GB; with adam's slots 2.4 GB.
SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 1,
    "enc0_vocab_size": 1_000_000,
    "enc_dim": 100,
}
GB = 10**9


def check(total, available, **more):
    check_memory(o2v.Hyperparameters(**SETTINGS | more), (total, available))


def test_tables_that_cannot_fit_are_an_error():
    with pytest.raises(o2v.UserError) as raised:
        check(GB * 79 // 100, GB)
    message = str(raised.value)
    assert message.startswith("enc0_vocab_size: expected token embeddings of at most ")
    assert "got 0.8 GB (1,000,000 x 100 values" in message
    assert "Use a smaller vocabulary or enc_dim, or a larger machine, or m" in message


def test_a_process_needs_memory_for_its_own_rows_only():
    hyperparameters = o2v.Hyperparameters(**SETTINGS)
    check_memory(hyperparameters, (GB // 2, 2 * GB), share=0.5)
    with pytest.raises(o2v.UserError, match=r"got 0\.3 GB \(333,334 x 100 values"):
        check_memory(hyperparameters, (GB // 5, GB), share=1 / 3)


def test_vectors_of_ngrams_are_counted():
    settings = {
        "enc0_tokenizer": "whitespace",
        "enc0_vocab_file": "words.json",
        "enc0_subword_ngrams": "3..6",
        "enc0_subword_buckets": 2_000_000,
        "tied_token_embedding_weight": True,
        "enc1_vocab_file": "words.json",
    }
    with pytest.raises(o2v.UserError) as raised:
        check(GB * 11 // 10, GB, **settings)
    message = str(raised.value)
    assert message.startswith("enc0_subword_buckets: expected token embeddings of at")
    assert "got 1.2 GB (3,000,000 x 100 values" in message
    assert "a smaller vocabulary, fewer enc0_subword_buckets or enc_dim" in message


def test_tables_that_hardly_fit_are_a_warning():
    with pytest.warns(UserWarning, match=r"take 2\.4 GB, and 2\.3 GB of memory are av"):
        check(10 * GB, GB * 23 // 10)


def test_tables_that_fit_are_accepted():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(10 * GB, GB * 25 // 10)
        check(10 * GB, GB * 9 // 10, optimizer="sgd")
        check(10 * GB, GB * 13 // 10, tied_token_embedding_weight=True)


def test_the_memory_of_the_system_is_known():
    total, available = system_memory()
    assert 10**8 < available <= total


def test_a_sharded_run_needs_its_shard_and_the_whole_tables_twice():
    # 1,000 x 250 values of adam: 1 MB, and two slots, for a quarter of the rows.
    settings = {
        **{"enc0_vocab_size": 1000, "enc_dim": 250, "optimizer": "adam"},
        "tied_token_embedding_weight": True,
    }
    hyperparameters = o2v.Hyperparameters(**SETTINGS | settings)
    needed = 3 * 250_000 + 2 * 1_000_000

    assert fits_assembled(hyperparameters, 0.25, (10**9, needed))
    assert not fits_assembled(hyperparameters, 0.25, (10**9, needed - 1))
