"""Tests of object2vec_tf/text/tokenizer.py; expected values are from plain Python."""

import io
import json
import random
import unicodedata

import pytest
import sentencepiece
import tensorflow as tf

from object2vec_tf.errors import DataError
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer


def make_tokenizer(kind, words, **options):
    return Tokenizer(Tokenization(kind, **options), json.dumps(words).encode())


def texts_to_ids(tokenizer, *texts):
    ids, unknown = tokenizer.of_texts(tf.constant(texts, tf.string))
    return ids.to_list(), unknown.numpy().tolist()


def lists_to_ids(tokenizer, *lists):
    items = tf.ragged.constant(lists, dtype=tf.string, ragged_rank=1)
    ids, unknown = tokenizer.of_lists(items)
    return ids.to_list(), unknown.numpy().tolist()


def test_whitespace_drops_and_counts_unknown_words():
    tokenizer = make_tokenizer("whitespace", {"the": 0, "cat,": 3, "naïve": 7})
    assert (tokenizer.vocab_size, tokenizer.unknown_id) == (8, None)
    assert texts_to_ids(tokenizer, "the  cat,\tThe naïve\n", "", "dog") == (
        [[0, 3, 7], [], []],
        [1, 0, 1],
    )


@pytest.mark.parametrize("unknown", ["[UNK]", "<unk>", "<UNK>"])
def test_unknown_words_get_the_id_of_the_unknown_token(unknown):
    tokenizer = make_tokenizer("whitespace", {"the": 0, unknown: 2})
    assert texts_to_ids(tokenizer, "the dog the", "") == ([[0, 2, 0], []], [1, 0])


def test_unicode_script_splits_at_punctuation_and_scripts():
    words = {word: i for i, word in enumerate(["don", "'", "t", "stop", "!!", "日本"])}
    tokenizer = make_tokenizer("unicode_script", words)
    assert texts_to_ids(tokenizer, "don't stop!!日本")[0] == [[0, 1, 2, 3, 4, 5]]


def test_every_alphabet_is_lowercased():
    tokenizer = make_tokenizer(
        "whitespace", {"école": 0, "ñu": 1, "δ": 2}, lowercase=True
    )
    assert texts_to_ids(tokenizer, "École ÑU Δ") == ([[0, 1, 2]], [0])


@pytest.mark.parametrize("form", ["NFC", "NFKC", "NFD", "NFKD"])
def test_unicode_normalization_equals_unicodedata(form):
    text = "ﬁ é e\u0301 ① Å"
    words = unicodedata.normalize(form, text).split()
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(words))}
    tokenizer = make_tokenizer("whitespace", vocabulary, unicode_normalization=form)
    assert texts_to_ids(tokenizer, text) == (
        [[vocabulary[word] for word in words]],
        [0],
    )


@pytest.mark.parametrize("form", ["none", "NFKC"])
def test_control_characters_and_invalid_bytes_separate_words(form):
    tokenizer = make_tokenizer(
        "whitespace", {"a": 0, "b": 1}, unicode_normalization=form
    )
    assert texts_to_ids(tokenizer, b"a\0b\x1bb", b"\xffa\xc3") == (
        [[0, 1, 1], [0]],
        [0, 0],
    )
    spaces = "a".join(chr(i) for i in range(0x110000 - 1) if chr(i).isspace())
    assert texts_to_ids(tokenizer, f"{spaces}b") == (
        [[0] * spaces.count("a") + [1]],
        [0],
    )


def test_a_long_text_and_a_long_word():
    tokenizer = make_tokenizer("whitespace", {"a": 0, "b" * 100_000: 1})
    assert texts_to_ids(tokenizer, "a " * 50_000)[0] == [[0] * 50_000]
    assert texts_to_ids(tokenizer, "b" * 100_000, "c" * 100_000) == ([[1], []], [0, 1])


