"""Parses blocks of lines that contain text into columns of token ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from object2vec_tf.data.block_parser import Parsed
from object2vec_tf.data.pair_schema import INPUTS, PairSchema
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.tokenized_rows import token_ids
from object2vec_tf.text.tokenizer_loading import Tokenizers


class TextReader:
    """Parses blocks of lines in which in0, in1 or both are text.

    Args:
        schema: The schema of the pairs.
        tokenizers: The tokenizers of in0 and in1; None for an input of token ids.

    Attributes:
        unknown: Number of tokens that the vocabulary lacks, by input that is text.
    """

    def __init__(self, schema: PairSchema, tokenizers: Tokenizers) -> None:
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

    def read(self, blocks: Iterable[bytes]) -> Iterator[Parsed]:
        """Yields the content of each block in order; None if a line may be invalid."""
        for block in blocks:
            try:
                lines = self._decoder.decode_lines(block)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                yield None
                continue
            columns = {
                name: self.column(name, [getattr(line, name) for line in lines])
                for name in self._tokenizers
            }
            given = [line.weight for line in lines]
            weights = None
            if any(weight is not msgspec.UNSET for weight in given):
                weights = np.array([1.0 if w is msgspec.UNSET else w for w in given])
            labels = np.array([line.label for line in lines], self._label_type)
            yield columns, labels, weights

    def column(self, name: str, rows: Sequence[Any]) -> RaggedColumn:
        """Returns the token ids of one input's rows."""
        tokenizer = self._tokenizers[name]
        if tokenizer is None:
            return RaggedColumn.from_rows(rows)
        column, unknown = token_ids(tokenizer, rows)
        self.unknown[name] += unknown
        return column

    def close(self) -> None:
        """Does nothing: there are no resources to release."""
