import keras
import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.errors import UserError
from object2vec_tf.model.token_tables import initial_log_weights
from object2vec_tf.model.warm_start import WarmStart
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 4,
    "enc0_vocab_size": 6,
    "enc_dim": 4,
    "mlp_dim": 4,
    "pooling": "weighted",
}
ROWS = [([1, 2, 1], [3]), ([1], [2]), ([1, 4], [])]


def pairs(settings):
    lines = [{"in0": in0, "in1": in1, "label": 1} for in0, in1 in ROWS]
    return o2v.read_pairs(lines, settings)


def idf(objects, frequencies):
    return [np.log((1 + objects) / (1 + frequency)) + 1 for frequency in frequencies]


def test_weights_start_at_the_inverse_document_frequencies_of_their_side():
    model = o2v.Object2Vec(SETTINGS)
    assert model.token_weights(0).tolist() == [1] * 6

    model.adapt_token_weights(pairs(SETTINGS))

    # Vectors of tokens that no object has are not trained.
    expected = [1, *idf(3, [3, 1]), 1, *idf(3, [1]), 1]
    np.testing.assert_allclose(model.token_weights(0), expected, rtol=1e-6)
    expected = [1, 1, *idf(3, [1, 1]), 1, 1]
    np.testing.assert_allclose(model.token_weights(1), expected, rtol=1e-6)


def test_tied_tables_share_the_weights_of_both_sides():
    settings = SETTINGS | {"tied_token_embedding_weight": True}
    model = o2v.Object2Vec(settings)

    model.adapt_token_weights(pairs(settings))

    expected = idf(6, [0, 3, 2, 1, 1, 0])
    np.testing.assert_allclose(model.token_weights(0), expected, rtol=1e-6)
    np.testing.assert_array_equal(model.token_weights(1), model.token_weights(0))
    assert sum(x.path.endswith("log_weights") for x in model.weights) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (b"[UNK]\na\nb\nc\nd\ne", [1, *idf(6, [3, 2, 1, 1, 0])]),
        (b"a\n[UNK]\nb\nc\nd\ne", idf(6, [0, 3, 2, 1, 1, 0])),
    ],
)
def test_an_unknown_token_that_no_object_has_starts_with_the_lowest_weight(
    words, expected
):
    settings = SETTINGS | {"tied_token_embedding_weight": True}
    tokenizer = Tokenizer(Tokenization("whitespace"), words)
    start = initial_log_weights(
        o2v.Hyperparameters(**settings), pairs(settings), (tokenizer, tokenizer)
    )
    np.testing.assert_allclose(start[0][:, 0], np.log(expected), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "frequencies"),
    [
        ({"enc0_pretrained_embedding_file": "vectors"}, [0, 3, 1, 0, 1, 0]),
        # The last one is that of all words outside the vocabulary.
        ({"enc0_subword_ngrams": "3..4"}, [0, 3, 1, 0, 1, 0, 0]),
    ],
)
def test_tokens_whose_vectors_say_something_start_with_the_highest_weight(
    changes, frequencies
):
    words = {"enc0_tokenizer": "whitespace", "enc0_vocab_file": "words"}
    hyperparameters = o2v.Hyperparameters(**SETTINGS | words | changes)
    start = initial_log_weights(hyperparameters, pairs(SETTINGS), (None, None))
    expected = np.log(idf(3, frequencies))
    np.testing.assert_allclose(start[0][:, 0], expected, rtol=1e-6)


def test_a_model_without_token_weights_says_so():
    settings = SETTINGS | {"pooling": "mean"}
    model = o2v.Object2Vec(settings)
    for use in (
        lambda: model.adapt_token_weights(pairs(settings)),
        lambda: model.token_weights(0),
    ):
        with pytest.raises(UserError, match="pooling: expected weighted"):
            use()


def test_weights_learn_while_token_vectors_are_frozen(tmp_path):
    model = o2v.Object2Vec(SETTINGS | {"optimizer": "sgd", "learning_rate": 1.0})
    model.enc0.get_layer("token_embedding0").trainable = False
    data = pairs(SETTINGS)
    model.adapt_token_weights(data)
    vectors = model.enc0.get_layer("token_embedding0").embeddings.numpy()
    before = model.token_weights(0)
    model.compile()
    for batch in data.dataset():
        model.train_step(batch)

    changed = model.token_weights(0) != before
    assert changed.tolist() == [False, True, True, False, True, False]
    np.testing.assert_array_equal(
        model.enc0.get_layer("token_embedding0").embeddings, vectors
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    ids = [[1, 2], [], [4, 1]]
    np.testing.assert_array_equal(loaded.enc0(ids), model.enc0(ids))


def test_a_warm_start_takes_weights_by_row():
    earlier, new = (
        o2v.Object2Vec(SETTINGS | {"enc0_vocab_size": size}) for size in (3, 6)
    )
    earlier.set_log_weights({0: np.log([[2.0], [3], [4]])})
    new.set_log_weights({0: np.full((6, 1), np.log(7))})

    start = WarmStart(new.hyperparameters, (None, None), earlier)
    start.apply(new)

    np.testing.assert_allclose(new.token_weights(0), [2, 3, 4, 7, 7, 7], rtol=1e-6)
    plain = o2v.Object2Vec(SETTINGS | {"pooling": "mean"})
    fresh = WarmStart(new.hyperparameters, (None, None), plain).fresh
    assert fresh == ["enc0/token_weights", "enc1/token_weights"]


@pytest.mark.long
def test_a_run_starts_with_idf_and_exports_the_same_embeddings(tmp_path):
    settings = SETTINGS | {"epochs": 1, "learning_rate": 1e-6, "optimizer": "sgd"}
    lines = [{"in0": in0, "in1": in1, "label": 1} for in0, in1 in ROWS]
    run = o2v.fit(settings, train=lines, model_dir=tmp_path / "run", verbose=False)

    expected = [1, *idf(3, [3, 1]), 1, *idf(3, [1]), 1]
    np.testing.assert_allclose(run.model.token_weights(0), expected, rtol=1e-4)
    exported = tf.saved_model.load(str(run.model_dir / "export/1"))
    embed = exported.signatures["embed_enc0"]
    ids = np.array([[1, 2, 1, -1], [-1, 4, -1, 1], [-1, -1, -1, -1]])
    embeddings = embed(in0=ids)["embeddings"].numpy()
    np.testing.assert_array_equal(embeddings, run.model.embed(ids))
    table = run.model.enc0.get_layer("token_embedding0").embeddings.numpy()
    weights = run.model.token_weights(0)[[1, 2, 1], np.newaxis]
    mean = (weights * table[[1, 2, 1]]).sum(0) / weights.sum()
    np.testing.assert_allclose(embeddings[0], mean, atol=1e-6)
