"""What is asked about: objects of one side, or pairs of objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn

# Drops out of a row wherever it stands: dense requests are padded with it.
PADDING = -1

Ids = npt.NDArray[np.int64]
Predictions = npt.NDArray[np.float32]
# Objects as they stand in a request, by input name: in0, in1 or both.
Rows = Mapping[str, Sequence[Any]]

# What a call of the model may hold: 2**20 ids are 8 MB, and 1 GB as vectors 256 wide.
MOST_CELLS = 1 << 20
MAX_ROWS = 2048


@dataclasses.dataclass(frozen=True)
class RaggedInputs:
    """Objects of enc0, of enc1, or pairs; ids are known to be in the vocabularies.

    Attributes:
        columns: The token ids by input name: in0, in1 or both.
    """

    columns: Mapping[str, RaggedColumn]

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(next(iter(self.columns.values())))

    @property
    def signature(self) -> str:
        """The signature that answers: the input decides."""
        return signature_name(self.columns)

    @property
    def output(self) -> str:
        """The name of the answer: embeddings or scores."""
        return output_name(self.columns)

    def take(self, rows: Ids | None) -> RaggedInputs:
        """Returns the given rows, in the given order; None stands for all."""
        if rows is None:
            return self
        return RaggedInputs({name: c.take(rows) for name, c in self.columns.items()})

    def rows(self, start: int, stop: int) -> RaggedInputs:
        """Returns the rows from start up to stop, or up to the end."""
        return RaggedInputs({n: c.rows(start, stop) for n, c in self.columns.items()})

    def truncate(self, max_lens: Mapping[str, int]) -> RaggedInputs:
        """Cuts the rows of each side at its number of tokens."""
        return RaggedInputs(
            {name: c.truncate(max_lens[name])[0] for name, c in self.columns.items()}
        )

    def padded(self, leading: int = 0) -> dict[str, Ids]:
        """Returns the signature's inputs: int64 ``[rows, leading + longest]``.

        Args:
            leading: How many columns of padding stand in front. TF Serving pads rows by
                repeating what they begin with, so with one its padding is padding too.
        """
        return {name: _padded(c, leading) for name, c in self.columns.items()}

    def batches(self, cells: int = MOST_CELLS) -> Iterator[Ids | None]:
        """Yields the rows of each call: all of them (None), or those of like length.

        One long row among many short ones would make all of them long.

        Args:
            cells: The most ``rows * longest`` of a call, which one row may exceed.
        """
        lengths = np.maximum.reduce([c.lengths for c in self.columns.values()])
        most = len(self) * int(lengths.max(initial=1))
        if most <= cells and len(self) <= MAX_ROWS:
            yield None
            return
        order = np.argsort(lengths, kind="stable")
        end = len(order)
        while end:
            longest = max(int(lengths[order[end - 1]]), 1)
            size = min(max(cells // longest, 1), MAX_ROWS)
            start = max(end - size, 0)
            yield order[start:end]
            end = start

    @staticmethod
    def from_rows(rows: Rows) -> RaggedInputs:
        """Returns lists of token ids, of which none is text, as objects."""
        return RaggedInputs(
            {name: RaggedColumn.from_rows(r) for name, r in rows.items()}
        )


def in_row_order(
    batches: Sequence[Ids | None], answers: Sequence[Predictions]
) -> Predictions:
    """Returns the answers to an object's batches in the order of its rows."""
    if len(answers) == 1 and batches[0] is None:
        return answers[0]
    shape = (sum(map(len, answers)), *answers[0].shape[1:])
    whole = np.empty(shape, answers[0].dtype)
    for rows, answer in zip(batches, answers, strict=True):
        whole[rows] = answer
    return whole


def signature_name(inputs: Mapping[str, object]) -> str:
    """Returns the signature that takes these inputs."""
    if len(inputs) > 1:
        return "predict_pair"
    return "embed_enc0" if "in0" in inputs else "embed_enc1"


def output_name(inputs: Mapping[str, object]) -> str:
    """Returns the name of the answer to these inputs."""
    return "scores" if len(inputs) > 1 else "embeddings"


def input_limits(hyperparameters: Hyperparameters) -> dict[str, tuple[int, int]]:
    """Returns the vocabulary size and the most tokens of each input, by name."""
    return {
        f"in{encoder}": (
            int(hyperparameters.of_encoder(encoder, "vocab_size")),
            int(hyperparameters.of_encoder(encoder, "max_seq_len")),
        )
        for encoder in (0, 1)
    }


def _padded(column: RaggedColumn, leading: int) -> Ids:
    lengths = column.lengths
    width = max(int(lengths.max(initial=1)), 1)
    dense = np.full((len(column), leading + width), PADDING, np.int64)
    dense[:, leading:][np.arange(width) < lengths[:, np.newaxis]] = column.values
    return dense
