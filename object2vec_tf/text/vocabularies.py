"""Vocabularies: the id of each word."""

from __future__ import annotations

import collections
import functools
import json
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.devices import on_host
from object2vec_tf.errors import DataError
from object2vec_tf.files.wrong_formats import reject_wrong_format
from object2vec_tf.hyperparameters import MAX_VOCAB_SIZE

# Words that a vocabulary lacks get the id of the first of these that it has.
UNKNOWN_TOKENS = ("[UNK]", "<unk>", "<UNK>")
# The decimal text of an integer of 64 bits, and of a few larger ones.
_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,18}")


def parse_vocabulary(data: bytes, name: str) -> dict[str, int]:
    """Returns the vocabulary in a file's content, as ids by word.

    Args:
        data: The content: JSON ``{"word": id}``, or one word per line, where the ids
            are the positions of the lines, starting at 0.
        name: The file's name, for messages.

    Raises:
        DataError: It is neither, a word occurs twice, or two words have the same id.
    """
    reject_wrong_format(Path(name), data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: expected UTF-8 text, got an invalid byte at position "
            f'{error.start}. Give a vocabulary: JSON {{"word": id}}, or one word per '
            "line."
        ) from error
    if text.lstrip().startswith("{"):
        words = _parse_json(text, name)
    else:
        _reject_other_content(text, name)
        words = _parse_lines(_split_words(text, name), name)
    if not words:
        raise DataError(
            f"{name}: expected at least one word, got none. Build the vocabulary again."
        )
    return words


def _reject_other_content(text: str, name: str) -> None:
    """Checks that text can be words, one per line.

    Raises:
        DataError: It contains NUL characters, or is a JSON array.
    """
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(
            f"{name}:{line}: expected a word, got a NUL character. The file is "
            "damaged. Build the vocabulary again."
        )
    if text.lstrip().startswith("["):
        try:
            msgspec.json.decode(text, type=list)
        except msgspec.DecodeError:
            return
        except RecursionError:  # an array of arrays, hundreds deep
            pass
        raise DataError(
            f'{name}: expected a vocabulary as JSON, {{"word": id}}, or one word '
            "per line, got a JSON array. Write one word per line."
        )


def _split_words(text: str, name: str) -> list[str]:
    """Returns the lines of a text, which end with LF or CRLF.

    str.splitlines would also split words that contain other separators, such as U+2028,
    and shift the ids after them.
    """
    if "\r" in text and "\n" not in text:
        raise DataError(
            f"{name}: expected lines that end with LF or CRLF, got carriage returns "
            r"(CR). Convert the line ends, for example with tr '\r' '\n'."
        )
    if not text:
        return []
    return [word.removesuffix("\r") for word in text.removesuffix("\n").split("\n")]


def _parse_lines(lines: Iterable[str], name: str) -> dict[str, int]:
    words: dict[str, int] = {}
    for id_, word in enumerate(lines):
        if word in words:
            raise DataError(
                f"{name}:{id_ + 1}: expected every word once, got {word!r} again after "
                f"line {words[word] + 1}. Remove one of the two lines."
            )
        words[word] = id_
    return words


def _parse_json(text: str, name: str) -> dict[str, int]:
    try:
        words = msgspec.json.decode(text, type=dict[str, int])
    except msgspec.DecodeError as error:
        raise DataError(
            f'{name}: expected a vocabulary as JSON, {{"word": id}}, got an error: '
            f"{error}. Build the vocabulary again."
        ) from error
    if text.count(":") > len(words):  # a colon per entry, and those in words
        _reject_repeated(json.loads(text, object_pairs_hook=list), name)
    by_id: dict[int, str] = {}
    for word, id_ in words.items():
        if id_ < 0:
            raise DataError(
                f"{name}: {word!r}: expected an id of 0 or more, got {id_}. Number the "
                "words from 0."
            )
        if id_ >= MAX_VOCAB_SIZE:
            raise DataError(
                f"{name}: {word!r}: expected an id below {MAX_VOCAB_SIZE}, got {id_}. "
                "Number the words from 0."
            )
        other = by_id.setdefault(id_, word)
        if other != word:
            raise DataError(
                f"{name}: expected a different id for every word, got {id_} for both "
                f"{other!r} and {word!r}. Change one of the two ids."
            )
    return words


def _reject_repeated(entries: list[tuple[str, int]], name: str) -> None:
    """Checks that every word occurs once among the entries of a JSON object.

    Raises:
        DataError: One occurs again.
    """
    ((word, count),) = collections.Counter(w for w, _ in entries).most_common(1)
    if count > 1:
        ids = " and ".join(str(id_) for other, id_ in entries if other == word)
        raise DataError(
            f"{name}: expected every word once, got {word!r} with the ids {ids}. "
            "Remove all but one."
        )


class IntegerVocabulary:
    """The ids of those words of a vocabulary that are integers.

    Args:
        data: The content of the vocabulary file.
        file: Its name, for messages.
    """

    def __init__(self, data: bytes, file: str) -> None:
        self._data = data
        self._file = file

    @on_host()
    def lookup(self, integers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns the ids of the decimal texts of integers, -1 for unknown ones."""
        return np.asarray(self._table.lookup(tf.constant(integers)).numpy())

    @functools.cached_property
    def _table(self) -> tf.lookup.StaticHashTable:
        words = parse_vocabulary(self._data, self._file)
        pairs = [
            (int(word), id_) for word, id_ in words.items() if _DECIMAL.fullmatch(word)
        ]
        # A table cannot be empty.
        table = np.array(
            [p for p in pairs if -(2**63) <= p[0] < 2**63] or [(0, -1)],
            np.int64,
        )
        return tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(table[:, 0], table[:, 1]), -1
        )


def unknown_id(words: dict[str, int]) -> int | None:
    """Returns the id for words that a vocabulary lacks, or None if it has none.

    Args:
        words: The vocabulary, ids by word.
    """
    return next((words[word] for word in UNKNOWN_TOKENS if word in words), None)


def vocabulary_json(words: Iterable[str]) -> str:
    """Returns the content of a vocabulary file; ids are the positions of the words."""
    ids = {word: id_ for id_, word in enumerate(words)}
    return json.dumps(ids, ensure_ascii=False, indent=0) + "\n"
