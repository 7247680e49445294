"""Text to token ids, by the same TensorFlow ops in training and in what is served."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from typing import Any

import tensorflow as tf

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.text.vocabularies import (
    UNKNOWN_TOKENS,
    parse_vocabulary,
    unknown_id,
)

# A word longer than this, in bytes, is unknown to wordpiece.
_LONGEST_WORD = 100
_CONTINUES = "##"
# Unicode's White_Space property but for ASCII, and what else controls devices.
_OTHER_SPACES = (
    r"[\x{7f}-\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
)


@dataclasses.dataclass(frozen=True)
class Tokenization:
    """How text becomes tokens.

    Attributes:
        tokenizer: whitespace, unicode_script, wordpiece or sentencepiece.
        lowercase: Whether letters are made small ones first.
        unicode_normalization: none, NFC, NFKC, NFD or NFKD, applied before that.
        num_oov_buckets: whitespace, unicode_script: words that the vocabulary lacks
            share so many ids behind its own, by their hash (FarmHash's Fingerprint64).
    """

    tokenizer: str
    lowercase: bool = False
    unicode_normalization: str = "none"
    num_oov_buckets: int = 0

    def normalized(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns strings in one form.

        Control characters, and bytes that are not UTF-8, become spaces: behind a NUL,
        tensorflow-text 2.21's normalize_utf8 would drop the rest of the string. So does
        every other kind of space: of one that takes several bytes, such as U+3000,
        WhitespaceTokenizer would leave all but the last at the word's end.
        """
        texts = tf.strings.unicode_transcode(
            texts,
            "UTF-8",
            "UTF-8",
            replacement_char=ord(" "),
            replace_control_characters=True,
        )
        texts = tf.strings.regex_replace(texts, _OTHER_SPACES, " ")
        if self.unicode_normalization != "none":
            texts = load_text_ops().normalize_utf8(texts, self.unicode_normalization)
        return tf.strings.lower(texts, "utf-8") if self.lowercase else texts

    def words(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns the words of each text, before a vocabulary is asked.

        Args:
            texts: Strings ``[batch]``.

        Returns:
            RaggedTensor of strings ``[batch, (words)]``: parted at whitespace, or
            (unicode_script, wordpiece) at changes of script and at punctuation too.
        """
        ops = load_text_ops()
        whitespace = self.tokenizer == "whitespace"
        cut = ops.WhitespaceTokenizer() if whitespace else ops.UnicodeScriptTokenizer()
        return cut.tokenize(self.normalized(texts))


class Tokenizer(tf.Module):
    """Turns text into the ids of its tokens.

    Args:
        tokenization: How text becomes tokens.
        data: What the vocabulary's file holds: JSON ``{"word": id}`` or a word a line;
            for sentencepiece, a model.
        file: The file's name, for messages.

    Attributes:
        vocab_size: All ids are below it, those of buckets among them.
        unknown_id: The id of words that the vocabulary lacks; None where they are
            dropped, because the vocabulary has no ``[UNK]`` or ``<unk>``.
        examples: Some texts, to try what is made of them.

    Raises:
        DataError: The file does not fit the tokenizer.
    """

    def __init__(
        self, tokenization: Tokenization, data: bytes, file: str = "vocabulary"
    ) -> None:
        super().__init__(name="tokenizer")
        self.tokenization = tokenization
        self.data = data
        self.unknown_id: int | None
        self.file = file
        self.examples = ["a", "the other one", ""]
        kind = tokenization.tokenizer
        if kind == "sentencepiece":
            self._pieces = self._sentencepiece()
            self.vocab_size = int(self._pieces.vocab_size())
            self.unknown_id = int(self._pieces.string_to_id("<unk>"))
            return
        words = parse_vocabulary(data, file)
        self._first_bucket = max(words.values()) + 1
        self.vocab_size = self._first_bucket + tokenization.num_oov_buckets
        self.unknown_id = unknown_id(words)
        some = list(words)[:5]
        self.examples = [some[-1], " ".join(some), ""]
        if kind == "wordpiece":
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
        """A digest of the vocabulary."""
        return hashlib.blake2b(self.data, digest_size=8).hexdigest()

    def of_texts(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Returns the token ids of texts, and how many tokens are unknown.

        Args:
            texts: Strings ``[batch]``.

        Returns:
            RaggedTensor int64 ``[batch, (time)]`` and int64 ``[batch]``.
        """
        if self.tokenization.tokenizer in ("wordpiece", "sentencepiece"):
            texts = self.tokenization.normalized(texts)
            return self._counted(self._pieces.tokenize(texts))
        return self._looked_up(self.tokenization.words(texts))

    def of_lists(self, items: tf.RaggedTensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Returns the token ids of lists of strings, such as tags or baskets.

        An item is one token, whatever it holds; wordpiece and sentencepiece cut it into
        pieces. Items that are empty strings are dropped.

        Args:
            items: RaggedTensor of strings ``[batch, (items)]``.

        Returns:
            As `of_texts` does.
        """
        items = tf.ragged.boolean_mask(items, items != "")
        items = items.with_values(self.tokenization.normalized(items.values))
        if self.tokenization.tokenizer in ("wordpiece", "sentencepiece"):
            pieces = self._pieces.tokenize(items.values)
            splits = tf.gather(pieces.row_splits, items.row_splits)
            return self._counted(
                tf.RaggedTensor.from_row_splits(pieces.values, splits, validate=False)
            )
        return self._looked_up(items)

    def _looked_up(self, words: tf.RaggedTensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        ids = words.with_values(self._table.lookup(words.values))
        unknown = ids.values < 0
        count = tf.reduce_sum(ids.with_values(tf.cast(unknown, tf.int64)), axis=1)
        if buckets := self.tokenization.num_oov_buckets:
            hashed = tf.strings.to_hash_bucket_fast(words.values, buckets)
            values = tf.where(unknown, self._first_bucket + hashed, ids.values)
            return ids.with_values(values), count
        if self.unknown_id is None:
            return tf.ragged.boolean_mask(ids, ids.with_values(~unknown)), count
        known = tf.where(unknown, tf.constant(self.unknown_id, tf.int64), ids.values)
        return ids.with_values(known), count

    def _counted(self, pieces: tf.RaggedTensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        pieces = pieces.with_values(tf.cast(pieces.values, tf.int64))
        unknown = tf.cast(pieces.values == self.unknown_id, tf.int64)
        return pieces, tf.reduce_sum(pieces.with_values(unknown), axis=1)

    def _wordpiece(self, words: dict[str, int]) -> Any:
        pieces = sorted(words, key=words.__getitem__)
        if self.vocab_size != len(pieces):
            missing = next(i for i, word in enumerate(pieces) if words[word] != i)
            raise DataError(
                f"{self.file}: no piece has the id {missing}; wordpiece needs ids "
                "without gaps"
            )
        unknown = next((word for word in UNKNOWN_TOKENS if word in words), None)
        if unknown is None:
            raise DataError(
                f"{self.file}: holds none of {', '.join(UNKNOWN_TOKENS)}, which "
                "wordpiece needs for words that no pieces make; add one"
            )
        return load_text_ops().FastWordpieceTokenizer(
            pieces,
            suffix_indicator=_CONTINUES,
            max_bytes_per_word=_LONGEST_WORD,
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
            raise DataError(
                f"{self.file}: is no model of sentencepiece; give the file NAME.model "
                "that its trainer wrote"
            ) from error
        return pieces


def load_text_ops() -> Any:
    """Returns tensorflow_text, whose import registers its ops with TensorFlow.

    Raises:
        UserError: It is not installed.
    """
    try:
        import tensorflow_text
    except ImportError as error:
        raise UserError(
            f"text needs tensorflow-text, which cannot be imported: {error}; "
            "install it (pip install tensorflow-text), in TensorFlow's own version"
        ) from error
    return tensorflow_text
