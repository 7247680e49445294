"""Reads JSON Lines into columns.

`block_parser` and `text_reader` parse whole blocks fast. `lenient_lines` reads the
valid blocks that they reject. The rest is read line by line, to skip and to explain
invalid lines.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from object2vec_tf.data.block_parser import Parsed
from object2vec_tf.data.blocks import BadLines, Block, block_of_pairs, checked_block
from object2vec_tf.data.lenient_lines import LenientDecoder
from object2vec_tf.data.line_diagnosis import checked_pair
from object2vec_tf.data.pair_schema import INPUTS, PairSchema
from object2vec_tf.data.parallel_parser import ParallelParser
from object2vec_tf.data.text_reader import TextReader
from object2vec_tf.errors import UserError
from object2vec_tf.files.fingerprints import Digest
from object2vec_tf.files.line_blocks import BLOCK_BYTES, open_line_blocks
from object2vec_tf.files.object_lines import LineError, numbered_lines
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.tokenizer_loading import Tokenizers


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

    def looked_up(self, name: str, column: RaggedColumn) -> RaggedColumn:
        """Returns the token ids of valid rows of integers of one input."""

    def close(self) -> None:
        """Releases the reader's resources."""


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
    line, lenient = 1, LenientDecoder(schema)
    with open_line_blocks(path, block_bytes, digest, replace_long=True) as blocks:
        first, second = itertools.tee(blocks)
        for text, parsed in zip(first, reader.read(second), strict=True):
            block = parsed and checked_block(*parsed, schema)
            if not block and (parsed := lenient.decode(text, reader.column)):
                block = checked_block(*parsed, schema)
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
    for number, line in numbered_lines(text, first_line):
        try:
            pairs.append(checked_pair(line, schema))
        except LineError as error:
            # A line of n objects lacks n - 1 line ends.
            bad_lines.add(f"{path}:{number}: {error}", max(error.objects - 1, 1))
    return block_of_pairs(pairs, schema, reader.column)
