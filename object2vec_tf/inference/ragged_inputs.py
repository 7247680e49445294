"""Model inputs: objects of one side, or pairs of objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.finite import not_finite
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.ragged.token_ids import IdLimits

# Pads dense requests; the signatures drop it at any position of a row.
PADDING = -1

Ids = npt.NDArray[np.int64]
# Embeddings or scores, ``[rows, width]``.
Predictions = npt.NDArray[np.float32]
# The objects of a request by input name (in0, in1 or both): token ids or text.
Rows = Mapping[str, Sequence[Any]]

# Limits of one call of the model. 2**20 ids take 8 MB.
MAX_CELLS = 1 << 20
MAX_ROWS = 2048
# The numbers in the vectors of the tokens of one call (128 MB), and in the embeddings
# of one side (16 MB). A model has several tensors of these sizes at a time.
_MAX_TOKEN_VALUES = 1 << 25
_MAX_ROW_VALUES = 1 << 22

_Type = TypeVar("_Type", bound=np.generic)


@dataclasses.dataclass(frozen=True)
class CallLimits:
    """Limits of one call of a model, which bound its memory.

    Attributes:
        cells: The maximum of ``rows * longest``; a single row may exceed it.
        rows: The maximum number of rows.
    """

    cells: int = MAX_CELLS
    rows: int = MAX_ROWS


_DEFAULT_LIMITS = CallLimits()


@dataclasses.dataclass(frozen=True)
class RaggedInputs:
    """Objects of enc0 or enc1, or pairs; every id is known to be in its vocabulary.

    Attributes:
        columns: The token ids by input name: in0, in1 or both.
    """

    columns: Mapping[str, RaggedColumn]

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(next(iter(self.columns.values())))

    @property
    def signature(self) -> str:
        """The signature that takes these inputs."""
        return signature_name(self.columns)

    @property
    def output(self) -> str:
        """The name of that signature's output: embeddings or scores."""
        return output_name(self.columns)

    def take(self, rows: Ids | None) -> RaggedInputs:
        """Returns the given rows, in the given order; all rows for None."""
        if rows is None:
            return self
        return RaggedInputs({name: c.take(rows) for name, c in self.columns.items()})

    def rows(self, start: int, stop: int) -> RaggedInputs:
        """Returns the rows from start up to stop, or up to the end."""
        return RaggedInputs({n: c.rows(start, stop) for n, c in self.columns.items()})

    def truncate(self, limits: Mapping[str, IdLimits]) -> RaggedInputs:
        """Truncates the rows of each input to its maximum number of tokens."""
        columns = {}
        for name, column in self.columns.items():
            _, max_len, continued_from = limits[name]
            columns[name], _ = column.truncate(max_len, continued_from)
        return RaggedInputs(columns)

    def padded(self, leading: int = 0) -> dict[str, Ids]:
        """Returns the signature's inputs, int64 ``[rows, leading + longest]``.

        Args:
            leading: The number of padding columns in front. TF Serving pads the rows of
                a batch with their first element, so one such column makes it pad with
                -1.
        """
        return {name: _padded(c, leading) for name, c in self.columns.items()}

    def batches(self, limits: CallLimits = _DEFAULT_LIMITS) -> Iterator[Ids | None]:
        """Yields the row numbers of each call; see `batches_by_length`.

        Args:
            limits: The limits of a call.
        """
        lengths = np.maximum.reduce([c.lengths for c in self.columns.values()])
        return batches_by_length(lengths, limits)

    @staticmethod
    def from_rows(rows: Rows) -> RaggedInputs:
        """Returns lists of token ids, none of which is text, as inputs."""
        return RaggedInputs(
            {name: RaggedColumn.from_rows(r) for name, r in rows.items()}
        )


def batches_by_length(
    lengths: npt.NDArray[np.integer], limits: CallLimits
) -> Iterator[Ids | None]:
    """Yields the row numbers of each call: rows of similar length, or all (None).

    Similar lengths matter because one long row would pad all others of its call.

    Args:
        lengths: The length of each row.
        limits: The limits of a call.

    Example:
        >>> import numpy as np
        >>> limits = CallLimits(cells=6, rows=3)
        >>> [rows.tolist() for rows in batches_by_length(np.array([1, 5, 2]), limits)]
        [[1], [0, 2]]
    """
    cells = len(lengths) * int(lengths.max(initial=1))
    if cells <= limits.cells and len(lengths) <= limits.rows:
        yield None
        return
    order = np.argsort(lengths, kind="stable")
    end = len(order)
    while end:
        longest = max(int(lengths[order[end - 1]]), 1)
        size = min(max(limits.cells // longest, 1), limits.rows)
        start = max(end - size, 0)
        yield order[start:end]
        end = start


def predict_batches(
    inputs: RaggedInputs,
    predict: Callable[[RaggedInputs], Predictions],
    limits: CallLimits = _DEFAULT_LIMITS,
) -> Predictions:
    """Calls a model with batches of similar length; returns all rows in their order.

    Args:
        inputs: The inputs.
        predict: Calls the model.
        limits: The limits of a call.

    Raises:
        UserError: A prediction is infinite or not a number.
    """
    batches = list(inputs.batches(limits))
    predictions = [predict(inputs.take(rows)) for rows in batches]
    for batch in predictions:
        if problem := not_finite(batch, inputs.output):
            raise UserError(problem)
    return in_row_order(batches, predictions)


def in_row_order(
    batches: Sequence[Ids | None], predictions: Sequence[npt.NDArray[_Type]]
) -> npt.NDArray[_Type]:
    """Returns the predictions of several batches in the order of the input rows.

    Args:
        batches: The row numbers of each batch, from `RaggedInputs.batches`.
        predictions: The predictions of each batch.
    """
    if len(predictions) == 1 and batches[0] is None:
        return predictions[0]
    shape = (sum(map(len, predictions)), *predictions[0].shape[1:])
    ordered = np.empty(shape, predictions[0].dtype)
    for rows, batch_predictions in zip(batches, predictions, strict=True):
        ordered[rows] = batch_predictions
    return ordered


def signature_name(inputs: Mapping[str, object]) -> str:
    """Returns the name of the signature that takes these inputs."""
    if len(inputs) > 1:
        return "predict_pair"
    return "embed_enc0" if "in0" in inputs else "embed_enc1"


def output_name(inputs: Mapping[str, object]) -> str:
    """Returns the name of the output for these inputs."""
    return "scores" if len(inputs) > 1 else "embeddings"


def call_limits(hyperparameters: Hyperparameters) -> CallLimits:
    """Returns the limits of a call of a model, which depend on its widths."""
    enc_dim = int(hyperparameters.enc_dim)
    widths = [
        int(hyperparameters.of_encoder(encoder, "token_embedding_dim"))
        for encoder in (0, 1)
    ]
    return CallLimits(
        min(MAX_CELLS, _MAX_TOKEN_VALUES // max(enc_dim, *widths)),
        min(MAX_ROWS, _MAX_ROW_VALUES // enc_dim),
    )


def input_limits(hyperparameters: Hyperparameters) -> dict[str, IdLimits]:
    """Returns the limits of the objects of each input, by name."""
    return {f"in{i}": hyperparameters.id_limits(i) for i in (0, 1)}


def _padded(column: RaggedColumn, leading: int) -> Ids:
    lengths = column.lengths
    width = max(int(lengths.max(initial=1)), 1)
    dense = np.full((len(column), leading + width), PADDING, np.int64)
    dense[:, leading:][np.arange(width) < lengths[:, np.newaxis]] = column.values
    return dense
