"""Vocabularies: which word has which id."""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec

from object2vec_tf.errors import DataError

# A vocabulary that has one of these gives its id to every word that it lacks.
UNKNOWN_TOKENS = ("[UNK]", "<unk>", "<UNK>")


def parse_vocabulary(data: bytes, name: str) -> dict[str, int]:
    """Returns the ids by word that a vocabulary file holds.

    Args:
        data: The file's bytes: JSON ``{"word": id}``, or a word a line, whose ids are
            their places, from 0.
        name: The file's name, for messages.

    Raises:
        DataError: It is neither, or two words have the same id.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: is not UTF-8 text at byte {error.start}; give a vocabulary as "
            'JSON, {"word": id}'
        ) from error
    if text.lstrip().startswith("{"):
        words = _parse_json(text, name)
    else:
        words = _numbered(text.splitlines(), name)
    if not words:
        raise DataError(f"{name}: holds no word; build it again")
    return words


def _numbered(lines: Iterable[str], name: str) -> dict[str, int]:
    words: dict[str, int] = {}
    for number, word in enumerate(lines):
        if word in words:
            raise DataError(
                f"{name}:{number + 1}: {word!r} stands there a second time, after line "
                f"{words[word] + 1}; a word has one id"
            )
        words[word] = number
    return words


def _parse_json(text: str, name: str) -> dict[str, int]:
    try:
        words = msgspec.json.decode(text, type=dict[str, int])
    except msgspec.DecodeError as error:
        raise DataError(
            f'{name}: is not a vocabulary, JSON {{"word": id}}: {error}'
        ) from error
    by_id: dict[int, str] = {}
    for word, number in words.items():
        if number < 0:
            raise DataError(f"{name}: {word!r} has the id {number}; ids are 0 or more")
        other = by_id.setdefault(number, word)
        if other != word:
            raise DataError(
                f"{name}: {other!r} and {word!r} have the same id, {number}; give each "
                "word an id of its own"
            )
    return words


def unknown_id(words: dict[str, int]) -> int | None:
    """Returns the id of words that a vocabulary lacks; None where it has none."""
    return next((words[word] for word in UNKNOWN_TOKENS if word in words), None)


def vocabulary_json(words: Iterable[str]) -> str:
    """Returns a vocabulary file of words, whose ids are their places."""
    ids = {word: number for number, word in enumerate(words)}
    return json.dumps(ids, ensure_ascii=False, indent=0) + "\n"
