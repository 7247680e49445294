"""JSON Lines to columns: fast when the lines are right, exact when one is not.

A block that `block_parser` does not take as a whole is read again line by line.
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
from object2vec_tf.data.line_diagnosis import MOST_WEIGHT, diagnose_line
from object2vec_tf.data.parallel_parser import ParallelParser
from object2vec_tf.data.text_reader import TextReader
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.fingerprints import Digest
from object2vec_tf.files.line_blocks import BLOCK_BYTES, read_line_blocks
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.tokenizer_loading import Tokenizers

Labels = npt.NDArray[np.int64] | npt.NDArray[np.float32]


class LineReader(Protocol):
    """Reads blocks of lines.

    Attributes:
        unknown: Tokens that a vocabulary lacks, by side that is text.
    """

    unknown: dict[str, int]

    def read(self, blocks: Iterable[bytes]) -> Iterator[Parsed]:
        """Yields what each block holds, in order; None when a line may be wrong."""

    def column(self, name: str, rows: Sequence[Any]) -> RaggedColumn:
        """Returns the token ids of one side's rows, which are right."""

    def close(self) -> None:
        """Lets go of what it holds."""


@dataclasses.dataclass
class BadLines:
    """Lines that were left out, within the budget the user gave.

    Attributes:
        budget: How many bad lines are tolerated.
        messages: One ``file:line: what`` for each line left out.
    """

    budget: int
    messages: list[str] = dataclasses.field(default_factory=list)

    def add(self, message: str) -> None:
        """Counts one bad line.

        Raises:
            DataError: The budget is spent.
        """
        self.messages.append(message)
        if len(self.messages) <= self.budget:
            return
        if not self.budget:
            raise DataError(f"{message} (--max_bad_lines=N skips up to N such lines)")
        raise DataError(
            f"{message}; this is bad line {len(self.messages)} of the channel, and "
            f"--max_bad_lines is {self.budget}. The others:\n  "
            + "\n  ".join(self.messages[:-1][:10])
        )


@dataclasses.dataclass(frozen=True)
class Block:
    """The pairs of one block of lines.

    Attributes:
        in0: The rows of in0.
        in1: The rows of in1.
        labels: int64 or float32 ``[rows]``.
        weights: float32 ``[rows]``; None where no line has one.
    """

    in0: RaggedColumn
    in1: RaggedColumn
    labels: Labels
    weights: npt.NDArray[np.float32] | None = None

    @property
    def given_weights(self) -> npt.NDArray[np.float32]:
        """The weights; 1 where none is given."""
        if self.weights is None:
            return np.ones(len(self.labels), np.float32)
        return self.weights


def read_file(
    path: Path,
    hyperparameters: Hyperparameters,
    bad_lines: BadLines,
    digest: Digest,
    reader: LineReader,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Block]:
    """Yields the pairs of one file, block by block.

    Args:
        path: The file; ``.gz`` and ``.zst`` are unpacked.
        hyperparameters: The model's vocabulary sizes, output layer and classes.
        bad_lines: The channel's budget of bad lines.
        digest: Is fed with every byte read, unpacked.
        reader: What `line_reader` makes for such settings.
        block_bytes: Bytes to read at a time.

    Raises:
        DataError: A line is not right and the budget is spent, or the file cannot be
            read to its end, or is another one then.
    """
    line = 1
    first, second = itertools.tee(read_line_blocks(path, block_bytes, digest))
    for text, columns in zip(first, reader.read(second), strict=True):
        parsed = columns and _checked(*columns, hyperparameters)
        if not parsed:
            where = _Place(path, line)
            parsed = _parse_lines(text, where, hyperparameters, bad_lines, reader)
        if len(parsed.labels):
            yield parsed
        line += int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord("\n")))


def line_reader(
    hyperparameters: Hyperparameters, tokenizers: Tokenizers = (None, None)
) -> LineReader:
    """Returns what reads blocks of a channel's lines; to be closed behind the last.

    Raises:
        UserError: A side is text and there is no tokenizer for it.
    """
    for i, tokenizer in enumerate(tokenizers):
        if f"in{i}" in hyperparameters.texts and tokenizer is None:
            raise UserError(
                f"enc{i}_tokenizer: in{i} is read as text, which takes a tokenizer; "
                "give tokenizers=read_tokenizers(hyperparameters, auxiliary)"
            )
    if hyperparameters.texts:
        return TextReader(hyperparameters, tokenizers)
    softmax = hyperparameters.output_layer == "softmax"
    vocab_sizes = {
        "in0": hyperparameters.enc0_vocab_size,
        "in1": hyperparameters.enc1_vocab_size,
    }
    return ParallelParser(vocab_sizes, "integer" if softmax else "number")


@dataclasses.dataclass(frozen=True)
class _Place:
    path: Path
    line: int


def _checked(
    columns: dict[str, RaggedColumn],
    labels: npt.NDArray[Any],
    weights: npt.NDArray[Any] | None,
    hyperparameters: Hyperparameters,
) -> Block | None:
    """Returns a block's pairs, or None when a label or weight is out of its range."""
    if weights is not None:
        weights = _finite(weights)
        if weights is None or np.any((weights < 0) | (weights > MOST_WEIGHT)):
            return None
    if hyperparameters.output_layer == "softmax":
        if len(labels) and not 0 <= labels.min() <= labels.max() < (
            hyperparameters.num_classes
        ):
            return None
        labels = labels.astype(np.int64)
    elif (reals := _finite(labels)) is not None:
        labels = reals
    else:
        return None
    return Block(columns["in0"], columns["in1"], labels, weights)


def _finite(numbers: npt.NDArray[Any]) -> npt.NDArray[np.float32] | None:
    """Returns numbers as float32, None when one is too large for it."""
    with np.errstate(over="ignore"):
        reals = numbers.astype(np.float32)
    return reals if np.isfinite(reals).all() else None


def _parse_lines(
    text: bytes,
    where: _Place,
    hyperparameters: Hyperparameters,
    bad_lines: BadLines,
    reader: LineReader,
) -> Block:
    """Returns the good lines of a block that has bad ones, and tells of those."""
    good = []
    for number, line in enumerate(text.split(b"\n"), start=where.line):
        if not line.strip():
            continue
        problem = diagnose_line(line, hyperparameters)
        if problem is None:
            good.append(msgspec.json.decode(line))
        else:
            bad_lines.add(f"{where.path}:{number}: {problem}")
    labels = [pair["label"] for pair in good]
    weights = None
    if any("weight" in pair for pair in good):
        weights = np.array([pair.get("weight", 1) for pair in good], np.float32)
    softmax = hyperparameters.output_layer == "softmax"
    return Block(
        reader.column("in0", [pair["in0"] for pair in good]),
        reader.column("in1", [pair["in1"] for pair in good]),
        np.array(labels, np.int64) if softmax else np.array(labels, np.float32),
        weights,
    )
