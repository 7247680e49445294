"""Vocabularies from text: tokens counted over files of any size."""

from __future__ import annotations

import collections
import dataclasses
import heapq
import itertools
import operator
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.channels import Source
from object2vec_tf.text.json_objects import flat, read_objects
from object2vec_tf.text.tokenizer import Tokenization, load_text_ops

# As many ids as a model may have.
MOST_WORDS = 3_000_000
# Different tokens held before they are put on the disk: some 300 MB.
_HELD = 2_000_000
# Words that wordpieces are learnt from, the most frequent ones.
_LEARNT_FROM = 1_000_000

Count = tuple[str, int]


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The words that were chosen.

    Attributes:
        words: In the order of their ids.
        tokens: How many tokens were counted.
        distinct: How many different ones.
        covered: How many of the tokens are among the words; None for wordpieces.
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
    max_size: int = MOST_WORDS,
    min_count: int = 1,
    reserved: Sequence[str] = (),
    scratch: Path | None = None,
) -> Vocabulary:
    """Chooses the most frequent tokens of files of JSON Lines.

    Exact, in memory that does not grow with the files: beyond two million different
    tokens, counts are kept in sorted files and merged at the end.

    Args:
        source: Files, directories and globs.
        fields: The fields to count in: texts, or lists of strings, each of which is
            one token.
        tokenization: How text becomes tokens. For wordpiece, pieces are learnt from
            the words.
        max_size: The most words, reserved ones included.
        min_count: Tokens that occur less often are left out.
        reserved: Words that get the first ids.
        scratch: Where files are kept meanwhile; by default where temporary files are.

    Raises:
        DataError: A line is no object, or a field no text.
        UserError: There is not a token to choose, or no room for the reserved ones.
    """
    if len(reserved) >= max_size:
        raise UserError(
            f"max_size: {max_size} leaves no room beside {len(reserved)} reserved "
            "tokens; raise it"
        )
    counts = _Counts(scratch)
    try:
        for objects in read_objects(source):
            for field in fields:
                counts.add(_tokens(tokenization, objects.texts(field)))
        if not counts.tokens:
            raise DataError(f"no token in {' or '.join(fields)} of the input")
        return _chosen(counts, tokenization, max_size, min_count, list(reserved))
    finally:
        counts.close()


def _tokens(
    tokenization: Tokenization, values: Sequence[str | list[str]]
) -> list[bytes]:
    texts, lists = flat(values)
    words: list[bytes] = []
    if texts:
        words += tokenization.words(tf.constant(texts)).values.numpy().tolist()
    items = [item for row in lists for item in row if item]
    if items:
        words += tokenization.normalized(tf.constant(items)).numpy().tolist()
    return words


def _chosen(
    counts: _Counts,
    tokenization: Tokenization,
    max_size: int,
    min_count: int,
    reserved: list[str],
) -> Vocabulary:
    distinct, known = 0, dict.fromkeys(reserved, 0)

    def candidates() -> Iterator[tuple[int, str]]:
        nonlocal distinct
        for word, count in counts.merged():
            distinct += 1
            if word in known:
                known[word] = count
            elif count >= min_count:
                yield -count, word

    if tokenization.tokenizer == "wordpiece":
        most = heapq.nsmallest(_LEARNT_FROM, candidates())
        words = [(word, -negative) for negative, word in most]
        pieces = _wordpieces(words, max_size, min_count, reserved)
        return Vocabulary(pieces, counts.tokens, distinct, None)
    most = heapq.nsmallest(max_size - len(reserved), candidates())
    covered = sum(known.values()) - sum(negative for negative, _ in most)
    chosen = [*reserved, *(word for _, word in most)]
    return Vocabulary(chosen, counts.tokens, distinct, covered)


def _wordpieces(
    words: list[Count], max_size: int, min_count: int, reserved: list[str]
) -> list[str]:
    load_text_ops()
    from tensorflow_text.tools.wordpiece_vocab import (
        wordpiece_tokenizer_learner_lib as learner,
    )

    if not words:
        raise UserError(f"min_count: no word occurs {min_count} times; lower it")
    pieces: list[str] = learner.learn(
        words, max_size, reserved, lower_thresh=min(2, min_count)
    )
    return pieces[:max_size]


class _Counts:
    """Counts of tokens, in memory and in sorted files."""

    def __init__(self, scratch: Path | None) -> None:
        self._counter: collections.Counter[bytes] = collections.Counter()
        self._scratch = scratch
        self._directory: Path | None = None
        self._files: list[Path] = []
        self.tokens = 0

    def add(self, tokens: list[bytes]) -> None:
        self._counter.update(tokens)
        self.tokens += len(tokens)
        if len(self._counter) > _HELD:
            self._spill()

    def _spill(self) -> None:
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp("", ".counts-", self._scratch))
        path = self._directory / str(len(self._files))
        # Tokens hold no tabs or line ends: normalizing has made spaces of them.
        with path.open("wb") as file:
            for word, count in sorted(self._counter.items()):
                file.write(b"%s\t%d\n" % (word, count))
        self._files.append(path)
        self._counter.clear()

    def merged(self) -> Iterator[Count]:
        """Yields each token once, in the order of their bytes."""
        parts: list[Iterable[tuple[bytes, int]]] = [sorted(self._counter.items())]
        parts += [_read(path) for path in self._files]
        merged = heapq.merge(*parts, key=operator.itemgetter(0))
        for word, same in itertools.groupby(merged, operator.itemgetter(0)):
            yield word.decode(), sum(count for _, count in same)

    def close(self) -> None:
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


def _read(path: Path) -> Iterator[tuple[bytes, int]]:
    with path.open("rb") as file:
        for line in file:
            word, _, count = line.rpartition(b"\t")
            yield word, int(count)
