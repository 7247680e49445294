"""Builds vocabularies from the tokens in files of any size."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import heapq
import itertools
import operator
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import tensorflow as tf
import xxhash

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.channels import Source
from object2vec_tf.files.leftovers import full_disk_named, temporary_directory
from object2vec_tf.progress import counted, phase
from object2vec_tf.text.json_objects import (
    FieldRows,
    read_object_blocks,
    split_texts_and_lists,
)
from object2vec_tf.text.tokenizer import Tokenization, load_text_ops

# The maximum number of words by default; ids of any kind have no such limit.
MAX_WORDS = 3_000_000
# Distinct tokens counted in memory, about 300 MB, before the counts go to disk.
_MAX_COUNTERS = 2_000_000
# Wordpieces are learned from this number of the most frequent words.
_WORDPIECE_WORDS = 1_000_000

WordCount = tuple[str, int]


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The words of a vocabulary, and statistics of the text.

    Attributes:
        words: The words in the order of their ids.
        tokens: The number of tokens in the text.
        distinct: The number of distinct tokens in the text.
        covered: The number of tokens in the text that are in the vocabulary; None for
            wordpieces.
    """

    words: list[str]
    tokens: int
    distinct: int
    covered: int | None


def build_vocabulary(
    source: Source,
    fields: Sequence[str],
    tokenization: Tokenization,
    *,
    max_size: int = MAX_WORDS,
    min_count: int = 1,
    reserved: Sequence[str] = (),
    distinct: bool = False,
    scratch: Path | None = None,
    max_counters: int = _MAX_COUNTERS,
) -> Vocabulary:
    """Selects the most frequent tokens in JSON Lines files.

    Counts are exact and memory is bounded: counts beyond ``max_counters`` go to sorted
    files, which are merged at the end.

    Args:
        source: Files, directories and globs.
        fields: The fields with text: strings, or lists of strings, each of which is one
            token.
        tokenization: How text is split into tokens. For wordpiece, the pieces are
            learned from the words. For id, the fields contain integers or strings.
        max_size: The maximum number of words, including reserved ones.
        min_count: Tokens that occur less often are left out.
        reserved: Words that get the first ids.
        distinct: Whether each distinct object is counted once, in whatever number of
            pairs it occurs. Takes about 90 bytes of memory per distinct object.
        scratch: The directory for temporary files, by default that of the system.
        max_counters: The number of distinct tokens to count in memory.

    Raises:
        DataError: A line is not a JSON object, or a field is missing or not text.
        UserError: There are no tokens to select, or no room for the reserved words.
    """
    if len(reserved) >= max_size:
        raise UserError(
            f"max_size: expected more than the {len(reserved)} reserved tokens, got "
            f"{max_size}. Raise it."
        )
    counts = _TokenCounts(scratch, max_counters)
    seen: set[int] | None = set() if distinct else None
    try:
        blocks = read_object_blocks(source)
        for block in counted(blocks, "counting tokens", "lines", lambda b: len(b.rows)):
            are_ids = dict.fromkeys(fields, tokenization.is_id)
            for rows in block.fields(are_ids).values():
                new = rows if seen is None else _new_objects(rows, seen)
                counts.add(_tokens(tokenization, new))
        if not counts.tokens:
            raise DataError(
                f"{' or '.join(fields)}: expected at least one token in the input, got "
                "none. Check the fields and the input files."
            )
        with phase("selecting tokens"):
            return _selected(counts, tokenization, max_size, min_count, list(reserved))
    finally:
        counts.close()


def _new_objects(rows: FieldRows, seen: set[int]) -> FieldRows:
    """Returns the rows that are not among the hashes seen, and adds theirs."""
    result: FieldRows = []
    for row in rows:
        key = xxhash.xxh3_64_intdigest(msgspec.json.encode(row))
        if key not in seen:
            seen.add(key)
            result.append(row)
    return result


def _tokens(tokenization: Tokenization, rows: FieldRows) -> list[bytes]:
    if tokenization.is_id:
        return [item.encode() for row in rows for item in row if item]
    texts, lists = split_texts_and_lists(rows)
    words: list[bytes] = []
    if texts:
        words += tokenization.words(tf.constant(texts)).values.numpy().tolist()
    items = [item for row in lists for item in row if item]
    if items:
        words += tokenization.normalized(tf.constant(items)).numpy().tolist()
    return words


