"""Text to token ids, by the same TensorFlow ops in training and in serving."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from object2vec_tf.devices import on_host
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.ragged.token_ids import SubwordIds
from object2vec_tf.text.subwords import with_ngrams
from object2vec_tf.text.vocabularies import (
    UNKNOWN_TOKENS,
    IntegerVocabulary,
    parse_vocabulary,
    unknown_id,
)

# Wordpiece treats longer words, in bytes, as unknown.
_MAX_WORD_BYTES = 100
_SUFFIX_INDICATOR = "##"
# Characters with Unicode's White_Space property, and control characters; without ASCII.
_NON_ASCII_SPACES = (
    r"[\x{7f}-\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
)


@dataclasses.dataclass(frozen=True)
class Tokenization:
    """How text is split into tokens.

    Attributes:
        tokenizer: whitespace, unicode_script, wordpiece, sentencepiece, or id, for
            which a text is one token.
        lowercase: Whether text is converted to lowercase first.
        unicode_normalization: none, NFC, NFKC, NFD or NFKD; applied before lowercasing.
        num_oov_buckets: Number of hash buckets for out-of-vocabulary words, for
            whitespace, unicode_script and id. Their ids follow those of the
            vocabulary; the hash is FarmHash's Fingerprint64.
        subwords: The ids of the n-grams of out-of-vocabulary words, for the same
            tokenizers; None without them.
    """

    tokenizer: str
    lowercase: bool = False
    unicode_normalization: str = "none"
    num_oov_buckets: int = 0
    subwords: SubwordIds | None = None

    @property
    def is_id(self) -> bool:
        """Whether every text is one token, an id of any kind."""
        return self.tokenizer == "id"

    @on_host()
    def normalized(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns normalized strings of the same shape; ids stay as they are.

        Control characters and invalid UTF-8 bytes become spaces, because the
        normalize_utf8 of tensorflow-text 2.21 drops the rest of a string after a NUL.
        All other kinds of whitespace become spaces too, because WhitespaceTokenizer
        leaves all but the last byte of a space of several bytes, such as U+3000, at the
        end of the word.

        Args:
            texts: Strings of any shape.
        """
        if self.is_id:
            return texts
        texts = tf.strings.unicode_transcode(
            texts,
            "UTF-8",
            "UTF-8",
            replacement_char=ord(" "),
            replace_control_characters=True,
        )
        texts = tf.strings.regex_replace(texts, _NON_ASCII_SPACES, " ")
        if self.unicode_normalization != "none":
            texts = load_text_ops().normalize_utf8(texts, self.unicode_normalization)
        return tf.strings.lower(texts, "utf-8") if self.lowercase else texts

    @on_host()
    def words(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns the words of each text, before the vocabulary lookup.

        Args:
            texts: Strings ``[batch]``.

        Returns:
            RaggedTensor of strings ``[batch, (words)]``. Text is split at whitespace;
            for unicode_script and wordpiece also at changes of script and at
            punctuation. An id is not split; an empty one has no words.
        """
        if self.is_id:
            is_given = tf.not_equal(texts, "")
            return tf.RaggedTensor.from_row_lengths(
                tf.boolean_mask(texts, is_given), tf.cast(is_given, tf.int64)
            )
        ops = load_text_ops()
        if self.tokenizer == "whitespace":
            splitter = ops.WhitespaceTokenizer()
        else:
            splitter = ops.UnicodeScriptTokenizer()
        return splitter.tokenize(self.normalized(texts))


class Tokenizer(tf.Module):
    """Converts text to token ids, on the CPU.

    Args:
        tokenization: How text is split into tokens.
        data: The content of the vocabulary file: JSON ``{"word": id}``, or one word per
            line; for sentencepiece, a model.
        file: The file's name, for messages.

    Attributes:
        vocab_size: All ids of words, including those of hash buckets, are below it.
        unknown_id: The id of ``[UNK]`` or ``<unk>``, which out-of-vocabulary words get.
            None if the vocabulary has no such word: without buckets, out-of-vocabulary
            words are then dropped. With subwords, only those without n-grams are.
        integers: The ids of those words that are integers.
        examples: A few texts to try the tokenizer with.

    Raises:
        DataError: The file does not fit the tokenizer.

    Example:
        >>> import object2vec_tf as o2v
        >>> import tensorflow as tf
        >>> from object2vec_tf.text.tokenizer import Tokenization
        >>> vocabulary = b'{"[UNK]": 0, "the": 1, "cat": 2}'
        >>> tokenizer = o2v.Tokenizer(
        ...     Tokenization("whitespace", lowercase=True), vocabulary
        ... )
        >>> ids, unknown = tokenizer.of_texts(tf.constant(["The cat", "the dog ran"]))
        >>> ids.to_list()
        [[1, 2], [1, 0, 0]]
        >>> unknown.numpy().tolist()
        [0, 2]
    """

    @on_host()
    def __init__(
        self, tokenization: Tokenization, data: bytes, file: str = "vocabulary"
    ) -> None:
        super().__init__(name="tokenizer")
        self.tokenization = tokenization
        self.data = data
        self.unknown_id: int | None
        self.file = file
        self.integers = IntegerVocabulary(data, file)
        self.examples = ["a", "the other one", ""]
        if tokenization.tokenizer == "sentencepiece":
            self._pieces = self._sentencepiece()
            self.vocab_size = int(self._pieces.vocab_size())
            self.unknown_id = int(self._pieces.string_to_id("<unk>"))
            return
        words = parse_vocabulary(data, file)
        self._first_bucket = max(words.values()) + 1
        self.vocab_size = self._first_bucket + tokenization.num_oov_buckets
        self.unknown_id = unknown_id(words)
        first_words = list(words)[:5]
        separator = "" if tokenization.is_id else " "
        self.examples = [first_words[-1], separator.join(first_words), ""]
        if tokenization.tokenizer == "wordpiece":
            self._pieces = self._wordpiece(words)
        else:
            self._table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    list(words), list(words.values()), tf.string, tf.int64
                ),
                -1,
            )

    @functools.cached_property
    def fingerprint(self) -> str:
        """Digest of the vocabulary."""
        return hashlib.blake2b(self.data, digest_size=8).hexdigest()

    @on_host()
    def vocabulary(self) -> dict[str, int]:
        """Returns the id of each word or piece."""
        if self.tokenization.tokenizer != "sentencepiece":
            return parse_vocabulary(self.data, self.file)
        pieces = self._pieces.id_to_string(tf.range(self.vocab_size)).numpy()
        return {piece.decode("utf-8"): id_ for id_, piece in enumerate(pieces)}

    @on_host()
    def of_texts(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Returns the token ids of texts, and the number of unknown tokens.

        Args:
            texts: Strings ``[batch]``.

        Returns:
            The ids, RaggedTensor int64 ``[batch, (time)]``, and the number of unknown
            tokens in each text, int64 ``[batch]``. With subwords, an unknown token is
            the run of ids of its n-grams; see `object2vec_tf.ragged.token_ids`.
        """
        if self.tokenization.tokenizer in ("wordpiece", "sentencepiece"):
            texts = self.tokenization.normalized(texts)
            return self._with_unknown_count(self._pieces.tokenize(texts))
        return self._lookup(self.tokenization.words(texts))

    @on_host()
    def of_lists(self, items: tf.RaggedTensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Returns the token ids of lists of strings, such as tags or baskets.

        An item is one token even if it contains spaces; wordpiece and sentencepiece
        split it into pieces. Empty strings are dropped.

        Args:
            items: RaggedTensor of strings ``[batch, (items)]``.

        Returns:
            The same as `of_texts`.
        """
        items = tf.ragged.boolean_mask(items, items != "")
        items = items.with_values(self.tokenization.normalized(items.values))
        if self.tokenization.tokenizer in ("wordpiece", "sentencepiece"):
            pieces = self._pieces.tokenize(items.values)
            splits = tf.gather(pieces.row_splits, items.row_splits)
            return self._with_unknown_count(
                tf.RaggedTensor.from_row_splits(pieces.values, splits, validate=False)
            )
        return self._lookup(items)

    @property
    def keeps_unknown(self) -> bool:
        """Whether unknown tokens have ids; otherwise they are dropped."""
        has_ids = self.tokenization.num_oov_buckets > 0 or self.tokenization.subwords
        return self.unknown_id is not None or bool(has_ids)

    @on_host()
    def is_unknown(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns which token ids are those of unknown tokens, bool of any shape.

        Tokens with n-grams are not among them: their vectors distinguish them.
        """
        if self.tokenization.num_oov_buckets:
            return ids >= self._first_bucket
        if self.unknown_id is None:
            return tf.zeros_like(ids, tf.bool)
        return tf.equal(ids, self.unknown_id)

    @on_host()
    def buckets(self, words: tf.Tensor) -> tf.Tensor:
        """Returns the ids of the buckets of out-of-vocabulary words, int64.

        Args:
            words: Strings of any shape.
        """
        buckets = self.tokenization.num_oov_buckets
        return self._first_bucket + tf.strings.to_hash_bucket_fast(words, buckets)

    def _lookup(self, words: tf.RaggedTensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        ids = words.with_values(self._table.lookup(words.values))
        unknown = ids.values < 0
        count = tf.reduce_sum(ids.with_values(tf.cast(unknown, tf.int64)), axis=1)
        if self.tokenization.num_oov_buckets:
            values = tf.where(unknown, self.buckets(words.values), ids.values)
            return ids.with_values(values), count
        if self.tokenization.subwords is not None:
            return with_ngrams(
                words, ids, self.tokenization.subwords, self.unknown_id
            ), count
        if self.unknown_id is None:
            return tf.ragged.boolean_mask(ids, ids.with_values(~unknown)), count
        known = tf.where(unknown, tf.constant(self.unknown_id, tf.int64), ids.values)
        return ids.with_values(known), count

    def _with_unknown_count(
        self, pieces: tf.RaggedTensor
    ) -> tuple[tf.RaggedTensor, tf.Tensor]:
        pieces = pieces.with_values(tf.cast(pieces.values, tf.int64))
        unknown = tf.cast(pieces.values == self.unknown_id, tf.int64)
        return pieces, tf.reduce_sum(pieces.with_values(unknown), axis=1)

    def _wordpiece(self, words: dict[str, int]) -> Any:
        pieces = sorted(words, key=words.__getitem__)
        if self.vocab_size != len(pieces):
            missing = next(i for i, word in enumerate(pieces) if words[word] != i)
            raise DataError(
                f"{self.file}: expected ids without gaps for wordpiece, got no piece "
                f"with the id {missing}. Number the pieces from 0."
            )
        unknown = next((word for word in UNKNOWN_TOKENS if word in words), None)
        if unknown is None:
            raise DataError(
                f"{self.file}: expected one of {', '.join(UNKNOWN_TOKENS)} for words "
                "that wordpiece cannot split into pieces, got none. Add one."
            )
        return load_text_ops().FastWordpieceTokenizer(
            pieces,
            suffix_indicator=_SUFFIX_INDICATOR,
            max_bytes_per_word=_MAX_WORD_BYTES,
            token_out_type=tf.int64,
            unknown_token=unknown,
        )

    def _sentencepiece(self) -> Any:
        try:
            pieces = load_text_ops().SentencepieceTokenizer(
                self.data, out_type=tf.int32
            )
            pieces.vocab_size()
        except (tf.errors.OpError, TypeError, ValueError) as error:
            raise not_sentencepiece(self.file) from error
        return pieces


def vocabulary_size(tokenizer: str, data: bytes, file: str) -> int:
    """Returns `Tokenizer.vocab_size` without hash buckets, and without TensorFlow ops.

    Args:
        tokenizer: The name of the tokenizer.
        data: The content of the vocabulary file.
        file: Its name, for messages.

    Raises:
        DataError: The file does not fit the tokenizer.
    """
    if tokenizer != "sentencepiece":
        return max(parse_vocabulary(data, file).values()) + 1
    try:
        # The pieces are field 1 of the model, as the values are of a BytesList.
        pieces = len(tf.train.BytesList.FromString(data).value)
    except DecodeError as error:
        raise not_sentencepiece(file) from error
    if not pieces:
        raise not_sentencepiece(file)
    return pieces


def not_sentencepiece(file: str) -> DataError:
    """Returns the error for a file that is not a sentencepiece model."""
    return DataError(
        f"{file}: expected a sentencepiece model, got another file. Give the "
        "NAME.model file that sentencepiece's trainer wrote."
    )


def load_text_ops() -> Any:
    """Returns tensorflow_text, whose import registers its ops with TensorFlow.

    Raises:
        UserError: tensorflow_text cannot be imported.
    """
    try:
        import tensorflow_text
    except ImportError as error:
        raise UserError(
            f"text needs tensorflow-text, which cannot be imported: {error}. Install "
            f"the version that matches TensorFlow {tf.__version__}: "
            f"pip install 'tensorflow-text=={tf.__version__.rpartition('.')[0]}.*'"
        ) from error
    return tensorflow_text
