"""Parses blocks of lines that contain text or ids of any kind into token ids."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from object2vec_tf.data.block_parser import Parsed
from object2vec_tf.data.blocks import has_valid_numbers
from object2vec_tf.data.nearest_float32 import rounding_labels_once
from object2vec_tf.data.pair_schema import INPUTS, PairSchema
from object2vec_tf.data.parallel_parser import ParallelParser
from object2vec_tf.files.object_lines import count_objects
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.item_ids import integer_ids
from object2vec_tf.text.json_objects import decode_lines
from object2vec_tf.text.tokenized_rows import token_ids
from object2vec_tf.text.tokenizer_loading import Tokenizers

# After this number of blocks with strings, all blocks of a file are read as such.
_MAX_REJECTED_BLOCKS = 3


class TextReader:
    """Parses blocks of lines in which in0, in1 or both have a tokenizer.

    Args:
        schema: The schema of the pairs.
        tokenizers: The tokenizers of in0 and in1; None for an input of token ids.

    Attributes:
        unknown: Number of tokens that the vocabulary lacks, by input with a tokenizer.
    """

    def __init__(self, schema: PairSchema, tokenizers: Tokenizers) -> None:
        self._schema = schema
        self._tokenizers = dict(zip(INPUTS, tokenizers, strict=True))
        self.unknown = {
            name: 0 for name, tokenizer in self._tokenizers.items() if tokenizer
        }
        fields: list[Any] = []
        for name, size in zip(INPUTS, schema.vocab_sizes, strict=True):
            token = Annotated[int, msgspec.Meta(ge=0, lt=size)]
            tokenizer = self._tokenizers[name]
            rows: Any = list[token]
            if tokenizer is not None:
                rows = str | list[str]
                if tokenizer.tokenization.is_id:
                    rows = str | int | list[str | int]
            fields.append((name, rows))
        label: Any = float
        if schema.num_classes is not None:
            label = Annotated[int, msgspec.Meta(ge=0, lt=schema.num_classes)]
        fields.append(("label", label))
        weight = Annotated[float, msgspec.Meta(ge=0)] | msgspec.UnsetType
        fields.append(("weight", weight, msgspec.UNSET))
        line: Any = msgspec.defstruct("Line", fields, gc=False)
        self._label_type = np.float64 if schema.num_classes is None else np.int64
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(line)
        self._integers = self._integer_parser(schema)

    def _integer_parser(self, schema: PairSchema) -> ParallelParser | None:
        """Returns a faster parser of blocks of integers; None if a side is text."""
        sizes: dict[str, int | None] = {}
        for name, size in zip(INPUTS, schema.vocab_sizes, strict=True):
            tokenizer = self._tokenizers[name]
            if tokenizer is not None and not tokenizer.tokenization.is_id:
                return None
            sizes[name] = size if tokenizer is None else None
        return ParallelParser(
            sizes, "number" if schema.num_classes is None else "integer"
        )

    def read(self, blocks: Iterable[bytes]) -> Iterator[Parsed]:
        """Yields the content of each block in order; None if a line may be invalid."""
        if self._integers is None:
            yield from map(self._decode, blocks)
            return
        texts, ahead = itertools.tee(blocks)
        parsed_blocks = self._integers.read(ahead)
        del ahead  # tee keeps every block that only one of its iterators has read
        rejected = 0
        for text in texts:
            parsed = None
            if rejected < _MAX_REJECTED_BLOCKS:
                parsed = next(parsed_blocks)
                rejected += parsed is None
            else:
                parsed_blocks.close()
            if parsed is None:
                yield self._decode(text)
                continue
            columns, labels, weights = parsed
            if not has_valid_numbers(labels, weights, self._schema):
                yield None
                continue
            ids = {name: self.looked_up(name, c) for name, c in columns.items()}
            yield ids, labels, weights

    def looked_up(self, name: str, column: RaggedColumn) -> RaggedColumn:
        """Returns the token ids of a column of integers."""
        tokenizer = self._tokenizers[name]
        if tokenizer is None:
            return column
        column, unknown = integer_ids(tokenizer, column)
        self.unknown[name] += unknown
        return column

    def _decode(self, block: bytes) -> Parsed:
        """Returns the content of a block; None if a line may be invalid."""
        try:
            lines = decode_lines(self._decoder, block)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if len(lines) != count_objects(block):
            return None
        given = list(map(operator.attrgetter("weight"), lines))
        weights = None
        if {*map(type, given)} - {msgspec.UnsetType}:
            weights = np.array([1.0 if w is msgspec.UNSET else w for w in given])
            weights = rounding_labels_once(weights, "weight", block)
        label_of = operator.attrgetter("label")
        labels = np.fromiter(map(label_of, lines), self._label_type, len(lines))
        if self._label_type is np.float64:
            labels = rounding_labels_once(labels, "label", block)
        # Unknown tokens are counted below: only after the numbers were valid.
        if not has_valid_numbers(labels, weights, self._schema):
            return None
        columns = {
            name: self.column(name, list(map(operator.attrgetter(name), lines)))
            for name in self._tokenizers
        }
        return columns, labels, weights

    def column(self, name: str, rows: Sequence[Any]) -> RaggedColumn:
        """Returns the token ids of one input's rows."""
        tokenizer = self._tokenizers[name]
        if tokenizer is None:
            return RaggedColumn.from_rows(rows)
        column, unknown = token_ids(tokenizer, rows)
        self.unknown[name] += unknown
        return column

    def close(self) -> None:
        """Ends the second process, if there is one."""
        if self._integers is not None:
            self._integers.close()