def _selected(
    counts: _TokenCounts,
    tokenization: Tokenization,
    max_size: int,
    min_count: int,
    reserved: list[str],
) -> Vocabulary:
    distinct, reserved_counts = 0, dict.fromkeys(reserved, 0)

    def candidates() -> Iterator[tuple[int, str]]:
        """Yields (negative count, word) of words that are frequent enough."""
        nonlocal distinct
        for word, count in counts.merged():
            distinct += 1
            if word in reserved_counts:
                reserved_counts[word] = count
            elif count >= min_count:
                yield -count, word

    if tokenization.tokenizer == "wordpiece":
        frequent = heapq.nsmallest(_WORDPIECE_WORDS, candidates())
        words = [(word, -negative_count) for negative_count, word in frequent]
        pieces = _wordpieces(words, max_size, min_count, reserved)
        return Vocabulary(pieces, counts.tokens, distinct, None)
    frequent = heapq.nsmallest(max_size - len(reserved), candidates())
    covered = sum(reserved_counts.values()) - sum(count for count, _ in frequent)
    selected = [*reserved, *(word for _, word in frequent)]
    return Vocabulary(selected, counts.tokens, distinct, covered)


def _wordpieces(
    words: list[WordCount], max_size: int, min_count: int, reserved: list[str]
) -> list[str]:
    load_text_ops()
    from tensorflow_text.tools.wordpiece_vocab import (
        wordpiece_tokenizer_learner_lib as learner,
    )

    if not words:
        fix = "Lower it." if min_count > 1 else "Give text with other words."
        raise UserError(
            f"min_count: expected a word, besides reserved ones, that occurs at least "
            f"{min_count} times, got none. {fix}"
        )
    pieces: list[str] = learner.learn(
        words, max_size, reserved, lower_thresh=min(2, min_count)
    )
    return pieces[:max_size]


class _TokenCounts:
    """Counts of tokens, in memory and in sorted files.

    Args:
        scratch: The parent directory of the files.
        max_counters: The number of distinct tokens to count in memory.

    Attributes:
        tokens: The number of tokens counted.
    """

    def __init__(self, scratch: Path | None, max_counters: int) -> None:
        self._counter: collections.Counter[bytes] = collections.Counter()
        self._scratch = scratch
        self._max_counters = max_counters
        self._directory: Path | None = None
        self._stack = contextlib.ExitStack()
        self._files: list[Path] = []
        self.tokens = 0

    def add(self, tokens: list[bytes]) -> None:
        self._counter.update(tokens)
        self.tokens += len(tokens)
        if len(self._counter) > self._max_counters:
            self._spill()

    def _spill(self) -> None:
        if self._directory is None:
            parent = self._scratch or Path(tempfile.gettempdir())
            self._directory = self._stack.enter_context(
                temporary_directory(parent / "counts")
            )
        with full_disk_named(self._directory.parent):
            self._write_counts(self._directory / str(len(self._files)))

    def _write_counts(self, path: Path) -> None:
        with path.open("wb") as file:
            for word, count in sorted(self._counter.items()):
                file.write(b"%s\t%d\n" % (_escaped(word), count))
        self._files.append(path)
        self._counter.clear()

    def merged(self) -> Iterator[WordCount]:
        """Yields each token once with its count, in the order of the UTF-8 bytes."""
        parts: list[Iterable[tuple[bytes, int]]] = [sorted(self._counter.items())]
        parts += [_read_counts(path) for path in self._files]
        merged = heapq.merge(*parts, key=operator.itemgetter(0))
        for word, group in itertools.groupby(merged, operator.itemgetter(0)):
            yield word.decode(), sum(count for _, count in group)

    def close(self) -> None:
        """Removes the files."""
        self._stack.close()


def _read_counts(path: Path) -> Iterator[tuple[bytes, int]]:
    with path.open("rb") as file:
        for line in file:
            word, _, count = line.rpartition(b"\t")
            yield _unescaped(word), int(count)


def _escaped(word: bytes) -> bytes:
    """Returns a word without line ends, which ids, unlike words, may contain."""
    return word.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")


def _unescaped(word: bytes) -> bytes:
    if b"\\" not in word:
        return word
    parts = [part.replace(b"\\n", b"\n") for part in word.split(b"\\\\")]
    return b"\\".join(parts)
