"""Tests of models with subwords; expected values are from numpy and plain Python."""

import json
import random

import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from export.onnx_model import export_onnx
from export.signatures import Signatures
from object2vec_tf.model.precision import computing_in
from object2vec_tf.model.warm_start import WarmStart
from object2vec_tf.ragged.token_ids import SubwordIds
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer
from tests.fasttext_ngrams import buckets_of

WORDS = ["[UNK]", "the", "über", "日本", "cat", "cats", "👍"]
SUBWORDS = SubwordIds(vocab_size=8, shortest=3, longest=5, buckets=40)
SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 3,
    "enc0_vocab_size": 8,
    "enc0_tokenizer": "whitespace",
    "enc0_vocab_file": "words",
    "enc0_subword_ngrams": "3..5",
    "enc0_subword_buckets": 40,
    "enc_dim": 4,
    "mlp_layers": 0,
    "comparator_list": "hadamard",
    "tied_token_embedding_weight": True,
    "mini_batch_size": 4,
}


def tokenizer(words=WORDS, subwords=SUBWORDS):
    data = json.dumps({word: id_ for id_, word in enumerate(words)}).encode()
    return Tokenizer(Tokenization("whitespace", subwords=subwords), data)


def make_model(**changes):
    words = tokenizer()
    return o2v.Object2Vec({**SETTINGS, **changes}, seed=3, tokenizers=(words, words))


@pytest.fixture(scope="module")
def model():
    return make_model()


def unseen_words(count):
    generator = random.Random(5)
    letters = "abcèüßдж日本語あ한😀👍🏽\u0301-7"
    return [
        "".join(generator.choices(letters, k=generator.randint(1, 9)))
        for _ in range(count)
    ]


def expected_embeddings(model, texts, weights=(1,) * 9):
    """The means of the first three words of each text, weighted by their ids."""
    tokens = model.enc0.get_layer("token_embedding")
    own, ngrams = tokens.embeddings.numpy(), tokens.ngrams.numpy()
    embeddings = np.zeros((len(texts), 4))
    for row, text in enumerate(texts):
        total = 0
        for word in text.split()[:3]:
            parts = [*ngrams[buckets_of(word.encode(), SUBWORDS)]]
            id_ = 8
            if word in WORDS:
                id_ = WORDS.index(word)
                parts.append(own[id_])
            embeddings[row] += weights[id_] * np.mean(parts, axis=0)
            total += weights[id_]
        embeddings[row] /= total or 1
    return embeddings


TEXTS = ["the cat", "", "the the the the zebra", "naïve 猫 über 👍", *unseen_words(100)]


def test_texts_are_embedded_by_words_and_n_grams_and_cut_by_words(model):
    found = model.embed(TEXTS, encoder=1)
    np.testing.assert_allclose(found, expected_embeddings(model, TEXTS), atol=1e-6)


def test_words_outside_the_vocabulary_share_a_weight():
    model = make_model(pooling="weighted")
    rows = [{"in0": "the zebra", "in1": "the", "label": 1}]
    model.adapt_token_weights(
        o2v.read_pairs(rows, model.hyperparameters, tokenizers=model.tokenizers)
    )
    # Two objects have "the"; no object has other words of the vocabulary.
    idf = np.log(3 / np.array([1, 3, 1, 1, 1, 1, 1, 1, 1])) + 1
    idf[0] = 1  # [UNK]
    np.testing.assert_allclose(model.token_weights(0), idf, rtol=1e-6)
    weights = np.arange(1.0, 10)
    model.set_log_weights({0: np.log(weights)[:, np.newaxis]})
    ids, _ = model.tokenizers[0].of_texts(tf.constant(TEXTS))
    found = model.enc0(ids)
    np.testing.assert_allclose(
        found, expected_embeddings(model, TEXTS, weights), atol=1e-6
    )


@pytest.mark.long
def test_exported_signatures_equal_the_model_bit_by_bit(model):
    signatures = Signatures(model).by_name
    expected = model.embed(TEXTS, encoder=0)
    texts = tf.constant(TEXTS)
    tokenized = signatures["tokenize_in0"](texts)
    found = signatures["embed_enc0"](tokenized["ids"])["embeddings"].numpy()
    np.testing.assert_array_equal(found, expected)
    counts = {name: tokenized[name].numpy()[:5].tolist() for name in tokenized}
    assert counts["tokens"] == [2, 0, 5, 4, 1]
    assert counts["unknown"] == [0, 0, 1, 2, 1]
    assert counts["known"] == [2, 0, 3, 3, 1]  # after the cut; n-grams distinguish
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 88\), got 88"):
        signatures["embed_enc0"](tf.constant([[1, 88]], tf.int64))


