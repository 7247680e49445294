"""Reads JSON Lines into columns.

`block_parser` and `text_reader` parse whole blocks fast. Blocks that they reject are
read again line by line, to skip and to explain their invalid lines.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from object2vec_tf.data.block_parser import Parsed
from object2vec_tf.data.line_diagnosis import MAX_WEIGHT, diagnose_line
from object2vec_tf.data.pair_schema import INPUTS, PairSchema
from object2vec_tf.data.parallel_parser import ParallelParser
from object2vec_tf.data.text_reader import TextReader
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.fingerprints import Digest
from object2vec_tf.files.line_blocks import BLOCK_BYTES, open_line_blocks
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.tokenizer_loading import Tokenizers

Labels = npt.NDArray[np.int64] | npt.NDArray[np.float32]

_MAX_LISTED_LINES = 10


class LineReader(Protocol):
    """Reads blocks of lines.

    Attributes:
        unknown: Number of tokens that the vocabulary lacks, by input that is text.
    """

    unknown: dict[str, int]

    def read(self, blocks: Iterable[bytes]) -> Iterator[Parsed]:
        """Yields the content of each block in order; None if a line may be invalid."""

    def column(self, name: str, rows: Sequence[Any]) -> RaggedColumn:
        """Returns the token ids of valid rows of one input."""

    def close(self) -> None:
        """Releases the reader's resources."""


@dataclasses.dataclass
class BadLines:
    """The invalid lines of a channel that were skipped.

    Attributes:
        budget: Number of invalid lines to tolerate.
        messages: One message, ``file:line: problem``, for each skipped line.
    """

    budget: int
    messages: list[str] = dataclasses.field(default_factory=list)

    def add(self, message: str) -> None:
        """Adds an invalid line.

        Raises:
            DataError: There are more invalid lines than the budget allows.
        """
        self.messages.append(message)
        if len(self.messages) <= self.budget:
            return
        if not self.budget:
            raise DataError(f"{message} --max_bad_lines=N skips up to N such lines.")
        raise DataError(
            f"{message} This is bad line {len(self.messages)} of the channel, and "
            f"--max_bad_lines is {self.budget}. The other bad lines:\n  "
            + "\n  ".join(self.messages[:-1][:_MAX_LISTED_LINES])
        )


@dataclasses.dataclass(frozen=True)
class Block:
    """The pairs of one block of lines.

    Attributes:
        in0: The rows of in0.
        in1: The rows of in1.
        labels: int64 or float32 ``[rows]``.
        weights: float32 ``[rows]``; None if no line has a weight.
    """

    in0: RaggedColumn
    in1: RaggedColumn
    labels: Labels
    weights: npt.NDArray[np.float32] | None = None

    @property
    def weights_or_ones(self) -> npt.NDArray[np.float32]:
        """The weights; 1 for every pair if no line has a weight."""
        if self.weights is None:
            return np.ones(len(self.labels), np.float32)
        return self.weights


def read_file(
    path: Path,
    schema: PairSchema,
    bad_lines: BadLines,
    digest: Digest,
    reader: LineReader,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Block]:
    """Yields the pairs of one file, block by block.

    Args:
        path: The file; ``.gz`` and ``.zst`` are decompressed.
        schema: The schema of the pairs.
        bad_lines: The skipped lines of the channel, to which those of the file are
            added.
        digest: Updated with every decompressed byte.
        reader: The reader that `line_reader` returns for the schema.
        block_bytes: Bytes to read at a time.

    Raises:
        DataError: There are more invalid lines than allowed, the file cannot be read
            to its end, or it changes meanwhile.
    """
    line = 1
    with open_line_blocks(path, block_bytes, digest) as blocks:
        first, second = itertools.tee(blocks)
        for text, parsed in zip(first, reader.read(second), strict=True):
            block = parsed and _checked_block(*parsed, schema)
            if not block:
                block = _parse_lines(text, path, line, schema, bad_lines, reader)
            if len(block.labels):
                yield block
            line += int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord("\n")))


def line_reader(
    schema: PairSchema, tokenizers: Tokenizers = (None, None)
) -> LineReader:
    """Returns a reader for the blocks of a channel. The caller closes it.

    Raises:
        UserError: An input is text and has no tokenizer.
    """
    for i, (name, tokenizer) in enumerate(zip(INPUTS, tokenizers, strict=True)):
        if name in schema.text_inputs and tokenizer is None:
            raise UserError(
                f"enc{i}_tokenizer: {name} is text and has no tokenizer. Pass "
                "tokenizers=read_tokenizers(hyperparameters, auxiliary)."
            )
    if schema.text_inputs:
        return TextReader(schema, tokenizers)
    return ParallelParser(
        dict(zip(INPUTS, schema.vocab_sizes, strict=True)),
        "number" if schema.num_classes is None else "integer",
    )


def _checked_block(
    columns: dict[str, RaggedColumn],
    labels: npt.NDArray[Any],
    weights: npt.NDArray[Any] | None,
    schema: PairSchema,
) -> Block | None:
    """Returns the pairs of a block; None if a label or weight is out of range."""
    if weights is not None:
        weights = _as_finite_float32(weights)
        if weights is None or np.any((weights < 0) | (weights > MAX_WEIGHT)):
            return None
    if schema.num_classes is not None:
        if len(labels) and not 0 <= labels.min() <= labels.max() < schema.num_classes:
            return None
        labels = labels.astype(np.int64)
    elif (real_labels := _as_finite_float32(labels)) is not None:
        labels = real_labels
    else:
        return None
    return Block(columns["in0"], columns["in1"], labels, weights)


def _as_finite_float32(numbers: npt.NDArray[Any]) -> npt.NDArray[np.float32] | None:
    """Returns numbers as float32; None if one of them is too large for it."""
    with np.errstate(over="ignore"):
        converted = numbers.astype(np.float32)
    return converted if np.isfinite(converted).all() else None


def _parse_lines(
    text: bytes,
    path: Path,
    first_line: int,
    schema: PairSchema,
    bad_lines: BadLines,
    reader: LineReader,
) -> Block:
    """Returns the valid lines of a block, and adds the invalid ones to ``bad_lines``.

    Args:
        text: The block.
        path: Its file.
        first_line: The line number of the block's first line.
        schema: The schema of the pairs.
        bad_lines: The skipped lines of the channel.
        reader: The reader of the channel.
    """
    pairs = []
    for number, line in enumerate(text.split(b"\n"), start=first_line):
        if not line.strip():
            continue
        problem = diagnose_line(line, schema)
        if problem is None:
            pairs.append(msgspec.json.decode(line))
        else:
            bad_lines.add(f"{path}:{number}: {problem}")
    weights = None
    if any("weight" in pair for pair in pairs):
        weights = np.array([pair.get("weight", 1) for pair in pairs], np.float32)
    labels = [pair["label"] for pair in pairs]
    has_classes = schema.num_classes is not None
    return Block(
        reader.column("in0", [pair["in0"] for pair in pairs]),
        reader.column("in1", [pair["in1"] for pair in pairs]),
        np.array(labels, np.int64) if has_classes else np.array(labels, np.float32),
        weights,
    )
