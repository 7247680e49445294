"""Blocks of lines that hold text to columns of token ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from object2vec_tf.data.block_parser import Parsed
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text.tokenized_rows import token_ids
from object2vec_tf.text.tokenizer_loading import Tokenizers


class TextReader:
    """Reads blocks of lines in which in0, in1 or both are text.

    Args:
        hyperparameters: The model's vocabulary sizes, output layer and classes.
        tokenizers: What makes token ids of each side; None where it holds ids.

    Attributes:
        unknown: Tokens that the vocabulary lacks, by side that is text.
    """

    def __init__(
        self, hyperparameters: Hyperparameters, tokenizers: Tokenizers
    ) -> None:
        self._tokenizers = dict(zip(("in0", "in1"), tokenizers, strict=True))
        self.unknown = {name: 0 for name, held in self._tokenizers.items() if held}
        fields: list[Any] = []
        for i, (name, tokenizer) in enumerate(self._tokenizers.items()):
            size = hyperparameters.of_encoder(i, "vocab_size")
            token = Annotated[int, msgspec.Meta(ge=0, lt=size)]
            fields.append((name, str | list[str] if tokenizer else list[token]))
        self._softmax = hyperparameters.output_layer == "softmax"
        classes = msgspec.Meta(ge=0, lt=hyperparameters.num_classes)
        fields.append(("label", Annotated[int, classes] if self._softmax else float))
        weight = Annotated[float, msgspec.Meta(ge=0)] | msgspec.UnsetType
        fields.append(("weight", weight, msgspec.UNSET))
        line: Any = msgspec.defstruct("Line", fields, gc=False)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(line)

    def read(self, blocks: Iterable[bytes]) -> Iterator[Parsed]:
        """Yields what each block holds, in order; None when a line may not be right."""
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
            kind = np.int64 if self._softmax else np.float64
            yield columns, np.array([line.label for line in lines], kind), weights

    def column(self, name: str, rows: Sequence[Any]) -> RaggedColumn:
        """Returns the token ids of one side's rows."""
        tokenizer = self._tokenizers[name]
        if tokenizer is None:
            return RaggedColumn.from_rows(rows)
        column, unknown = token_ids(tokenizer, rows)
        self.unknown[name] += unknown
        return column

    def close(self) -> None:
        """Does nothing; `ParallelParser` has a process to end."""