def test_a_saved_model_knows_the_words(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = o2v.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.embed(TEXTS), model.embed(TEXTS))
    with computing_in(loaded, "bfloat16"):
        assert loaded.enc0.get_layer("token_embedding").variable_dtype == "float32"


def test_ids_lists_and_tensors_are_cut_by_words(model):
    ids = [1, 8 + 5, 48 + 7, 48 + 9, -1, 2, 4]
    tokens = model.enc0.get_layer("token_embedding")
    ngrams = tokens.ngrams.numpy()
    (the, uber) = expected_embeddings(model, ["the", "über"])
    expected = (the + ngrams[[5, 7, 9]].mean(axis=0) + uber) / 3
    for found in (
        model.embed([ids])[0],
        model.enc0([ids]).numpy()[0],
        model.enc0(tf.ragged.constant([ids])).numpy()[0],
        model.enc0(tf.constant([ids])).numpy()[0],
    ):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(o2v.DataError, match=r"in0\[0\]\[0\]: .* in \[0, 88\)"):
        model.embed([[88]])


@pytest.mark.parametrize(
    "storage", ["row_sparse", pytest.param("dense", marks=pytest.mark.long)]
)
def test_a_step_of_sgd_updates_words_and_n_grams(storage):
    model = make_model(
        token_embedding_storage_type=storage,
        optimizer="sgd",
        learning_rate=0.5,
        object_key="first_token",
        negative_sampling_rate=1,
    )
    model.compile()
    tokens = model.enc0.get_layer("token_embedding")
    before = tokens.ngrams.numpy(), tokens.embeddings.numpy()
    rows = [
        {"in0": "the zebra", "in1": "cat", "label": 1},
        {"in0": "cats zebra", "in1": "zebra", "label": 0},
    ]
    model.fit(rows, epochs=1, verbose=0)
    used = {
        bucket
        for word in ("the", "zebra", "cat", "cats")
        for bucket in buckets_of(word.encode(), SUBWORDS)
    }
    changed = [
        set(np.flatnonzero((new.numpy() != old).any(axis=1)))
        for new, old in zip((tokens.ngrams, tokens.embeddings), before, strict=True)
    ]
    assert changed == [used, {1, 4, 5}]


def test_a_warm_start_takes_words_by_word_and_n_grams_by_bucket(model):
    words = tokenizer(["[UNK]", "cats", "the", "new"])
    new = o2v.Object2Vec(SETTINGS, seed=8, tokenizers=(words, words))
    fresh = new.enc0.get_layer("token_embedding").embeddings.numpy()
    start = WarmStart(new.hyperparameters, new.tokenizers, model)
    start.apply(new)
    assert start.summary()["enc0_ngrams"] == {"taken": 40, "new": 0}
    new_tokens, tokens = (
        each.enc0.get_layer("token_embedding") for each in (new, model)
    )
    np.testing.assert_array_equal(new_tokens.ngrams, tokens.ngrams)
    rows = new_tokens.embeddings.numpy()
    np.testing.assert_array_equal(rows[:3], tokens.embeddings.numpy()[[0, 5, 1]])
    np.testing.assert_array_equal(rows[3], fresh[3])
    other = {**SETTINGS, "enc0_subword_ngrams": "3..6"}
    start = WarmStart(o2v.Hyperparameters(**other), new.tokenizers, model)
    assert start.summary()["enc0_ngrams"] == {"taken": 0, "new": 40}


def test_what_subwords_need_and_exclude(model, tmp_path):
    with pytest.raises(o2v.UserError, match="tokenizers: expected one of in0 with"):
        o2v.Object2Vec(SETTINGS, tokenizers=(tokenizer(subwords=None), None))
    with pytest.raises(o2v.UserError, match="enc0_subword_ngrams: expected none"):
        export_onnx(model, tmp_path)
    assert not list(tmp_path.iterdir())