@pytest.mark.parametrize("seed", range(5))
def test_random_texts_are_split_as_by_python(seed):
    generator = random.Random(seed)
    letters = "ab🎉é日 \t\n\r\u3000.'"
    words = {}
    texts = ["".join(generator.choices(letters, k=n)) for n in range(60)]
    for text in texts:
        for word in text.split():
            if generator.random() < 0.7:
                words.setdefault(word, len(words))
    tokenizer = make_tokenizer("whitespace", words)
    expected = [[words[word] for word in t.split() if word in words] for t in texts]
    unknown = [sum(word not in words for word in t.split()) for t in texts]
    assert texts_to_ids(tokenizer, *texts) == (expected, unknown)


@pytest.mark.parametrize("kind", ["whitespace", "unicode_script"])
def test_an_item_of_a_list_is_one_token(kind):
    tokenizer = make_tokenizer(kind, {"red wine": 0, "cheese!": 1}, lowercase=True)
    assert lists_to_ids(
        tokenizer, ["Red Wine", "", "bread"], [], ["cheese!", "red wine"]
    ) == (
        [[0], [], [1, 0]],
        [1, 0, 0],
    )


def test_unknown_words_are_hashed_to_buckets():
    tokenizer = make_tokenizer("whitespace", {"[UNK]": 0, "a": 4}, num_oov_buckets=3)
    assert tokenizer.vocab_size == 8
    words = ["b", "c", "é", "🎉"]
    # Fingerprint64 modulo 3, by TensorFlow's own table with buckets.
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.KeyValueTensorInitializer(
            ["0", "1", "2", "3", "a"], list(range(5)), tf.string, tf.int64
        ),
        3,
    )
    expected = table.lookup(tf.constant(words)).numpy().tolist()
    assert texts_to_ids(tokenizer, f"a {' '.join(words)}", "a") == (
        [[4, *expected], [4]],
        [4, 0],
    )
    assert lists_to_ids(tokenizer, [*words, "a"], []) == ([[*expected, 4], []], [4, 0])
    assert len(set(expected)) > 1


PIECES = "[UNK]\nun\n##break\n##able\n,\nworld\n##s"


def test_wordpiece_uses_the_longest_pieces():
    tokenizer = Tokenizer(Tokenization("wordpiece", lowercase=True), PIECES.encode())
    assert (tokenizer.vocab_size, tokenizer.unknown_id) == (7, 0)
    got = texts_to_ids(tokenizer, "Unbreakable, worlds", "unbroken", "", "x" * 1000)
    assert got == ([[1, 2, 3, 4, 5, 6], [0], [], [0]], [0, 1, 0, 1])
    assert lists_to_ids(tokenizer, ["worlds", "", "q"], []) == ([[5, 6, 0], []], [1, 0])


def test_wordpiece_needs_ids_without_gaps_and_an_unknown_token():
    with pytest.raises(DataError, match="got no piece with the id 1"):
        make_tokenizer("wordpiece", {"[UNK]": 0, "a": 2})
    with pytest.raises(DataError, match=r"expected one of \[UNK\]"):
        make_tokenizer("wordpiece", {"a": 0})


@pytest.fixture(scope="session")
def sentencepiece_model():
    model = io.BytesIO()
    sentences = ["the cat sat on the mat", "a dog ran over the hill"] * 50
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        vocab_size=22,
        minloglevel=3,
    )
    return model.getvalue()


def test_sentencepiece_equals_its_own_library(sentencepiece_model):
    tokenizer = Tokenizer(Tokenization("sentencepiece"), sentencepiece_model)
    oracle = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model)
    assert (tokenizer.vocab_size, tokenizer.unknown_id) == (
        oracle.vocab_size(),
        oracle.unk_id(),
    )
    texts = ["the cat ran", "", "🎉 over", "a mat a dog"]
    expected = [oracle.encode(text) for text in texts]
    unknown = [row.count(oracle.unk_id()) for row in expected]
    assert unknown[2] > 0
    assert texts_to_ids(tokenizer, *texts) == (expected, unknown)
    joined = oracle.encode("the cat") + oracle.encode("dog")
    assert lists_to_ids(tokenizer, ["the cat", "dog"]) == ([joined], [0])


def test_an_invalid_sentencepiece_model_is_rejected():
    with pytest.raises(DataError, match="vocabulary: expected a sentencepiece model"):
        make_tokenizer("sentencepiece", {"a": 0})
